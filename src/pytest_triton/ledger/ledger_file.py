"""A ledger as a JSON file: written in one piece, read with everything checked.

`ledger.schema.json` beside this module describes the format; `SCHEMA` is its number, which grows
with every change that an older reader would misread.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn, cast

from pytest_triton.errors import PytestTritonError
from pytest_triton.ledger.entries import (
    VERDICTS,
    Check,
    ConfigFacts,
    Entry,
    Group,
    HardwareFacts,
    Job,
    Ledger,
    Outcome,
    ServerFacts,
    ServerGpu,
    Verdict,
    Witness,
)

FORMAT: Final = "pytest-triton ledger"
SCHEMA: Final = 1
LISTS: Final = ("jobs", "servers", "entries", "checks")
SIZE_LIMIT: Final = 512 * 1024 * 1024  # bytes; 1,000 models on two hardware make about 2 MB
SCHEMA_FILE = Path(__file__).with_name("ledger.schema.json")

Json = Mapping[str, Any]


class LedgerUnusable(PytestTritonError):
    """A file that is no ledger of this plugin, or one that can't be read or written."""


# --- values to JSON ---------------------------------------------------------------------------


def as_json(ledger: Ledger) -> dict[str, Any]:
    """The ledger as the object that its file holds. Jobs and servers are written once."""
    servers: dict[ServerFacts, int] = {}
    jobs = {job: number for number, job in enumerate(dict.fromkeys(ledger.jobs))}
    entries = []
    for entry in ledger.entries:
        server = entry.server
        number = None if server is None else servers.setdefault(server, len(servers))
        entries.append(entry_json(entry, jobs.setdefault(entry.job, len(jobs)), number))
    checks = [check_json(one, jobs.setdefault(one.job, len(jobs))) for one in ledger.checks]
    return {
        "format": FORMAT,
        "schema": SCHEMA,
        "jobs": [job_json(job) for job in jobs],
        "servers": [server_json(server) for server in servers],
        "entries": entries,
        "checks": checks,
    }


def job_json(job: Job) -> dict[str, Any]:
    return {
        "name": job.name,
        "commit": job.commit,
        "started": job.started,
        "ended": job.ended,
        "exit_status": job.exit_status,
        "plugin": job.plugin,
        "shard": job.shard,
    }


def server_json(server: ServerFacts) -> dict[str, Any]:
    return {
        "description": server.description,
        "version": server.version,
        "run": server.run,
        "image": server.image,
        "image_digest": server.image_digest,
        "driver": server.driver,
        "gpus": [{"id": gpu.id, "name": gpu.name, "uuid": gpu.uuid} for gpu in server.gpus],
    }


def entry_json(entry: Entry, job: int, server: int | None) -> dict[str, Any]:
    """An entry with the numbers of its job and server in their lists."""
    hardware = entry.hardware
    return {
        "deployment": entry.deployment,
        "model": entry.model,
        "hardware": {
            "spec": hardware.spec,
            "label": hardware.label,
            "gpus": hardware.gpus,
            "simulated": hardware.simulated,
        },
        "verdict": entry.verdict,
        "headline": entry.headline,
        "declared": entry.declared,
        "groups": groups_json(entry.groups),
        "predicted": outcome_json(entry.predicted),
        "observed": outcome_json(entry.observed),
        "witnesses": [{"name": one.name, "said": one.said} for one in entry.witnesses],
        "fallback_allowed": entry.fallback_allowed,
        "config": config_json(entry.config),
        "server": server,
        "job": job,
        "text": entry.text,
        "log": entry.log,
    }


def groups_json(groups: Sequence[Group]) -> list[dict[str, str]]:
    return [{"name": group.name, "summary": group.summary} for group in groups]


def outcome_json(outcome: Outcome | None) -> dict[str, Any] | None:
    if outcome is None:
        return None
    return {
        "summary": outcome.summary,
        "placement": outcome.placement,
        "reason": outcome.reason,
        "text": outcome.text,
        "state": outcome.state,
        "fallback": outcome.fallback,
        "groups": groups_json(outcome.groups),
    }


def config_json(config: ConfigFacts) -> dict[str, Any]:
    return {"path": config.path, "line": config.line, "hash": config.hash}


def check_json(check: Check, job: int) -> dict[str, Any]:
    return {
        "deployment": check.deployment,
        "model": check.model,
        "test": check.test,
        "verdict": check.verdict,
        "hardware": check.hardware,
        "headline": check.headline,
        "text": check.text,
        "config": config_json(check.config),
        "job": job,
    }


# --- JSON to values ---------------------------------------------------------------------------


def from_json(value: object) -> Ledger:
    """The ledger that this JSON value holds. Raises LedgerUnusable for anything else."""
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise LedgerUnusable(
            "This is no ledger of pytest-triton.",
            cure="name a file that pytest --triton-ledger=FILE.json has written",
        )
    schema = value.get("schema")
    if schema != SCHEMA or isinstance(schema, bool):
        newer = isinstance(schema, int) and schema > SCHEMA
        raise LedgerUnusable(
            f"This ledger has schema {schema!r}; this pytest-triton reads schema {SCHEMA}.",
            cure="install the pytest-triton that wrote it, or a newer one"
            if newer
            else "run its job again with this pytest-triton: what an outdated ledger says is "
            "not taken for proven",
        )
    root = _Object(value, "the ledger")
    jobs = [_job(one) for one in root.objects("jobs")]
    servers = [_server(one) for one in root.objects("servers")]
    return Ledger(
        jobs=tuple(jobs),
        entries=tuple([_entry(one, jobs, servers) for one in root.objects("entries")]),
        checks=tuple([_check(one, jobs) for one in root.objects("checks")]),
    )


class _Object:
    """A JSON object whose fields are read with their types checked. Other fields don't matter."""

    __slots__ = ("fields", "place")

    def __init__(self, value: object, place: str) -> None:
        self.place = place
        if not isinstance(value, dict):
            self.fail("is no object")
        self.fields = cast("dict[str, object]", value)

    def fail(self, what: str) -> NoReturn:
        raise LedgerUnusable(
            f"This ledger is damaged: {self.place} {what}.",
            cure="run its job again: a ledger that was changed by hand proves nothing",
        )

    def text(self, name: str) -> str:
        value = self.fields.get(name)
        return value if isinstance(value, str) else self.fail(f"has no text `{name}`")

    def text_or_none(self, name: str) -> str | None:
        return None if self._is_null(name) else self.text(name)

    def number(self, name: str) -> int:
        value = self.fields.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            self.fail(f"has no whole number `{name}`")
        return value

    def number_or_none(self, name: str) -> int | None:
        return None if self._is_null(name) else self.number(name)

    def count(self, name: str) -> int:
        value = self.number(name)
        return value if value >= 0 else self.fail(f"has a negative `{name}`")

    def flag(self, name: str) -> bool:
        value = self.fields.get(name)
        return value if isinstance(value, bool) else self.fail(f"has no true or false `{name}`")

    def verdict(self) -> Verdict:
        value = self.text("verdict")
        return value if value in VERDICTS else self.fail("has no known verdict")

    def object(self, name: str) -> _Object:
        return _Object(self.fields.get(name), f"`{name}` of {self.place}")

    def object_or_none(self, name: str) -> _Object | None:
        return None if self._is_null(name) else self.object(name)

    def objects(self, name: str) -> list[_Object]:
        value = self.fields.get(name)
        if not isinstance(value, list):
            self.fail(f"has no list `{name}`")
        return [_Object(one, f"`{name}` {number}") for number, one in enumerate(value)]

    def _is_null(self, name: str) -> bool:
        return name in self.fields and self.fields[name] is None


def _job(one: _Object) -> Job:
    return Job(
        name=one.text("name"),
        commit=one.text_or_none("commit"),
        started=one.text("started"),
        plugin=one.text("plugin"),
        ended=one.text_or_none("ended"),
        exit_status=one.number_or_none("exit_status"),
        shard=one.text_or_none("shard"),
    )


def _server(one: _Object) -> ServerFacts:
    return ServerFacts(
        description=one.text("description"),
        version=one.text("version"),
        run=one.text("run"),
        image=one.text_or_none("image"),
        image_digest=one.text_or_none("image_digest"),
        driver=one.text_or_none("driver"),
        gpus=tuple(
            [
                ServerGpu(gpu.count("id"), gpu.text("name"), gpu.text("uuid"))
                for gpu in one.objects("gpus")
            ]
        ),
    )


def _entry(one: _Object, jobs: Sequence[Job], servers: Sequence[ServerFacts]) -> Entry:
    hardware = one.object("hardware")
    verdict = one.verdict()
    server = None if one.number_or_none("server") is None else _pick(one, "server", servers)
    observed = _outcome(one.object_or_none("observed"))
    if verdict == "proven" and (server is None or observed is None):
        one.fail("is proven without a server that was asked")
    gpus = None if hardware.number_or_none("gpus") is None else hardware.count("gpus")
    return Entry(
        deployment=one.text("deployment"),
        model=one.text("model"),
        hardware=HardwareFacts(
            hardware.text("spec"), hardware.text("label"), gpus, hardware.flag("simulated")
        ),
        verdict=verdict,
        headline=one.text("headline"),
        declared=one.text("declared"),
        groups=_groups(one),
        config=_config(one.object("config")),
        job=_pick(one, "job", jobs),
        predicted=_outcome(one.object_or_none("predicted")),
        observed=observed,
        witnesses=tuple(
            [Witness(each.text("name"), each.text("said")) for each in one.objects("witnesses")]
        ),
        server=server,
        fallback_allowed=one.flag("fallback_allowed"),
        text=one.text("text"),
        log=one.text("log"),
    )


def _pick(one: _Object, name: str, values: Sequence[Any]) -> Any:
    number = one.count(name)
    return values[number] if number < len(values) else one.fail(f"names {name} {number}, not there")


def _groups(one: _Object) -> tuple[Group, ...]:
    return tuple([Group(each.text("name"), each.text("summary")) for each in one.objects("groups")])


def _outcome(one: _Object | None) -> Outcome | None:
    if one is None:
        return None
    return Outcome(
        summary=one.text("summary"),
        placement=one.text("placement"),
        reason=one.text("reason"),
        text=one.text("text"),
        state=one.text("state"),
        fallback=one.flag("fallback"),
        groups=_groups(one),
    )


def _config(one: _Object) -> ConfigFacts:
    line = None if one.number_or_none("line") is None else one.count("line")
    return ConfigFacts(one.text("path"), line, one.text("hash"))


def _check(one: _Object, jobs: Sequence[Job]) -> Check:
    return Check(
        deployment=one.text("deployment"),
        model=one.text("model"),
        test=one.text("test"),
        verdict=one.verdict(),
        config=_config(one.object("config")),
        job=_pick(one, "job", jobs),
        hardware=one.text("hardware"),
        headline=one.text("headline"),
        text=one.text("text"),
    )


# --- files ------------------------------------------------------------------------------------


def read_ledger(path: Path | str) -> Ledger:
    """The ledger in a file. Raises LedgerUnusable, naming the file, the cause and the cure."""
    path = Path(path)
    try:
        return from_json(read_json(path))
    except LedgerUnusable as error:
        if str(path) in error.what:
            raise
        raise LedgerUnusable(f"{path}: {error.what}", tried=error.tried, cure=error.cure) from None


def read_json(path: Path) -> object:
    """The JSON value in a file. Raises LedgerUnusable for a file that can't be read or is none."""
    try:
        # Never open what isn't a file: a pipe would wait for its writer.
        if not path.is_file():
            kind = "is not a file" if path.exists() else "does not exist"
            raise LedgerUnusable(
                f"{path} {kind}.",
                cure="check that the job ran, wrote it, and uploaded it: a ledger that is "
                "missing proves nothing",
            )
        if path.stat().st_size > SIZE_LIMIT:
            raise LedgerUnusable(
                f"{path} has {path.stat().st_size:,} bytes; up to {SIZE_LIMIT:,} are read.",
                cure="is it a ledger at all? 1,000 models take about 2 MB",
            )
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise LedgerUnusable(
            f"{path!s} can't be read: {error}", cure="check its name and its permissions"
        ) from None
    if not data.strip():
        raise LedgerUnusable(
            f"{path} is empty.",
            cure="look at the job that should have written it: it may have been stopped, or its "
            "disk is full. An empty ledger proves nothing",
        )
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        words = "too deeply nested" if isinstance(error, RecursionError) else str(error)
        raise LedgerUnusable(
            f"{path} is not JSON: {words}",
            cure="was the download cut off, or is it another file? Run the job again, or fetch "
            "its ledger again",
        ) from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def write_ledger(path: Path | str, ledger: Ledger) -> None:
    """Write a ledger, in one piece: a reader finds the old file or the new one, never half.

    Raises LedgerUnusable.
    """
    value = as_json(ledger)
    write_text(path, layout({name: [*map(to_line, value[name])] for name in LISTS}))


def to_line(value: object) -> str:
    """One object of a ledger's lists, as it stands in the file: on a line of its own."""
    return json.dumps(value, ensure_ascii=False)


def layout(lists: Mapping[str, Sequence[str]]) -> str:
    """The text of a ledger's file, of the lines in each of its LISTS."""
    parts = [f'"format": {json.dumps(FORMAT)}', f'"schema": {SCHEMA}']
    for name, lines in lists.items():
        text = ",\n  ".join(lines)
        parts.append(f'"{name}": [\n  {text}\n]' if text else f'"{name}": []')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def write_text(path: Path | str, text: str) -> None:
    """Put a text in a file's place, in one piece. Raises LedgerUnusable."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = tempfile.NamedTemporaryFile(  # noqa: SIM115 - it outlives the block, on purpose
            "wb", dir=path.parent, prefix=f".{path.name}.", delete=False
        )
        try:
            with file:
                # a name that is no UTF-8 holds surrogates, and this writes them as JSON does
                file.write(text.encode("utf-8", "backslashreplace"))
                os.fchmod(file.fileno(), _mode(path))
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
    except OSError as error:
        raise LedgerUnusable(
            f"{path} can't be written: {error.strerror or error}",
            cure="name a file in a directory that can be written to, with room on its disk",
        ) from None


def _mode(path: Path) -> int:
    """The permissions that the file has, or that a new file gets."""
    try:
        return path.stat().st_mode & 0o777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
