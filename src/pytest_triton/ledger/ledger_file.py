"""A ledger as a JSON file: written in one piece, read with everything checked.

The format is that of the types here and in `checks.result`; `ledger.schema.json` beside this module
is generated from them (`scripts/ledger-schema`, and a test holds it to them). `SCHEMA` is its
number, which grows with every change that an older reader would misread.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn

import msgspec

from pytest_triton.checks.result import CheckResult, Number, to_json
from pytest_triton.errors import PytestTritonError
from pytest_triton.ledger.contradictions import contradictions
from pytest_triton.ledger.entries import Entry, Expected, Job, Ledger, Verdict

FORMAT: Final = "pytest-triton ledger"
SCHEMA: Final = 1
LISTS: Final = ("jobs", "entries")
SIZE_LIMIT: Final = 512 * 1024 * 1024  # bytes; 1,000 models on two hardware make about 4 MB
SCHEMA_FILE = Path(__file__).with_name("ledger.schema.json")


class LedgerUnusable(PytestTritonError):
    """A file that is no ledger of this plugin, or one that can't be read or written."""


class StoredEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one check found in one run. `headline` says the verdict in a line, `text` is the
    failure in full, `log` the end of what the server wrote about the model."""

    job: Annotated[Number, msgspec.Meta(description="Its place in `jobs`, from 0.")]
    verdict: Verdict
    result: CheckResult
    headline: str = ""
    text: str = ""
    log: str = ""


class LedgerFile(msgspec.Struct, frozen=True):
    """What models did on which hardware, written by pytest --triton-ledger=FILE.json. Fields that
    are not described here are ignored by readers."""

    format: Literal["pytest-triton ledger"]
    schema: Literal[1]
    jobs: tuple[Job, ...]
    entries: tuple[StoredEntry, ...]
    expected: Annotated[
        Expected | None, msgspec.Meta(description="Only in what `merge --output` wrote.")
    ] = None


def schema() -> dict[str, Any]:
    """The format as a JSON schema."""
    text = json.dumps(msgspec.json.schema(LedgerFile))
    found: dict[str, Any] = json.loads(text, object_hook=_in_one_form)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:pytest-triton:ledger:{SCHEMA}",
        **found,
    }


def _in_one_form(value: dict[str, Any]) -> dict[str, Any]:
    """Without what differs between Pythons: docstrings' indentation, the order of alternatives."""
    if isinstance(value.get("description"), str):
        value["description"] = " ".join(value["description"].split())
    if isinstance(value.get("anyOf"), list):
        value["anyOf"].sort(key=lambda one: json.dumps(one, sort_keys=True))
    return value


def stored(entry: Entry, job: int) -> StoredEntry:
    """An entry as its file has it, with the number of its job."""
    return StoredEntry(job, entry.verdict, entry.result, entry.headline, entry.text, entry.log)


def from_json(value: object) -> Ledger:
    """The ledger that this JSON value holds. Raises LedgerUnusable for anything else."""
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise LedgerUnusable(
            "This is no ledger of pytest-triton.",
            fix="name a file that pytest --triton-ledger=FILE.json has written",
        )
    number = value.get("schema")
    if type(number) is not int or number != SCHEMA:
        newer = isinstance(number, int) and number > SCHEMA
        raise LedgerUnusable(
            f"This ledger has schema {number!r}; this pytest-triton reads schema {SCHEMA}.",
            fix="install the pytest-triton that wrote it, or a newer one"
            if newer
            else "run its job again with this pytest-triton: what an outdated ledger says is "
            "not taken for proven",
        )
    try:
        file = msgspec.convert(value, LedgerFile)
    except msgspec.ValidationError as error:
        _damaged(str(error))
    entries = [_entry(one, number, file.jobs) for number, one in enumerate(file.entries)]
    ledger = Ledger(file.jobs, tuple(entries), file.expected)
    for what in contradictions(ledger):
        _damaged(what)
    return ledger


def _entry(one: StoredEntry, number: int, jobs: Sequence[Job]) -> Entry:
    if one.job >= len(jobs):
        _damaged(f"entry {number} names job {one.job}, not there")
    return Entry(one.result, one.verdict, jobs[one.job], one.headline, one.text, one.log)


def _damaged(what: str) -> NoReturn:
    raise LedgerUnusable(
        f"This ledger is damaged: {what}.",
        fix="run its job again: a ledger that was changed by hand proves nothing",
    ) from None


# --- files ------------------------------------------------------------------------------------


def read_ledger(path: Path | str) -> Ledger:
    """The ledger in a file. Raises LedgerUnusable, naming the file, the cause and the fix."""
    path = Path(path)
    try:
        return from_json(read_json(path))
    except LedgerUnusable as error:
        if str(path) in error.what:
            raise
        raise LedgerUnusable(f"{path}: {error.what}", tried=error.tried, fix=error.fix) from None


def read_json(path: Path) -> object:
    """The JSON value in a file. Raises LedgerUnusable for a file that can't be read or is none."""
    try:
        # Never open what isn't a file: a pipe would wait for its writer.
        if path.is_dir():
            raise LedgerUnusable(
                f"{path} is not a file, but a directory.",
                fix=f"name the files in it: {path}/*.json"
                if any(one.suffix == ".json" for one in path.iterdir())
                else "name a file; there is none in it whose name ends in .json",
            )
        if not path.is_file():
            kind = "is not a file" if path.exists() else "does not exist"
            raise LedgerUnusable(
                f"{path} {kind}.",
                fix="check that the job ran, wrote it, and uploaded it: a ledger that is "
                "missing proves nothing",
            )
        if path.stat().st_size > SIZE_LIMIT:
            raise LedgerUnusable(
                f"{path} has {path.stat().st_size:,} bytes; up to {SIZE_LIMIT:,} are read.",
                fix="is it a ledger at all? 1,000 models take about 2 MB",
            )
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise LedgerUnusable(
            f"{path!s} can't be read: {error}", fix="check its name and its permissions"
        ) from None
    if not data.strip():
        raise LedgerUnusable(
            f"{path} is empty.",
            fix="look at the job that should have written it: it may have been stopped, or its "
            "disk is full. An empty ledger proves nothing",
        )
    try:
        text = data.decode("utf-8")
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        reason = "too deeply nested" if isinstance(error, RecursionError) else str(error)
        raise LedgerUnusable(
            f"{path} is not JSON: {reason}",
            fix="name a file that pytest --triton-ledger=FILE.json has written"
            if path.suffix in (".yaml", ".yml")
            else "was the download cut off, or is it another file? Run the job again, or fetch "
            "its ledger again",
        ) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has {twice!r} twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def write_ledger(path: Path | str, ledger: Ledger) -> None:
    """Write a ledger, in one piece: a reader finds the old file or the new one, never half.

    Raises LedgerUnusable.
    """
    write_text(path, layout(lines_of(ledger), ledger.expected))


def lines_of(ledger: Ledger) -> dict[str, list[str]]:
    """The objects in each of the file's LISTS, as they stand in it: each on a line of its own."""
    jobs = {job: number for number, job in enumerate(dict.fromkeys(ledger.jobs))}
    entries = [stored(entry, jobs.setdefault(entry.job, len(jobs))) for entry in ledger.entries]
    return {"jobs": to_lines(jobs), "entries": to_lines(entries)}


def to_lines(values: Iterable[Job | StoredEntry]) -> list[str]:
    return [to_json(value) for value in values]


def layout(lists: Mapping[str, Sequence[str]], expected: Expected | None = None) -> str:
    """The text of a ledger's file, of the lines in each of its LISTS."""
    parts = [f'"format": {json.dumps(FORMAT)}', f'"schema": {SCHEMA}']
    for name, lines in lists.items():
        text = ",\n  ".join(lines)
        parts.append(f'"{name}": [\n  {text}\n]' if text else f'"{name}": []')
    if expected is not None:
        parts.append(f'"expected": {to_json(expected)}')
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
            fix="name a file in a directory that can be written to, with room on its disk",
        ) from None


def _mode(path: Path) -> int:
    """The permissions that the file has, or that a new file gets."""
    try:
        return path.stat().st_mode & 0o777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
