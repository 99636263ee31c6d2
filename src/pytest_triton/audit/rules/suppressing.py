"""TRT529: comments that are meant to suppress findings, and suppress none."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_triton.audit.ignoring import comments_in
from pytest_triton.audit.rule import rule
from pytest_triton.audit.subject import Subject, diagnostic_at
from pytest_triton.diagnostics.diagnostic import Diagnostic

_UNDECLARED = 'backend: "onnxruntime"\n'


@rule(
    "TRT529",
    "ignore-without-effect",
    "warning",
    scope="directory",
    failing=f"# Triton: ignore TRT101\n{_UNDECLARED}",
    fixed=f"# triton: ignore TRT101\n{_UNDECLARED}",
    fixable=True,
)
def ignore_without_effect(subject: Subject) -> Iterator[Diagnostic]:
    """A comment `triton: ignore` suppresses nothing.

    Its finding is gone or stands on another line, or the comment names no rule, names one that
    there isn't, or is written otherwise than `# triton: ignore TRT101` (small letters, a colon).
    What it was meant for is reported all the same, or will one day be hidden by surprise.

    A comment holds for its own line; alone on a line, for the next one that isn't a comment;
    `# triton: ignore-file TRT101` holds for the whole config.pbtxt and the model's other files.
    Comments count in config.pbtxt only. A reason stands behind `--`. Delete those without effect;
    `--fix` corrects how they are written.
    """
    from pytest_triton.audit.rules import KNOWN  # which has this module in it

    file = subject.model.config_file
    if file is None:
        return
    for comment in comments_in(file.text, KNOWN):
        if comment.wrong:
            yield diagnostic_at(
                file.path, comment.line, comment.column, comment.wrong, edits=comment.edits
            )
