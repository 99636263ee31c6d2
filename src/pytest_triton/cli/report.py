"""`pytest-triton report LEDGER ...`: ledgers as what people look at.

    html      one page that needs nothing else: models x hardware, with a story for each model
    markdown  a summary, for $GITHUB_STEP_SUMMARY or a merge request
    github    annotations at the lines of config.pbtxt (workflow commands, for standard output)
    gitlab    a code quality report
    junit     a test for each model and hardware, for CI systems that show tests
    sarif     results at the lines of config.pbtxt, for code hosts that show them

All of them begin with the same verdict. Of a ledger that `merge --output` wrote it is merge's.
Several ledgers are put together as `merge` does. Without --format it follows from the name of
--output (.html, .md, .json for gitlab, .xml for junit, .sarif). Exit codes: 0 the report was made,
whatever it says (a report never decides: pytest and `merge` do); 1 a ledger can't be used or the
file not written; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from pytest_triton.errors import OptionError
from pytest_triton.ledger.entries import Ledger
from pytest_triton.ledger.fold import merged
from pytest_triton.ledger.ledger_file import read_ledger, write_text
from pytest_triton.reports.publish import append, start_of
from pytest_triton.text.paths import shown_path

FORMATS = ("html", "markdown", "github", "gitlab", "junit", "sarif")
_BY_SUFFIX = {
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".json": "gitlab",
    ".xml": "junit",
    ".sarif": "sarif",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Make a report of one or several ledgers (pytest --triton-ledger=FILE.json): an HTML "
        "page, a Markdown summary, GitHub annotations, a GitLab code quality report, a JUnit file "
        "or SARIF. It never fails for what the ledger says."
    )
    parser.add_argument("ledgers", nargs="+", type=Path, metavar="LEDGER", help="a ledger's file")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="what to make (default: by the name of --output, else markdown)",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="where to (default: standard output)"
    )
    parser.add_argument(
        "--append", action="store_true", help="add to FILE, as for $GITHUB_STEP_SUMMARY"
    )
    parser.add_argument("--title", default="Triton placement", help="of the page or summary")


def run(arguments: argparse.Namespace) -> int:
    output: Path | None = arguments.output
    suffix = output.suffix if output is not None else ""
    if suffix and not arguments.format and suffix not in _BY_SUFFIX:
        raise OptionError(
            f"The name of {shown_path(arguments.output)} doesn't say which report it is to be",
            fix=f"Name the report, --format={'|'.join(FORMATS)}, or write to a file that ends in "
            f"{', '.join(_BY_SUFFIX)}.",
        )
    chosen = arguments.format or _BY_SUFFIX.get(suffix, "markdown")
    ledger = merged(map(read_ledger, arguments.ledgers))
    text = render(chosen, ledger, arguments.title)
    if output is None:
        sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    elif arguments.append:
        append(output, text)
    else:
        write_text(output, text)
    return 0


def render(
    format: str,
    ledger: Ledger,
    title: str = "Triton placement",
    environ: Mapping[str, str] = os.environ,
) -> str:
    """A merged ledger in one of the FORMATS; paths as seen from the root of the CI's checkout."""
    start = start_of(environ)
    if format == "html":
        from pytest_triton.reports.html import html

        return html(ledger, title=title)
    if format == "markdown":
        from pytest_triton.reports.markdown import markdown

        return markdown(ledger, title=title)
    if format == "github":
        from pytest_triton.reports.github import github

        return github(ledger, start=start)
    if format == "junit":
        from pytest_triton.reports.junit import junit

        return junit(ledger, title=title)
    if format == "sarif":
        from pytest_triton.reports.sarif import ledger_as_sarif

        return ledger_as_sarif(ledger, start=start)
    from pytest_triton.reports.gitlab import gitlab

    return gitlab(ledger, start=start)
