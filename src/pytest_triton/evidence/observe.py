"""All evidence together: what a server made of each model.

    repository index   state of every model, reason of refused ones          high trust
    resolved config    groups and devices that core decided on               high trust
    server log         the instances that backends were asked to make,        medium trust
                       and Triton's text about refused models

Where a model runs is shown by the config and the log, why one was refused by the index and the log:
two sources each. An attached server's log can't be read, which leaves one; and over HTTP the
config of a model whose name can't stand in a URL can't be had, which leaves none.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pytest_triton.client.api import open_api
from pytest_triton.client.configs import resolved_configs
from pytest_triton.errors import says_all
from pytest_triton.evidence.instance_lines import InstanceLog, ReportedInstances
from pytest_triton.evidence.log_lines import all_refusals
from pytest_triton.evidence.resolved_config import groups_of, placement_of
from pytest_triton.evidence.server_build import build_in_log, build_in_reasons
from pytest_triton.placement.command_line import BadArguments, CommandLine
from pytest_triton.placement.compare import ABSENT, READY, Observation, Observed
from pytest_triton.placement.predict import ResolvedGroup, ServerTraits
from pytest_triton.placement.refusal import Refusal, classify
from pytest_triton.servers.running_server import RunningServer

__tracebackhide__ = says_all

INDEX = "repository index"
CONFIG = "resolved config"
LOG = "server log"

_UNLOADED = "unloaded"  # the index's reason for a model that nobody refused


def observe(
    server: RunningServer,
    models: Iterable[str],
    steps: Mapping[str, Sequence[str]] | None = None,
) -> Mapping[str, Observed]:
    """What the server made of each of these models, by name, after start-up loading has ended.

    `steps` are the models of ensembles, for a server whose log can't be read: its index has no
    reason for an ensemble that was refused. Raises ServerSilent if it can't be asked.
    """
    names = tuple(models)
    with open_api(server.endpoints) as api:
        index: dict[str, dict[str, str]] = {}
        for given in api.index():
            entry = {**given, "reason": server.spec.as_given(given.get("reason", ""))}
            known = index.get(entry["name"])
            if known is None or entry.get("state") == READY:
                index[entry["name"]] = entry
    ready = [name for name in names if index.get(name, {}).get("state") == READY]
    groups = {
        name: None if config is None else groups_of(config)
        for name, config in resolved_configs(server.endpoints, ready)
    }
    log = server.log.since()  # read last, so that it holds all that the others report
    reported = InstanceLog(log).reported(
        {name: [group.name for group in groups[name] or ()] for name in ready} if log else {}
    )
    refusals = all_refusals(log)
    found = {
        name: _ready(index[name], groups[name], reported.get(name))
        if name in groups
        else _not_ready(index.get(name), refusals.get(name, ()))
        for name in names
    }
    return found if log else {**found, **dict(_ensembles(found, index, steps or {}))}


def _ensembles(
    found: Mapping[str, Observed],
    index: Mapping[str, Mapping[str, str]],
    steps: Mapping[str, Sequence[str]],
) -> Iterator[tuple[str, Observed]]:
    """Ensembles for which nothing gives a reason, and with a model that isn't READY."""
    for name, observed in found.items():
        entry = index.get(name, {})
        if observed.ready or observed.refusal is not None or entry.get("reason") == _UNLOADED:
            continue
        for step in steps.get(name, ()):
            known = index.get(step)
            if known is not None and known.get("state") == READY:
                continue
            state = "not in the index" if known is None else known.get("state") or "not loaded"
            reason = "" if known is None else known.get("reason", "")
            why = f"{state}: {reason}" if reason else state
            text = f"ensemble '{name}' depends on '{step}', which isn't READY ({why})"
            refusal = Refusal("ensemble", text, "poll")
            seen = Observation(INDEX, "high", text, refusal=refusal, state=observed.state)
            yield name, Observed.of(observed.state, [seen])
            break


def served_models(server: RunningServer) -> tuple[str, ...]:
    """The names of all models in the server's repository index."""
    with open_api(server.endpoints) as api:
        return tuple(sorted({entry["name"] for entry in api.index()}))


def _ready(
    entry: Mapping[str, str],
    groups: tuple[ResolvedGroup, ...] | None,
    reported: ReportedInstances | None,
) -> Observed:
    if groups is None:
        text = "can't be asked for this name over HTTP: attach by grpc://HOST:8001"
        return Observed.of(
            READY,
            [
                Observation(INDEX, "high", entry.get("reason", ""), state=READY),
                Observation(CONFIG, "high", text),
            ],
        )
    # A reload that failed leaves its reason in the index, and the model ready as it was before.
    observations = [
        Observation(INDEX, "high", entry.get("reason", ""), state=READY),
        Observation(CONFIG, "high", _group_text(groups), placement_of(groups)),
    ]
    if reported is not None:
        observations.append(Observation(LOG, "medium", reported.text, reported.placement))
    return Observed.of(READY, observations, groups)


def _group_text(groups: Iterable[ResolvedGroup]) -> str:
    return ", ".join([f"{group.name}: {group.placement}" for group in groups])


def _not_ready(entry: Mapping[str, str] | None, logged: Sequence[str]) -> Observed:
    """`logged` are all lines of the log about the model's refusals, the last ones last."""
    state = (entry or {}).get("state") or ABSENT
    reason = (entry or {}).get("reason", "")
    if reason == _UNLOADED or (not reason and not logged):
        text = reason or ("not in it" if entry is None else "in it, and not loaded")
        return Observed.of(state, [Observation(INDEX, "high", text, state=state)])
    if not reason:
        refusal = Refusal(classify(logged[-1]), logged[-1], "poll")
        return Observed.of(
            state,
            [
                Observation(INDEX, "high", "", state=state),
                Observation(LOG, "medium", logged[-1], refusal=refusal),
            ],
        )
    refusal = Refusal(classify(reason), reason, "load")
    observations = [Observation(INDEX, "high", reason, refusal=refusal, state=state)]
    if logged:
        observations.append(_confirmation(refusal, logged))
    return Observed.of(state, observations)


def _confirmation(refusal: Refusal, logged: Sequence[str]) -> Observation:
    """What the log says of a refusal that the index reports.

    It holds the text of other refusals as well, before and after, so that only a log without any
    such text contradicts.
    """
    if refusal.text in logged:
        return Observation(LOG, "medium", refusal.text, refusal=refusal)
    found = [Refusal(classify(text), text, refusal.stage) for text in reversed(logged)]
    same = (one for one in found if one.reason == refusal.reason)
    chosen = next(same, found[0])
    return Observation(LOG, "medium", chosen.text, refusal=chosen)


def traits_of(server: RunningServer) -> ServerTraits:
    """What of this server Triton's rules depend on: its release, its build, its backends."""
    log = server.log.since()
    with open_api(server.endpoints) as api:
        version = str(api.metadata().get("version", ""))
        reasons = [] if log else [entry.get("reason", "") for entry in api.index()]
    build = build_in_log(log) if log else build_in_reasons(reasons)
    traits = ServerTraits(version=_release(version), backends=server.backends)
    with contextlib.suppress(BadArguments):  # flags of another build, or of an unknown release
        traits = CommandLine.parse(server.spec.arguments).traits(traits)
    return build.applied(traits)


def _release(version: str) -> tuple[int, int, int]:
    numbers = [int(part) for part in re.findall(r"\d+", version)[:3]]
    major, minor, patch = (numbers + [0, 0, 0])[:3]
    return major, minor, patch
