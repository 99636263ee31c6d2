"""The documentation of a rule, as sections: what its page and `audit --explain` show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from pytest_triton._version import DOCUMENTATION
from pytest_triton.audit.rule import Example, Rule
from pytest_triton.text.wrapping import wrapped

_SCOPES = {
    "model": "a model",
    "directory": "a directory of the repository",
    "repository": "the repository as a whole",
    "deployment": "a server of a compose file or Kubernetes manifest (`--deployment`)",
}
_OPTIONS = {
    "--target": "the GPUs of production (`triton_target`). The rule finds nothing without it.",
    "--release": "the Triton release of production.",
    "--own-backend": "backends of your own (`triton_own_backends`).",
}

_GITHUB = "https://github.com/triton-inference-server"
_GUIDE = f"{_GITHUB}/server/blob/main/docs/user_guide"
_CONFIGURATION = f"{_GUIDE}/model_configuration.md"
# Where Triton describes what rules are about. The first that fits counts.
_REFERENCES = (
    ("TRT1", f"{_CONFIGURATION}#instance-groups"),
    ("TRT20[234]", f"{_GITHUB}/openvino_backend"),
    ("TRT20[567]", f"{_GUIDE}/optimization.md"),
    ("TRT20[89]", f"{_GITHUB}/onnxruntime_backend"),
    ("TRT21[12]|TRT24[456]", f"{_GITHUB}/vllm_backend"),
    ("TRT21[34]|TRT24[123]", f"{_GITHUB}/tensorrtllm_backend"),
    ("TRT22|TRT23|TRT403", f"{_GITHUB}/python_backend"),
    ("TRT2", f"{_GITHUB}/backend/blob/main/README.md"),
    ("TRT3", f"{_GUIDE}/ensemble_models.md"),
    ("TRT40[12]", f"{_CONFIGURATION}#instance-groups"),
    ("TRT404", f"{_CONFIGURATION}#dynamic-batcher"),
    ("TRT405", f"{_GUIDE}/rate_limiter.md"),
    ("TRT4", f"{_CONFIGURATION}#instance-groups"),
    ("TRT51[13]", f"{_CONFIGURATION}#model-warmup"),
    ("TRT503|TRT520", f"{_CONFIGURATION}#version-policy"),
    ("TRT523|TRT524|TRT527", f"{_CONFIGURATION}#custom-model-configuration"),
    ("TRT510|TRT512", f"{_GITHUB}/common/blob/main/protobuf/model_config.proto"),
    ("TRT5", f"{_GUIDE}/model_repository.md"),
    ("TRT60", f"{_CONFIGURATION}#instance-groups"),
    ("TRT625", f"{_GUIDE}/model_management.md#model-control-mode-poll"),
    ("TRT6", f"{_GITHUB}/server/tree/main/deploy"),
)
_URL = re.compile(r"https?://[^\s)>`,]+")


class Section(NamedTuple):
    """A heading and its text in Markdown: paragraphs, lists with `- `, fenced code."""

    heading: str
    text: str


def page_url(rule: Rule) -> str:
    """The address of the rule's page."""
    return f"{DOCUMENTATION}rules/{rule.id}.html"


def sections(rule: Rule) -> Iterator[Section]:
    """All that is known of a rule, under ruff's headings."""
    reported = ""
    if rule.reported_by:
        reported = f" Of the bundled checks, `{rule.reported_by}` fails for it."
    elif rule.scope == "deployment":
        reported = " Only the audit finds it, no check of `pytest --triton-deployment` does."
    yield Section(
        "What it does",
        f"{rule.summary}\n\nSeverity: {rule.severity}. About {_SCOPES[rule.scope]}.{reported}",
    )
    yield Section("Why is this bad?", rule.reason)
    yield Section("Example", _example(rule.failing))
    yield Section("Use instead", _example(rule.fixed))
    yield Section(
        "Fixable",
        "Where it is safe, `--fix` makes this change." if rule.fixable else "No.",
    )
    yield Section("Since", f"pytest-triton {rule.since}")
    yield Section("Options", "\n".join(_options(rule)))
    yield Section("References", "\n".join(f"- <{url}>" for url in references(rule)))


def references(rule: Rule) -> tuple[str, ...]:
    """Addresses of Triton's documentation and issues that the rule is about."""
    named = _URL.findall(rule.documentation)
    about = next(url for pattern, url in _REFERENCES if re.match(pattern, rule.id))
    return tuple(dict.fromkeys((about, *named)))


def _options(rule: Rule) -> Iterator[str]:
    for option in rule.options:
        yield f"- `{option}`: {_OPTIONS[option]}"
    comment = f"`# triton: ignore {rule.id}`"
    whole = f"`# triton: ignore-file {rule.id}`"
    if rule.scope == "deployment":
        yield (
            f"- {comment}: a comment in the YAML that suppresses the rule, on the line or on one "
            f"of its own above it; {whole} for the whole file."
        )
    elif rule.scope != "repository":
        yield (
            f"- {comment}: a comment in config.pbtxt that suppresses the rule there, on the line "
            f"or on one of its own above it; {whole} for the whole file and the model's other "
            "files."
        )
    about = "models" if rule.scope in ("model", "directory") else "paths (with a `/` in them)"
    yield f"- `--ignore '{rule.id}: PATTERN'` (`triton_audit_ignore`): suppresses it for {about}."


def _example(example: Example) -> str:
    parts = []
    single = list(example.files) == ["m/config.pbtxt", "m/1/.gitkeep"]
    for name, text in example.files.items():
        repository, colon, path = name.rpartition(":")
        shown = f"`{repository}/{path}`" if colon else f"`{path}`"
        if not text:
            if not single:
                parts.append(f"{shown} (empty)")
        elif text.startswith("-> "):
            parts.append(f"{shown}, a link to `{text[3:]}`")
        else:
            language = {"py": "python", "json": "json", "yaml": "yaml"}.get(
                name.rpartition(".")[2], ""
            )
            fence = f"```{language}\n{text.rstrip()}\n```"
            parts.append(fence if single else f"{shown}\n\n{fence}")
    if example.target is not None:
        parts.append(f"with `--target {example.target}`")
    if example.release:
        parts.append(f"with `--release {example.release}`")
    return "\n\n".join(parts)


def explanation(rule: Rule, width: int) -> str:
    """The rule's page for a terminal."""
    lines = [f"{rule.id} {rule.name} ({rule.severity})"]
    for section in sections(rule):
        lines += ["", section.heading, *_terminal_lines(section.text, width)]
    return "\n".join([*lines, "", page_url(rule)])


def _terminal_lines(markdown: str, width: int) -> Iterator[str]:
    blank = False
    for number, part in enumerate(re.split(r"^```\w*\n(.*?)^```$", markdown, flags=re.M | re.S)):
        if number % 2:  # code
            yield ""
            yield from ("      " + line if line else "" for line in part.splitlines())
            blank = True
            continue
        for paragraph in re.split(r"\n{2,}", part.strip()):
            if not paragraph:
                continue
            if blank:
                yield ""
            blank = True
            for item in re.split(r"\n(?=- )", paragraph):
                text = re.sub(r"<(https?:[^>]*)>", r"\1", item)
                if item.startswith("- <"):
                    yield f"  {text}"  # an address alone is never broken
                else:
                    behind = "    " if item.startswith("- ") else "  "
                    yield from wrapped(text, width, start="  ", behind=behind)
