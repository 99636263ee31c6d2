"""TRT5..: what stands on disk: names, versions, model files, variants, unreadable parts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from pytest_triton.audit.correct_groups import group_lines, wanted_kind
from pytest_triton.audit.rule import rule
from pytest_triton.audit.rules.refusals import refusals
from pytest_triton.audit.subject import MOST_VARIANTS, Subject, diagnostic_at
from pytest_triton.diagnostics.diagnostic import Diagnostic, Effect
from pytest_triton.placement.declared import Declared, DeclaredGroup, OnDisk
from pytest_triton.repository import position_of, read_config
from pytest_triton.repository.bounded_read import entries, files_below, read_bytes
from pytest_triton.repository.models import LABELS_MISSING, NOT_A_MODEL
from pytest_triton.repository.near_misses import CONFIG_MISNAMED
from pytest_triton.repository.not_fetched import not_fetched
from pytest_triton.text.paths import is_circle
from pytest_triton.text.shown_text import printable

_POINTER = b"version https://git-lfs.github.com/spec/"
_MOST_FILES = 1000  # of a version
_LABELLED = """\
backend: "python"
instance_group [ { kind: KIND_CPU } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] label_filename: "labels.txt" } ]
"""
_CODE = "class TritonPythonModel:\n    def execute(self, requests): ...\n"
_GOOD = 'backend: "python"\ninstance_group [ { kind: KIND_CPU } ]\n'


def _kind_of(problem: Diagnostic, subject: Subject) -> str:
    """The rule that a problem of the repository falls under."""
    if problem.name == CONFIG_MISNAMED:
        return "TRT526"
    if problem.name == NOT_A_MODEL:
        return "TRT507"
    if problem.effect is Effect.BREAKS_SERVER:
        return "TRT508"
    config = subject.model.config_file
    if config is not None and problem is config.problem:
        return "TRT501"  # what Triton accepts too, if it wasn't read
    if problem.effect is Effect.ACCEPTED:
        return "TRT509"
    if not subject.model.readable:
        return "TRT501"
    if problem.name == LABELS_MISSING:
        return "TRT505"
    if problem.reason == "ensemble" and problem.field == "instance_group":
        return "TRT301"
    in_config = config is not None and problem.path == config.path
    return {
        "name": "TRT502",
        "version": "TRT503",
        "no-backend": "TRT504",
        "duplicate": "TRT506",
    }.get(problem.reason, "TRT510" if in_config else "TRT507")


def _problems(rule_id: str) -> Callable[[Subject], Iterator[Diagnostic]]:
    def find(subject: Subject) -> Iterator[Diagnostic]:
        for problem in subject.model.problems:
            if _kind_of(problem, subject) == rule_id:
                message = f"{problem.message}. {problem.fix}".rstrip(". ")
                yield replace(problem, message=message, fix="", source_line="")

    return find


@rule(
    "TRT501",
    "config-unreadable",
    "error",
    scope="directory",
    reported_by="test_config",
    failing='backend: "python"\ninstance_group [ { kind: KIND_GPU gpu: [ 0 ] } ]\n',
    fixed='backend: "python"\ninstance_group [ { kind: KIND_GPU gpus: [ 0 ] } ]\n',
)
def config_unreadable(subject: Subject) -> Iterator[Diagnostic]:
    """config.pbtxt can't be read or parsed.

    Triton drops the model while it polls the repository: the index has its name, and no reason.
    The reason stands in the server's log only. One misspelt field is enough.

    A file of more than 1 MB isn't read, although Triton would: nothing else is said of the model.
    """
    yield from _problems("TRT501")(subject)


@rule(
    "TRT502",
    "name-differs",
    "error",
    scope="directory",
    reported_by="test_config",
    failing='name: "other"\n' + _GOOD,
    fixed='name: "m"\n' + _GOOD,
)
def name_differs(subject: Subject) -> Iterator[Diagnostic]:
    """The config's name is not the directory's.

    Triton drops the model while polling. The name can be left out; then it is the directory's.
    """
    yield from _problems("TRT502")(subject)


@rule(
    "TRT503",
    "no-version",
    "error",
    scope="directory",
    reported_by="test_config",
    failing={"m/config.pbtxt": _GOOD, "m/v1/.gitkeep": ""},
    fixed={"m/config.pbtxt": _GOOD, "m/1/.gitkeep": ""},
)
def no_version(subject: Subject) -> Iterator[Diagnostic]:
    """There is no version directory that the version policy takes.

    Versions are directories named by a number without a leading zero. git keeps no empty
    directories: an ensemble's needs a file such as `.gitkeep`. Without a version the model is
    missing from Triton's index.
    """
    yield from _problems("TRT503")(subject)


@rule(
    "TRT504",
    "no-backend",
    "error",
    scope="directory",
    reported_by="test_config",
    failing="max_batch_size: 8\n",
    fixed=_GOOD,
)
def no_backend(subject: Subject) -> Iterator[Diagnostic]:
    """Nothing names a backend: no `backend`, no `platform`, no file that Triton knows.

    Triton guesses from the files in the first subdirectory. Where weights arrive later, as in a
    checkout, the guess fails or changes: write `backend`.
    """
    yield from _problems("TRT504")(subject)


@rule(
    "TRT505",
    "labels-missing",
    "error",
    scope="directory",
    reported_by="test_config",
    failing={
        "m/config.pbtxt": _LABELLED,
        "m/1/.gitkeep": "",
    },
    fixed={
        "m/config.pbtxt": _LABELLED,
        "m/1/.gitkeep": "",
        "m/labels.txt": "cat\ndog\n",
    },
)
def labels_missing(subject: Subject) -> Iterator[Diagnostic]:
    """An output names a label file that isn't in the model's directory.

    Triton refuses the model when it loads it.
    """
    yield from _problems("TRT505")(subject)


@rule(
    "TRT506",
    "model-twice",
    "error",
    scope="directory",
    reported_by="test_config",
    failing={
        "a:m/config.pbtxt": _GOOD,
        "a:m/1/.gitkeep": "",
        "b:m/config.pbtxt": _GOOD,
        "b:m/1/.gitkeep": "",
    },
    fixed={
        "a:m/config.pbtxt": _GOOD,
        "a:m/1/.gitkeep": "",
        "b:n/config.pbtxt": _GOOD,
        "b:n/1/.gitkeep": "",
    },
)
def model_twice(subject: Subject) -> Iterator[Diagnostic]:
    """A model of this name stands in several repositories of one server.

    Triton loads none of them. Rename one, or serve the repositories apart.
    """
    yield from _problems("TRT506")(subject)


@rule(
    "TRT507",
    "not-a-model",
    "error",
    scope="directory",
    reported_by="test_config",
    failing={"m/config.pbtxt": _GOOD, "m/1/.gitkeep": "", "notes/readme.txt": "hello\n"},
    fixed={"m/config.pbtxt": _GOOD, "m/1/.gitkeep": "", "readme.txt": "hello\n"},
)
def not_a_model(subject: Subject) -> Iterator[Diagnostic]:
    """A directory in the repository is no model, or can't be looked at.

    Triton takes every directory for a model, hidden ones such as `.git` too, and is never ready
    as long as one of them fails. The same goes for links that lead nowhere.
    """
    yield from _problems("TRT507")(subject)


@rule(
    "TRT508",
    "breaks-server",
    "error",
    scope="directory",
    reported_by="test_config",
    failing={"m/config.pbtxt": _GOOD, "m/1/.gitkeep": "", "m/99999999999999999999/.gitkeep": ""},
    fixed={"m/config.pbtxt": _GOOD, "m/1/.gitkeep": ""},
)
def breaks_server(subject: Subject) -> Iterator[Diagnostic]:
    """What stands in this directory keeps Triton from serving the other models too.

    Version numbers beyond 64 bits, links in circles, names and strings that aren't UTF-8: Triton
    crashes on them, never ends, or answers what no client can read.
    """
    yield from _problems("TRT508")(subject)


@rule(
    "TRT509",
    "odd-version",
    "warning",
    scope="directory",
    failing={"m/config.pbtxt": _GOOD, "m/1/.gitkeep": "", "m/2.old/.gitkeep": ""},
    fixed={"m/config.pbtxt": _GOOD, "m/1/.gitkeep": "", "m/old-2/.gitkeep": ""},
)
def odd_version(subject: Subject) -> Iterator[Diagnostic]:
    """A directory counts as a version by accident, or leads back to where it stands.

    Triton reads a number at the start of a name: `2.old` is version 2, the newest, and its files
    are looked for in `2`, which isn't there. A link to a directory above is followed 40 times.
    """
    yield from _problems("TRT509")(subject)


@rule(
    "TRT510",
    "config-refused",
    "error",
    scope="directory",
    reported_by="test_config",
    failing="max_batch_size: -1\n" + _GOOD,
    fixed="max_batch_size: 1\n" + _GOOD,
)
def config_refused(subject: Subject) -> Iterator[Diagnostic]:
    """The config contradicts itself, and Triton refuses it on any hardware.

    Batch sizes, schedulers, queue policies, tensors of ensembles: what Triton's core checks before
    it looks at hardware, and when it loads the model: batch I/O, states, labels. The message says
    which, and what to write instead.
    """
    yield from _problems("TRT510")(subject)
    yield from refusals("TRT510")(subject)


@rule(
    "TRT520",
    "version-not-there",
    "warning",
    failing={
        "m/config.pbtxt": _GOOD + "version_policy { specific { versions: [ 1, 3 ] } }\n",
        "m/1/.gitkeep": "",
    },
    fixed={
        "m/config.pbtxt": _GOOD + "version_policy { specific { versions: [ 1, 3 ] } }\n",
        "m/1/.gitkeep": "",
        "m/3/.gitkeep": "",
    },
)
def version_not_there(subject: Subject) -> Iterator[Diagnostic]:
    """The version policy asks for a version that isn't there, beside others that are.

    Triton loads the others and says nothing: the model is READY, and requests for the missing
    version fail.
    """
    if not subject.model.versions_to_load:
        return  # then the model is refused, which has a rule of its own
    for number, version in enumerate(subject.config.version_policy.specific.versions):
        if version not in subject.model.versions:
            yield subject.at(
                (
                    f"version_policy.specific.versions[{number}]",
                    "version_policy.specific.versions",
                    "version_policy",
                ),
                f"version {version} isn't there, and Triton says nothing about it",
            )


@rule(
    "TRT521",
    "model-file-missing",
    "warning",
    failing={
        "m/config.pbtxt": 'backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU } ]\n',
        "m/1/modell.onnx": "weights",
    },
    fixed={
        "m/config.pbtxt": 'backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU } ]\n',
        "m/1/model.onnx": "weights",
    },
)
def model_file_missing(subject: Subject) -> Iterator[Diagnostic]:
    """A version directory has files, and not the model's; or it is a python model's, and empty.

    Triton refuses the model on any hardware once a backend looks for it; the python backend waits
    without end for a `model.py` that isn't there, and the server never comes up. Nothing is said of
    other empty version directories, for weights that aren't kept in the repository are common, nor
    where a `.gitkeep` says that the files come later: git keeps no empty directory. A file by
    another name can be named in `default_model_filename`.
    """
    file = subject.config.default_model_filename
    if subject.declared.is_ensemble or not file or "/" in file:
        return
    assumed = subject.audited.assumes_files
    if subject.backend.name != "python" and not subject.backend.model_files:
        return  # nobody knows what it looks for
    for directory in subject.version_directories:
        if os.path.lexists(directory / file):
            continue
        listed = [one for one in entries(directory) or () if one.name[0] != "."]
        there = {one.name: os.path.isdir(one.path) for one in listed}
        elsewhere = _elsewhere(subject, directory, file, there)
        if elsewhere:
            yield diagnostic_at(directory, None, None, f"has no `{printable(file)}`: {elsewhere}")
            continue
        if assumed:
            continue
        pointer = next((name for name in there if name == f"{file}.dvc"), "")
        if pointer:
            continue  # not-fetched has it
        if not there:
            if subject.backend.name == "python" and _is_left_empty(directory):
                yield diagnostic_at(
                    directory,
                    None,
                    None,
                    f"is empty, and Triton's python backend waits for its `{printable(file)}` "
                    "without end. If it is fetched later: --triton-weights=elsewhere",
                )
            continue
        readable = [name for name, is_dir in there.items() if _may_be_model(subject, name, is_dir)]
        close = get_close_matches(file, readable, n=1) or readable[:1]
        if close:
            what = f"but `{printable(close[0])}`"
            what += f" and {len(there) - 1} more" if len(there) > 1 else ""
        else:
            names = ", ".join(printable(name) for name in sorted(there)[:3])
            what = f"and nothing that {subject.declared.backend} could read: {names}"
            what += f", {len(there) - 3} more" if len(there) > 3 else ""
            what += ". Is it fetched later?"
        fix = f'default_model_filename: "{close[0]}"' if close and close[0].isprintable() else ""
        yield diagnostic_at(directory, None, None, f"has no `{printable(file)}`, {what}", fix)


def _is_left_empty(directory: Path) -> bool:
    """Whether nothing at all is there, and nothing says that it is to come."""
    return entries(directory, 1) == [] and not_fetched(directory) is None


def _elsewhere(subject: Subject, directory: Path, file: str, there: Mapping[str, bool]) -> str:
    """Where the model's file stands instead: beside config.pbtxt, or a level too deep."""
    if file.endswith(".savedmodel") and "saved_model.pb" in there:
        return f"it is a directory. Move saved_model.pb and its variables into {file}/"
    if os.path.lexists(subject.model.directory / file):
        return f"it stands beside config.pbtxt. Move it into {directory.name}/"
    for name, is_dir in sorted(there.items()):
        if is_dir and os.path.lexists(directory / name / file):
            return f"it stands in {printable(name)}/, a level too deep. Move it up"
    return ""


_ENDINGS = {
    "onnxruntime": (".onnx",),
    "openvino": (".xml", ".onnx"),
    "python": (".py",),
    "pytorch": (".pt", ".pth", ".ts", ".torchscript", ".pt2", ".jit"),
    "tensorflow": (".savedmodel",),
    "tensorrt": (".plan", ".engine", ".trt"),
}


def _may_be_model(subject: Subject, name: str, is_dir: bool) -> bool:
    """Whether the backend could read a file of this name."""
    endings = _ENDINGS.get(subject.declared.backend)
    if subject.config.default_model_filename.endswith(".graphdef"):
        endings = (".graphdef", ".pb")
    if endings is None:
        return not is_dir
    return name.lower().endswith(endings) and (not is_dir or name.endswith(".savedmodel"))


@rule(
    "TRT522",
    "lfs-pointer",
    "warning",
    failing={
        "m/config.pbtxt": 'backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU } ]\n',
        "m/1/model.onnx": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    },
    fixed={
        "m/config.pbtxt": 'backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU } ]\n',
        "m/1/model.onnx": "weights",
    },
)
def lfs_pointer(subject: Subject) -> Iterator[Diagnostic]:
    """A model's file isn't fetched: a pointer of Git LFS, DVC or git-annex stands in its place.

    The backend fails on it with an error about its own format, or misses its file. Pull before the
    repository is deployed or copied into an image; files in folders below the version count, those
    that the config names (labels, warm-up), and versions that are git submodules. In a
    job that only reads configs (a pull request, a rehearsal) pointers are fine: ignore this rule
    there.
    """
    if subject.audited.assumes_files:
        return
    named = subject.model.on_disk.named_files or {}
    for path in (Path(file.path) for file in named.values()):
        what = _pointer(path)
        if what:
            yield diagnostic_at(path, 1, 1, what)
    for directory in subject.version_directories:
        missing = not_fetched(directory) if entries(directory, 1) == [] else None
        if missing is not None:
            yield diagnostic_at(directory, None, None, f"{missing.what}: {missing.command}")
        for path in islice(files_below(directory), _MOST_FILES):
            what = _pointer(path)
            if what:
                yield diagnostic_at(path, 1, 1, what)


def _pointer(path: Path) -> str:
    """What to say of a small file that stands for a large one; "" if it doesn't."""
    if path.suffix == ".dvc":
        if os.path.exists(path.with_suffix("")):
            return ""
        return f"`{printable(path.stem)}` is not pulled, only its pointer is here: dvc pull"
    try:
        if not os.path.isfile(path) or path.stat().st_size >= 1024:
            return ""
    except OSError:
        return ""
    start = read_bytes(path, len(_POINTER)) or b""
    if start == _POINTER:
        return "is a Git LFS pointer, not the model: git lfs pull"
    if b"/annex/objects/" in start:
        return "is a git-annex pointer, not the model: git annex get"
    return ""


@rule(
    "TRT530",
    "model-file-empty",
    "warning",
    failing={
        "m/config.pbtxt": 'backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU } ]\n',
        "m/1/model.onnx": "",
    },
    fixed={
        "m/config.pbtxt": 'backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU } ]\n',
        "m/1/model.onnx": "weights",
    },
)
def model_file_empty(subject: Subject) -> Iterator[Diagnostic]:
    """A model's file has no bytes, or its directory no files.

    A download or an export that broke off leaves such files, and `touch` makes them to keep a
    directory in git. Backends refuse the model with an error about their own format. Where the
    weights are elsewhere on purpose, `--weights=elsewhere` goes without them.
    """
    file = subject.config.default_model_filename
    if subject.audited.assumes_files or not subject.backend.model_files or not file:
        return
    if "/" in file or subject.backend.name == "python":  # of model.py other rules know more
        return
    for directory in subject.version_directories:
        path = directory / file
        if os.path.isdir(path):
            if not any(entries(path) or ()):
                yield diagnostic_at(path, None, None, "is an empty directory")
        elif os.path.isfile(path) and os.path.getsize(path) == 0:
            yield diagnostic_at(path, None, None, "is an empty file: fetch or export it again")


@rule(
    "TRT523",
    "variant-broken",
    "error",
    failing={
        "m/config.pbtxt": _GOOD,
        "m/1/.gitkeep": "",
        "m/configs/h100.pbtxt": 'backend: "python"\ninstance_groups [ ]\n',
    },
    fixed={
        "m/config.pbtxt": _GOOD,
        "m/1/.gitkeep": "",
        "m/configs/h100.pbtxt": _GOOD,
    },
)
def variant_broken(subject: Subject) -> Iterator[Diagnostic]:
    """A variant in `configs/` can't be read or parsed.

    `--model-config-name=h100` takes `configs/h100.pbtxt` where there is one: the model is refused
    on just the servers that are started with it.
    """
    for name in subject.model.variants[:MOST_VARIANTS]:
        path = subject.model.directory / "configs" / f"{name}.pbtxt"
        problem = read_config(path).problem
        if problem is not None:
            yield diagnostic_at(path, problem.line, problem.column, problem.message)


@rule(
    "TRT524",
    "variant-falls-back",
    "warning",
    failing={
        "m/config.pbtxt": _GOOD,
        "m/1/.gitkeep": "",
        "m/configs/h100.pbtxt": 'backend: "python"\n',
    },
    fixed={
        "m/config.pbtxt": _GOOD,
        "m/1/.gitkeep": "",
        "m/configs/h100.pbtxt": 'backend: "python"\ninstance_group [ { kind: KIND_GPU } ]\n',
    },
)
def variant_falls_back(subject: Subject) -> Iterator[Diagnostic]:
    """A variant in `configs/` leaves to Triton what config.pbtxt decides.

    A server that is started with `--model-config-name` reads the variant instead of config.pbtxt,
    as a whole: an instance_group of config.pbtxt doesn't count there, and the model may come up
    on the CPU. (The other way round, a name that has no variant silently means config.pbtxt.)
    """
    if not subject.declared.is_explicit or subject.declared.is_ensemble:
        return
    for name in subject.model.variants[:MOST_VARIANTS]:
        path = subject.model.directory / "configs" / f"{name}.pbtxt"
        file = read_config(path)
        if file.config is None:
            continue
        declared = Declared.of(file.config, on_disk=OnDisk(subject.model.name))
        declared = replace(declared, backend=declared.backend or subject.declared.backend)
        if declared.is_explicit or subject.backend.only is not None:
            continue
        place = position_of(file.text, "instance_group") or (1, 1)
        yield diagnostic_at(
            path,
            *place,
            "leaves the kind to Triton, which config.pbtxt doesn't: without a GPU this variant "
            "lands on the CPU",
            group_lines(
                subject, subject.declared.groups or [DeclaredGroup(kind=wanted_kind(subject))]
            ),
        )


@rule(
    "TRT525",
    "unreadable-file",
    "warning",
    failing={
        "m/config.pbtxt": _GOOD,
        "m/1/model.py": "-> ../gone/model.py",
    },
    fixed={
        "m/config.pbtxt": _GOOD,
        "m/1/model.py": "class TritonPythonModel:\n    def execute(self, requests): ...\n",
    },
)
def unreadable_file(subject: Subject) -> Iterator[Diagnostic]:
    """A model's file is a link that leads nowhere, or can't be read by the user who runs this.

    A link that leads back to itself leads nowhere, too. Links often point to where the weights lie
    on the machine that made them. Files that can't be read come from a build that ran as root, or
    with a strict umask; the server's user has the same trouble with them.
    """
    for directory in subject.version_directories:
        if not os.path.isdir(directory):
            continue  # odd-version has it
        if not os.access(directory, os.R_OK | os.X_OK):
            yield diagnostic_at(directory, None, None, "can't be read: chmod -R a+rX")
            continue
        file = subject.config.default_model_filename
        path = directory / file if file and "/" not in file else None
        if path is None or not os.path.lexists(path):
            continue
        if not os.path.exists(path):
            if not subject.audited.assumes_files:
                where = "in a circle" if is_circle(path) else "nowhere"
                yield diagnostic_at(path, None, None, f"is a link that leads {where}")
        elif not os.access(path, os.R_OK) and path not in dict(subject.files_to_read):
            yield diagnostic_at(path, None, None, "can't be read: chmod a+r")


@rule(
    "TRT526",
    "config-misnamed",
    "error",
    scope="directory",
    failing={"m/config.pbtxt.txt": _GOOD, "m/1/model.py": _CODE},
    fixed={"m/config.pbtxt": _GOOD, "m/1/model.py": _CODE},
)
def config_misnamed(subject: Subject) -> Iterator[Diagnostic]:
    """There is no config.pbtxt, but a file that was meant for one.

    `config.pbtxt.txt`, `Config.pbtxt`, one in the version directory or in `config/`, a template
    that nobody has rendered: Triton reads `<model>/config.pbtxt` only, and without it completes a
    config where the backend can, without what the file says.
    """
    yield from _problems("TRT526")(subject)


@rule(
    "TRT527",
    "variant-misplaced",
    "warning",
    failing={
        "m/config.pbtxt": _GOOD,
        "m/1/.gitkeep": "",
        "m/h100.pbtxt": 'backend: "python"\ninstance_group [ { kind: KIND_GPU } ]\n',
    },
    fixed={
        "m/config.pbtxt": _GOOD,
        "m/1/.gitkeep": "",
        "m/configs/h100.pbtxt": 'backend: "python"\ninstance_group [ { kind: KIND_GPU } ]\n',
    },
)
def variant_misplaced(subject: Subject) -> Iterator[Diagnostic]:
    """A config beside config.pbtxt: Triton looks for variants in `configs/` only.

    `--model-config-name=h100` takes `configs/h100.pbtxt` where there is one, and else config.pbtxt,
    without a word.
    """
    if subject.model.config_file is None:
        return
    for name in subject.model.beside:
        if not name.endswith(".pbtxt") or name == "config.pbtxt":
            continue
        path = subject.model.directory / name
        config = read_config(path).config
        if config is not None and (config.backend or config.platform or len(config.input)):
            yield diagnostic_at(
                path,
                None,
                None,
                "is a config that Triton never reads: variants for --model-config-name stand in "
                f"configs/{printable(name)}",
            )
