"""Small model repositories, written in a test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from pytest_triton.arguments.checked import checked
from pytest_triton.arguments.kinds import (
    BYTES,
    NAME,
    PATH,
    TEXT,
    ArgumentKind,
    either,
    mapping,
    optional,
)
from pytest_triton.errors import OptionError

PYTHON_MODEL = '''\
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Answers with its input."""

    def execute(self, requests):
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor("Y", pb_utils.get_input_tensor_by_name(request, "X").as_numpy())]
            )
            for request in requests
        ]
'''

TENSORS = """\
max_batch_size: 8
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
"""


_MODEL_NAME = ArgumentKind(
    "a model's name, which is one directory's: no '/', not '.' or '..'",
    lambda value: NAME.fits(value) and "/" not in value and value not in (".", ".."),
)
_FILE = ArgumentKind(
    "a path in the model's directory",
    lambda value: (
        PATH.fits(value)
        and not PurePosixPath(value).is_absolute()
        and ".." not in PurePosixPath(value).parts
    ),
)


class RepositoryBuilder:
    """Writes models into a directory. `path` is the repository."""

    @checked(path=PATH)
    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)

    def __repr__(self) -> str:
        models = ", ".join(sorted(entry.name for entry in self.path.iterdir()))
        return f"<RepositoryBuilder {self.path}: {models or 'empty'}>"

    @checked(
        name=_MODEL_NAME,
        instance_group=TEXT,
        backend=NAME,
        config=optional(TEXT),
        files=optional(
            mapping(_FILE, either(TEXT, BYTES), "contents by path in the model's directory")
        ),
    )
    def add(
        self,
        name: str,
        instance_group: str = "",
        *,
        backend: str = "python",
        config: str | None = None,
        files: Mapping[str, str | bytes] | None = None,
    ) -> Path:
        """Add a model; returns its directory.

        Without `config` (the whole text of config.pbtxt) it takes an input X and answers with an
        output Y, both FP32 of shape [4] and batched up to 8; `instance_group` is what stands
        between the brackets: `"{ kind: KIND_GPU }, { kind: KIND_CPU }"`. `files` are further
        ones by their path in the model's directory; a python model without any gets a model.py
        that answers with its input.
        """
        directory = self.path / name
        if directory.exists():
            raise OptionError(
                f"add(name={name!r}): {self.path} has this model already",
                fix="give it another name; a config is changed by writing config.pbtxt",
            )
        (directory / "1").mkdir(parents=True)
        text = config
        if text is None:
            text = f'backend: "{backend}"\n{TENSORS}'
            if instance_group:
                text += f"instance_group [ {instance_group} ]\n"
        (directory / "config.pbtxt").write_text(text)
        if files is None and config is None and backend == "python":
            files = {"1/model.py": PYTHON_MODEL}
        for path, content in (files or {}).items():
            file = directory / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
        return directory
