"""TRT528: files that the audit reads, and could not."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_triton.audit.rule import rule
from pytest_triton.audit.subject import MOST_VARIANTS, Subject, diagnostic_at
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.repository.bounded_read import why_unread

_UNKNOWN = "what it does with GPUs is not known"


@rule(
    "TRT528",
    "file-not-read",
    "error",
    failing={
        "m/config.pbtxt": 'backend: "python"\ninstance_group [ { kind: KIND_GPU } ]\n',
        "m/1/model.py/notes.txt": "a folder where code belongs",
    },
    fixed={
        "m/config.pbtxt": 'backend: "python"\ninstance_group [ { kind: KIND_GPU } ]\n',
        "m/1/model.py": (
            "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"
        ),
    },
)
def file_not_read(subject: Subject) -> Iterator[Diagnostic]:
    """A file that the audit looks into could not be read, so that rules about it found nothing.

    These are the code of python models (up to 512 KB), `model.json` of vLLM (up to 1 MB) and the
    variants in `configs/` (the first 50). A file that is meant to be so is ignored with
    `--ignore` or a comment `triton: ignore TRT528` in the config.
    """
    for path, limit in subject.files_to_read:
        why = why_unread(path, limit)
        if why:
            yield diagnostic_at(path, None, None, f"{why}: {_UNKNOWN}")
    for path in subject.unparsed_codes:
        yield diagnostic_at(
            path, None, None, f"is too deep or complex to be parsed here: {_UNKNOWN}"
        )
    count = len(subject.model.variants)
    if count > MOST_VARIANTS:
        yield diagnostic_at(
            subject.model.directory / "configs",
            None,
            None,
            f"has {count:,} variants; the first {MOST_VARIANTS} are read",
        )
