"""The reports that a run of pytest writes at its end: which ones, where, and into what.

Files are written when an option names them. On GitHub Actions the job's summary and annotations
come by themselves (`--triton-github=off` keeps them away).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_triton.ledger.entries import Ledger
    from pytest_triton.options.settings import Settings

_ROOTS = ("GITHUB_WORKSPACE", "CI_PROJECT_DIR")


@dataclass(frozen=True)
class Publication:
    """What to write. `annotate` is whether GitHub's workflow commands go to standard output;
    `summary` is a file that others write to as well, and is added to."""

    html: Path | None = None
    markdown: Path | None = None
    gitlab: Path | None = None
    annotate: bool = False
    summary: Path | None = None

    @classmethod
    def of(cls, settings: Settings, environ: Mapping[str, str] = os.environ) -> Publication:
        """What the options ask for, and what GitHub Actions gets without asking."""
        on_github = settings.github
        if on_github is None:
            on_github = environ.get("GITHUB_ACTIONS") == "true"
        summary = environ.get("GITHUB_STEP_SUMMARY") if on_github else None
        return cls(
            html=settings.html,
            markdown=settings.markdown,
            gitlab=settings.gitlab,
            annotate=on_github,
            summary=Path(summary) if summary else None,
        )

    @property
    def is_wanted(self) -> bool:
        """Whether anything is to be written, so that a run has to keep a ledger."""
        return self != Publication()

    def write(
        self, file: Path, say: Callable[[str], None], environ: Mapping[str, str] = os.environ
    ) -> None:
        """Write it all, of the ledger in `file`; `say` gets each line for standard output.

        Raises LedgerUnusable for a file that can't be read or written.
        """
        from pytest_triton.ledger.fold import merged
        from pytest_triton.ledger.ledger_file import read_ledger, write_text

        say("")  # ends pytest's line of dots: what GitHub reads stands at the start of one
        ledger = merged([read_ledger(file)])
        for path, text in self._files(ledger, start_of(environ)):
            write_text(path, text)
            say(f"triton: wrote {path}")
        if self.summary is not None:
            from pytest_triton.reports.markdown import markdown

            append(self.summary, markdown(ledger))
        if self.annotate:
            from pytest_triton.reports.github import github

            for line in github(ledger, start=start_of(environ)).splitlines():
                say(line)

    def _files(self, ledger: Ledger, start: str) -> Iterator[tuple[Path, str]]:
        if self.html is not None:
            from pytest_triton.reports.html import html

            yield self.html, html(ledger)
        if self.markdown is not None:
            from pytest_triton.reports.markdown import markdown

            yield self.markdown, markdown(ledger)
        if self.gitlab is not None:
            from pytest_triton.reports.gitlab import gitlab

            yield self.gitlab, gitlab(ledger, start=start)


def append(path: Path, text: str) -> None:
    """Add to a file that is somebody else's. Raises LedgerUnusable."""
    try:
        with open(path, "ab") as file:
            file.write(text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        from pytest_triton.ledger.ledger_file import LedgerUnusable

        raise LedgerUnusable(
            f"{path} can't be written: {error.strerror or error}",
            fix="name a file in a directory that can be written to, with room on its disk",
        ) from None


def start_of(environ: Mapping[str, str]) -> str:
    """The current directory as seen from the CI's checkout; "" if it isn't below one."""
    for name in _ROOTS:
        root = environ.get(name)
        if root:
            relative = os.path.relpath(os.getcwd(), root)
            if relative != os.curdir and not relative.startswith(os.pardir):
                return relative
    return ""
