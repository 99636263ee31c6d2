"""Troubleshooting, from the tables of causes in the code."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

from pytest_triton.diagnostics import reasons as refusal_reasons
from pytest_triton.inference import errors as inference_errors
from pytest_triton.placement import advice
from pytest_triton.servers import exit_diagnosis
from pytest_triton.servers.process.releases import RELEASES

_OPTION = re.compile(r"(?<![\w/])(--[\w-]+(?:=[\w.:/-]*\w)?)")
_REFUSALS = Path(__file__).resolve().parents[1] / "refusals.json"


def exits() -> str:
    """Why a server ended: a section for each cause that is recognized in its log."""
    parts = []
    for _, (name, meaning, fix, _) in exit_diagnosis._CAUSES:
        parts += [f"### {name[:1].upper()}{name[1:]}", "", _sentence(_filled(meaning)), ""]
        parts += [f"**What to do:** {_code(fix)}.", ""]
    return "\n".join(parts)


def reasons() -> str:
    """Why a model was refused: a section for each reason."""
    meanings = dict(re.findall(r'"([\w-]+)",  # (.*)', inspect.getsource(refusal_reasons)))
    parts = []
    for reason in refusal_reasons.REASONS:
        cause, _ = advice._CAUSES.get(reason, ("", None))
        parts += [f"(reason-{reason})=", f"### `{reason}`", "", _sentence(meanings[reason])]
        parts += ["", _code(cause), ""] if cause else [""]
    return "\n".join(parts)


def inference() -> str:
    """Why an inference gave no answer."""
    lines = ["| `reason` | what it means | what to do |", "|---|---|---|"]
    causes = [known.cause for known in inference_errors._KNOWN]
    for reason, summary, fix in (
        *causes,
        inference_errors._GONE_CAUSE,
        inference_errors._OTHER,
    ):
        lines.append(f"| `{reason}` | {_sentence(summary)} | {_sentence(fix)} |")
    return "\n".join(lines)


def refusals() -> str:
    """All that Triton's core refuses, from refusals.json."""
    lines = ["| stage | message | releases | predicted |", "|---|---|---|---|"]
    for one in json.loads(_REFUSALS.read_text("utf-8")):
        predicted = "yes" if one["predicted"] else f"no: {_cell(one.get('why', ''))}"
        lines.append(
            f"| {one['stage']} | `{_cell(one['message'])}` | {_cell(one['releases'])} "
            f"| {predicted} |"
        )
    return "\n".join(lines)


def releases() -> str:
    """The releases of tritonserver that `install` fetches."""
    lines = [
        "| tritonserver | NGC | Python models on | glibc | download |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.version} | {one.ngc} | {_range(one.stubs)} | {one.glibc[0]}.{one.glibc[1]} "
        f"| {one.size / 1e6:.0f} MB |"
        for one in RELEASES
    ]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


def _range(versions: tuple[str, ...]) -> str:
    return versions[0] if len(versions) == 1 else f"{versions[0]} to {versions[-1]}"


def _filled(meaning: str) -> str:
    return meaning.replace("'{what}", "…").replace("{what}", "…")


def _sentence(text: str) -> str:
    text = _code(text)
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."


def _code(text: str) -> str:
    """Options and paths as code, where they aren't already."""
    return "".join(
        piece if piece.startswith("`") else _OPTION.sub(r"`\1`", piece).replace("*", r"\*")
        for piece in re.split(r"(`[^`]*`)", text)
    )
