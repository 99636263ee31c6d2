"""Small model repositories, written in a test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

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


class RepositoryBuilder:
    """Writes models into a directory. `path` is the repository."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def __repr__(self) -> str:
        models = ", ".join(sorted(entry.name for entry in self.path.iterdir()))
        return f"<RepositoryBuilder {self.path}: {models or 'empty'}>"

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
