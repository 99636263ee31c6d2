"""What Compose refuses in a service: keys that it doesn't know, and health checks that are none.

Compose refuses every key that isn't in its schema, and whose name doesn't begin with `x-`. Here it
is only one that is nearly called as one of them: newer releases may have others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches

from pytest_triton.deployment.compose_parts import Filled
from pytest_triton.deployment.yaml_file import BadYaml, Node

SERVICE = (
    "annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command "
    "configs container_name cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period "
    "cpu_rt_runtime cpu_shares cpus cpuset credential_spec depends_on deploy develop "
    "device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint env_file "
    "environment expose extends external_links extra_hosts gpus group_add healthcheck "
    "hostname image init ipc isolation label_file labels links logging mac_address "
    "mem_limit mem_reservation mem_swappiness memswap_limit models network_mode networks "
    "oom_kill_disable oom_score_adj pid pids_limit platform ports post_start pre_start "
    "pre_stop privileged profiles provider pull_policy pull_refresh_after read_only "
    "restart runtime scale secrets security_opt shm_size stdin_open stop_grace_period "
    "stop_signal storage_opt sysctls tmpfs tty ulimits umask use_api_socket user "
    "userns_mode uts volumes volumes_from working_dir "
)
_DEVICE = "capabilities count device_ids driver options"
_RESERVED = ("deploy", "resources", "reservations")
KNOWN = {
    (): SERVICE,
    ("healthcheck",): ("disable interval retries start_interval start_period test timeout "),
    ("deploy",): (
        "endpoint_mode labels mode placement replicas resources restart_policy "
        "rollback_config update_config "
    ),
    ("deploy", "resources"): "limits reservations",
    _RESERVED: "cpus devices generic_resources memory",
    ("deploy", "restart_policy"): "condition delay max_attempts window",
}
"""The keys of a map at a path of the service, as compose-spec.json has them."""
_DURATIONS = ("interval", "timeout", "start_period", "start_interval")


def check_service(service: Node, filled: Filled) -> None:
    """Raise BadYaml for what Compose refuses the file."""
    for node, known in _maps(service):
        for key in node.entries:
            if key in known or key.startswith("x-"):
                continue
            close = get_close_matches(key.lower(), known, n=1, cutoff=0.85)
            if close:
                raise BadYaml(
                    f"{node.keys[key]}: Compose has no `{key}` here, and refuses the file.",
                    fix=f"did you mean {close[0]}?",
                )
    for key in ("command", "entrypoint"):
        for one in service.list(key):
            if one.type:
                raise BadYaml(
                    f"{one.place}: {one.text} is no text, and Compose refuses the file.",
                    fix=f'quote it: "{one.text}"',
                )
    check = service.get("healthcheck")
    if check is not None:
        _check_health(check, filled)


def _maps(service: Node) -> Iterator[tuple[Node, list[str]]]:
    for path, keys in KNOWN.items():
        node = service.get(*path) if path else service
        if node is not None:
            yield node, keys.split()
    for one in (*service.list(*_RESERVED, "devices"), *service.list("gpus")):
        yield one, _DEVICE.split()


def _check_health(check: Node, filled: Filled) -> None:
    words = check.list("test")
    if words and filled(words[0]) not in ("NONE", "CMD", "CMD-SHELL"):
        raise BadYaml(
            f"{words[0].place}: the list of `test` begins with none of CMD, CMD-SHELL and NONE, "
            "and Compose refuses the file.",
            fix="write CMD first, or the command as one text",
        )
    for key in _DURATIONS:
        node = check.get(key)
        text = filled(node) if node is not None else ""
        if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII) and float(text):
            raise BadYaml(
                f"{check.place_of(key)}: `{key}: {text}` has no unit, and Compose refuses the "
                "file.",
                fix=f"write {text}s for seconds",
            )
