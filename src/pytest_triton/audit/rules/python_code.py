"""TRT23.: whether the python backend can import a model's code, call it, and start its Python."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pytest_triton.audit.parameters import parameter, parameter_fields
from pytest_triton.audit.rule import rule
from pytest_triton.audit.subject import Subject, diagnostic_at
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.placement.predict import model_like
from pytest_triton.repository.bounded_read import read_bytes
from pytest_triton.text.paths import is_circle
from pytest_triton.text.shown_text import printable

_CPU = 'backend: "python"\ninstance_group [ { kind: KIND_CPU } ]\n'
_GOOD = """\
class TritonPythonModel:
    def execute(self, requests):
        return []
"""


def _example(code: str, config: str = _CPU, **files: str) -> dict[str, str]:
    return {"m/config.pbtxt": config, "m/1/model.py": code, **files}


def _obstacles(subject: Subject, kind: str) -> Iterator[Diagnostic]:
    for one in subject.obstacles:
        if one.name == kind:
            yield one


@rule(
    "TRT230",
    "python-import-fails",
    "error",
    failing=_example(_GOOD.replace("requests):", "requests)")),
    fixed=_example(_GOOD),
)
def python_import_fails(subject: Subject) -> Iterator[Diagnostic]:
    """The code of a python model can't be imported.

    A syntax error, an encoding that Python doesn't read (UTF-16, null bytes), or a relative import
    of a module that isn't there. The model is refused when it loads. The backend imports
    `<version>.model`, with the version's and the model's directory on sys.path: `from .helper
    import x` is a file beside model.py, and two dots lead out of the package.

    Syntax is checked by the Python that runs the audit, and the message names its version: a model
    that is meant for a newer one has to be audited with that.
    """
    yield from _obstacles(subject, "import")


@rule(
    "TRT231",
    "python-class-missing",
    "error",
    failing=_example(_GOOD.replace("PythonModel", "Pythonmodel")),
    fixed=_example(_GOOD),
)
def python_class_missing(subject: Subject) -> Iterator[Diagnostic]:
    """The code of a python model has no class TritonPythonModel.

    The name is fixed, with its capitals: the model is refused when it loads. It may also be
    imported or assigned.
    """
    yield from _obstacles(subject, "class")


@rule(
    "TRT232",
    "python-method-missing",
    "error",
    failing=_example(_GOOD.replace("execute", "run")),
    fixed=_example(_GOOD),
)
def python_method_missing(subject: Subject) -> Iterator[Diagnostic]:
    """TritonPythonModel has no `execute`, or a method that can't be called as Triton does.

    Without `execute(self, requests)` the model is READY, and its first request fails.
    `initialize(self, args)` and `auto_complete_config(config)`, which must be a static method,
    fail when the model loads.
    """
    yield from _obstacles(subject, "method")


@rule(
    "TRT233",
    "python-parameter-missing",
    "error",
    failing=_example(
        "import json\n\n\nclass TritonPythonModel:\n    def initialize(self, args):\n"
        '        parameters = json.loads(args["model_config"])["parameters"]\n'
        '        self.threshold = float(parameters["threshold"]["string_value"])\n\n'
        "    def execute(self, requests):\n        return []\n"
    ),
    fixed=_example(
        "import json\n\n\nclass TritonPythonModel:\n    def initialize(self, args):\n"
        '        parameters = json.loads(args["model_config"])["parameters"]\n'
        '        self.threshold = float(parameters["threshold"]["string_value"])\n\n'
        "    def execute(self, requests):\n        return []\n",
        _CPU + 'parameters { key: "threshold" value { string_value: "0.5" } }\n',
    ),
)
def python_parameter_missing(subject: Subject) -> Iterator[Diagnostic]:
    """The code of a python model reads a parameter that its config doesn't have.

    The model is refused when it loads, with a KeyError. Nothing is reported where the code asks
    first (`in`, `get` with a default, `except KeyError`).
    """
    seen = set()
    for use in subject.code_uses:
        if use.kind == "parameter" and (use.path, use.detail) not in seen:
            seen.add((use.path, use.detail))
            yield diagnostic_at(
                use.path,
                use.place.line,
                use.place.column,
                f"reads the parameter {use.detail!r}, which config.pbtxt doesn't have",
                f'parameters {{ key: "{use.detail}" value {{ string_value: "..." }} }}'
                if printable(use.detail) == use.detail and '"' not in use.detail
                else "",
            )


@rule(
    "TRT234",
    "python-module-elsewhere",
    "warning",
    failing={
        "m/config.pbtxt": _CPU,
        "m/1/model.py": "from shared import answer\n\n\n" + _GOOD,
        "shared.py": "def answer(): ...\n",
    },
    fixed={
        "m/config.pbtxt": _CPU,
        "m/1/model.py": "from shared import answer\n\n\n" + _GOOD,
        "m/1/shared.py": "def answer(): ...\n",
    },
)
def python_module_elsewhere(subject: Subject) -> Iterator[Diagnostic]:
    """A python model imports a module that lies where its backend doesn't look.

    The version's and the model's directory are on sys.path, the repository and folders below the
    version aren't. Unless something else of that name is installed, the model is refused when it
    loads. Move the file beside model.py, or set PYTHONPATH for the server and ignore this rule.
    """
    yield from _obstacles(subject, "misplaced")


_KEY = "EXECUTION_ENV_PATH"
_DIRECTORY = "$$TRITON_MODEL_DIRECTORY"
_POINTER = b"version https://git-lfs"
_GZIP = b"\x1f\x8b"


def _environment(path: str) -> str:
    return _CPU + f'parameters {{ key: "{_KEY}" value {{ string_value: "{path}" }} }}\n'


@rule(
    "TRT235",
    "python-environment-missing",
    "error",
    failing=_example(_GOOD, _environment("$TRITON_MODEL_DIRECTORY/env.tar.gz")),
    fixed=_example(
        _GOOD, _environment("$$TRITON_MODEL_DIRECTORY/env"), **{"m/env/bin/activate": "# conda\n"}
    ),
)
def python_environment_missing(subject: Subject) -> Iterator[Diagnostic]:
    """EXECUTION_ENV_PATH names an environment that the python backend can't use.

    It must be an absolute path, or start with `$$TRITON_MODEL_DIRECTORY` (two dollar signs, then a
    slash), and lead to a tar archive compressed with gzip, as conda-pack makes it, or to a
    directory; both with `bin/activate` in it. Otherwise the model is refused when it loads; an
    archive that can't be unpacked makes the environments of the server's other models fail as
    well. Relative paths start where the server was started.
    """
    value = _execution_environment(subject)
    if not value:
        return
    problem = _environment_problem(value, subject)
    if problem:
        yield subject.at(parameter_fields(subject, _KEY), problem)


def _execution_environment(subject: Subject) -> str:
    return parameter(subject, _KEY) if subject.declared.backend == "python" else ""


def _environment_problem(value: str, subject: Subject) -> str:
    shown = printable(value)
    if _DIRECTORY in value and not value.startswith(_DIRECTORY + "/"):
        return f"{_KEY} must start with {_DIRECTORY}/, and is {shown!r}"
    if "TRITON_MODEL_DIRECTORY" in value and _DIRECTORY not in value:
        return f"{_KEY} needs two dollar signs and no braces, {_DIRECTORY}/, and is {shown!r}"
    if value.startswith(("$", "~", "{{", "<")) and _DIRECTORY not in value:
        return f"{_KEY} is {shown!r}: of variables Triton knows {_DIRECTORY} only"
    if not value.startswith(("/", _DIRECTORY)):
        return (
            f"{_KEY} is the relative path {shown!r}: it starts where the server was started; write "
            f"{_DIRECTORY}/{shown.removeprefix('./')}"
        )
    if value.startswith("/") and not os.path.lexists(value):
        return ""  # perhaps on the server's machine
    path = Path(value.replace(_DIRECTORY, str(subject.model.directory), 1))
    try:
        return _archive_problem(path)
    except (OSError, ValueError):
        return f"{_KEY}: {printable(str(path))} can't be looked at"


def _archive_problem(path: Path) -> str:
    shown = printable(path.name)
    if not os.path.exists(path):
        where = "in a circle" if is_circle(path) else "nowhere"
        gone = f"is a link that leads {where}" if os.path.islink(path) else "isn't there"
        return f"{_KEY}: {shown} {gone}"
    if not os.access(path, os.R_OK):
        return f"{_KEY}: {shown} can't be read: chmod a+r"
    if os.path.isdir(path):
        if not os.path.exists(path / "bin/activate"):
            return f"{_KEY}: the directory {shown} has no bin/activate"
        return ""
    start = read_bytes(path, 512)
    if start is None:
        return f"{_KEY}: {shown} is no file"
    if start.startswith(_POINTER):
        return f"{_KEY}: {shown} is a Git LFS pointer: git lfs pull"
    if not start.startswith(_GZIP) and start[257:262] != b"ustar":
        return f"{_KEY}: {shown} is no tar archive compressed with gzip, as conda-pack makes it"
    return ""


@rule(
    "TRT236",
    "python-environment-outside",
    "note",
    failing=_example(_GOOD, _environment("/opt/envs/not-on-this-machine.tar.gz")),
    fixed=_example(
        _GOOD, _environment("$$TRITON_MODEL_DIRECTORY/env"), **{"m/env/bin/activate": "# conda\n"}
    ),
)
def python_environment_outside(subject: Subject) -> Iterator[Diagnostic]:
    """EXECUTION_ENV_PATH is an absolute path that isn't on this machine.

    It may be on the server's, in the image for instance; nobody has looked. With
    `$$TRITON_MODEL_DIRECTORY/env.tar.gz` the environment comes with the repository.
    """
    value = _execution_environment(subject)
    if value.startswith("/") and _DIRECTORY not in value and not os.path.lexists(value):
        yield subject.at(
            parameter_fields(subject, _KEY),
            f"{_KEY} is {printable(value)!r}, which isn't on this machine: the model is refused "
            "unless it is on the server's",
        )


_CALLING = """\
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        asked = pb_utils.InferenceRequest(
            model_name="encoder", requested_output_names=["Y"], inputs=request.inputs()
        )
        return pb_utils.InferenceResponse(asked.exec().output_tensors())
"""


@rule(
    "TRT237",
    "python-requests-missing-model",
    "warning",
    failing=_example(_CALLING, **{"encoders/config.pbtxt": _CPU, "encoders/1/model.py": _GOOD}),
    fixed=_example(_CALLING, **{"encoder/config.pbtxt": _CPU, "encoder/1/model.py": _GOOD}),
)
def python_requests_missing_model(subject: Subject) -> Iterator[Diagnostic]:
    """A python model sends requests to a model, or a version, that isn't in the repository.

    `pb_utils.InferenceRequest(model_name="x")` is looked up when it is sent: the model itself is
    READY, and each such request ends with `Failed for execute the inference request. Model 'x' is
    not ready.` (`RequestExecutor::Infer` in request_executor.cc of
    https://github.com/triton-inference-server/python_backend). It is an error in the response
    (`response.has_error()`), no exception: code that doesn't look fails later, or answers without
    outputs. Correct the name, or add the model. Models of another repository count if the same
    server gets both (`a:b`).

    Only literal names and versions are looked at, in model.py. Nothing is reported of names that
    the code loads by itself (`pb_utils.load_model`) or asks for (`pb_utils.is_model_ready`), of
    servers whose models are loaded on request (`--model-control-mode=explicit`) or are in
    namespaces, and of versions where some are assumed.
    """
    line = subject.audited.line
    if line.control_mode == "explicit" or line.namespacing:
        return
    names = subject.audited.names
    for one in subject.model_requests:
        shown = printable(one.model)
        if one.model in names:
            versions = _served_versions(subject, one.model)
            if one.version is not None and versions and one.version not in versions:
                served = ", ".join(map(str, versions))
                yield diagnostic_at(
                    one.path,
                    *one.version_place,
                    f"requests version {one.version} of `{shown}`, which serves {served}",
                )
        else:
            close = model_like(one.model, names)
            yield diagnostic_at(
                one.path,
                *one.place,
                f"requests the model `{shown}`, which isn't in the repository"
                + (f". {close.replace(': ', '=')}" if close else ""),
            )


def _served_versions(subject: Subject, name: str) -> tuple[int, ...]:
    """The versions that a model serves; empty where that isn't known."""
    found = subject.audited.by_name.get(name)
    if found is None or found.model.assumed:
        return ()
    return found.model.versions_to_load
