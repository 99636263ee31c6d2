"""What somebody most likely meant whose config or model isn't where Triton looks for it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from pytest_triton.diagnostics.diagnostic import Diagnostic, Effect
from pytest_triton.placement.backends import MODEL_FILES
from pytest_triton.repository.not_fetched import not_fetched
from pytest_triton.text.paths import move, shown_path
from pytest_triton.text.shown_text import printable

CONFIG_NAME = "config.pbtxt"
CONFIG_MISNAMED = "config-misnamed"

_TEMPLATES = (".template", ".tmpl", ".tpl", ".j2", ".jinja", ".jinja2", ".in", ".example", ".dist")
_OTHER_NAMES = ("config.prototxt", "config.textproto", "config.pb.txt", "config.txt", "config.pb")
_OTHER_FORMATS = ("config.yaml", "config.yml", "config.json", "config.toml")
_PLACES = ("conf", "config", "configs", "cfg", "model")  # of configs, by mistake
_MOST_SUBDIRECTORIES = 50
_DEEPEST = 3  # directories below which repositories are looked for
# Directories that tools and file systems make, and nobody wants to serve.
_TOOLS = {
    "lost+found": "It is the file system's own: serve a directory below it.",
    ".git": "Serve a directory below the checkout's root.",
    ".ipynb_checkpoints": "Jupyter makes it: delete it, and keep it out of images (.dockerignore).",
    "__pycache__": "Python makes it: delete it.",
    "__MACOSX": "A Mac's zip makes it: delete it.",
}


def misnamed_config(directory: Path, files: Sequence[str], subdirectories: Sequence[str]) -> str:
    """The file that was meant for config.pbtxt, relative to the model's directory; or ""."""
    names = sorted(files)
    for name in names:
        if name.lower().strip() == CONFIG_NAME or name.lower().startswith(CONFIG_NAME):
            return name
    for name in names:
        if name.lower() in _OTHER_NAMES or get_close_matches(
            name.lower(), [CONFIG_NAME], n=1, cutoff=0.87
        ):
            return name
    inside = [name for name in subdirectories if name.isdigit() or name.lower() in _PLACES]
    for subdirectory in sorted(inside)[:_MOST_SUBDIRECTORIES]:
        if os.path.isfile(directory / subdirectory / CONFIG_NAME):
            return f"{subdirectory}/{CONFIG_NAME}"
    fallbacks = [name for name in names if name.endswith(".pbtxt")]
    fallbacks += [name for name in names if name.lower() in _OTHER_FORMATS]
    return next(iter(fallbacks), "")


def misnamed_problem(directory: Path, meant: str, effect: Effect) -> Diagnostic:
    here = shown_path(directory)
    if meant.lower().endswith(_TEMPLATES):
        fix = "It is a template: give it values (--triton-values=FILE or NAME=VALUE), or render it "
        fix += "first, and check the repository that comes out."
    elif "templ" in meant.lower():  # by a name that isn't read as one: config_template.pbtxt
        fix = "It is a template: render it first and check the repository that comes out; or call "
        fix += f"it {CONFIG_NAME}.template and give it values (--triton-values=FILE or NAME=VALUE)."
    elif meant.lower() in _OTHER_FORMATS:
        fix = f"Triton reads protobuf text only: write its fields into {CONFIG_NAME}, such as "
        fix += 'backend: "python".'
    elif "/" in meant:
        fix = f"Its place is beside the version directories: {move(f'{here}/{meant}', f'{here}/')}"
    elif meant.endswith(".pbtxt") and meant.lower().strip() != CONFIG_NAME:
        fix = (
            f"Rename it to {CONFIG_NAME}; or, as a variant for --model-config-name, move it to "
            f"{here}/configs/ and add a {CONFIG_NAME}."
        )
    else:
        fix = f"Rename it to {CONFIG_NAME}."
    return Diagnostic(
        path=directory / meant,
        message=f"there is no {CONFIG_NAME}, but `{printable(meant)}`, which Triton doesn't read",
        fix=fix,
        effect=effect,
        name=CONFIG_MISNAMED,
    )


def not_a_model_fix(directory: Path, entries: Collection[str]) -> tuple[str, str]:
    """What a directory is that is no model, and what to do about it."""
    name = directory.name
    if not entries:
        missing = not_fetched(directory)
        if missing is not None:
            return f"is empty: it {missing.what}", missing.fix
        return (
            "is empty: no config.pbtxt, no version directory",
            "Was it fetched? If nothing belongs into it, remove it: Triton takes it for a model.",
        )
    message = "is not a model: it has no config.pbtxt and no version directory"
    if name in _TOOLS:
        return message, f"Triton takes it for one, and is never ready with it. {_TOOLS[name]}"
    if name.startswith(".."):
        return (
            message,
            "It belongs to a ConfigMap or Secret that is mounted as the repository, and Triton "
            "takes it for a model: mount each file with subPath, or copy the files to a volume of "
            "their own.",
        )
    inner = next(repositories_below(directory), None)
    if inner is not None:
        kind = " (a git submodule)" if os.path.lexists(directory / ".git") else ""
        return (
            message,
            f"It holds models itself{kind}: name it as a repository of its own, "
            f"{shown_path(inner)}.",
        )
    return (
        message,
        "Triton takes every directory in a repository for a model, and is not ready as long as "
        "one fails: move it elsewhere.",
    )


def repositories_below(directory: Path, depth: int = _DEEPEST) -> Iterator[Path]:
    """The directories in and below one that hold models, itself first."""
    try:
        with os.scandir(directory) as entries:
            folders = sorted(
                entry.name
                for entry in islice(entries, _MOST_SUBDIRECTORIES)
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
            )
    except OSError:
        return
    if any(os.path.isfile(directory / name / CONFIG_NAME) for name in folders):
        yield directory
    elif depth:
        for name in folders:
            yield from repositories_below(directory / name, depth - 1)


def misplaced_model_file(entries: Collection[str], wanted: str) -> str:
    """A model's file among what stands beside config.pbtxt; or ""."""
    known = ([wanted] if wanted else []) + list(MODEL_FILES)
    return next((name for name in known if name in entries), "")


def version_by_name(directory: Path, subdirectories: Sequence[str], wanted: str) -> str:
    """A directory that holds a model's file, and whose name is no number; or ""."""
    for name in sorted(subdirectories)[:_MOST_SUBDIRECTORIES]:
        if any(os.path.lexists(directory / name / file) for file in (wanted, *MODEL_FILES) if file):
            return printable(name)
    return ""


def misplaced_file(directory: Path, versions: Collection[int], name: str) -> str:
    """What to do about a file that stands in a version's directory; "" if it doesn't."""
    if not name or "/" in name:
        return ""
    for version in versions:
        if os.path.isfile(directory / str(version) / name):
            here, file = shown_path(directory), printable(name)
            command = move(f"{here}/{version}/{file}", f"{here}/")
            return f"It stands in {version}/: {command}"
    return ""
