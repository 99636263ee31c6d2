"""Golden files: the outputs that a model gave when it was right, to compare with today's.

A folder with a file for each output: `<output>.npy`, or `<output>.json` for texts (BYTES), which
people can read and compare. BF16 is kept as float32, which holds it exactly.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from pytest_triton.arguments.checked import checked
from pytest_triton.arguments.kinds import ANYTHING, PATH, SWITCH, TEXT, TOLERANCE, mapping
from pytest_triton.errors import PytestTritonError, says_all
from pytest_triton.inference.arrays import numpy, object_array
from pytest_triton.inference.golden_place import CURRENT

if TYPE_CHECKING:
    from pytest_triton.inference.arrays import Array


__tracebackhide__ = says_all


class GoldenMismatch(PytestTritonError):
    """The outputs are not those of the golden files."""


class GoldenBroken(PytestTritonError):
    """A golden file can't be read."""


_UPDATE = "pytest --triton-update-golden (or update=True)"
_OUTPUTS = mapping(
    TEXT, ANYTHING, "outputs by name: the answer of triton_server.infer(...), or a dict of arrays"
)


@checked(outputs=_OUTPUTS, folder=PATH, rtol=TOLERANCE, atol=TOLERANCE, update=SWITCH)
def compare_with_golden(
    outputs: Mapping[str, Array],
    folder: str | Path,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    update: bool = False,
) -> None:
    """Compare with the golden files of a folder; all outputs are looked at before it fails.

    Floats and integers may differ by `atol + rtol * |golden|` (numpy's assert_allclose, whose
    text is shown; NaN equals NaN); BOOL and BYTES must be equal, and so must names, shapes and
    types. A relative `folder` starts at the directory of the test's file. With `update`, or
    --triton-update-golden, the files are written instead. Raises GoldenMismatch or GoldenBroken.
    """
    given, folder = Path(folder), CURRENT.folder(Path(folder))
    if not outputs:
        raise GoldenMismatch("there are no outputs to compare", fix="give a model's outputs")
    if getattr(outputs, "rehearsal", False):
        raise GoldenMismatch(
            f"these outputs are from a rehearsal, whose stand-ins answer zeros: they say nothing "
            f"about {folder}, and are not written there",
            fix="compare in a real run: --triton-backends=real, or a container with the backend",
        )
    if update or CURRENT.update:
        write_golden(outputs, folder)
        CURRENT.written += [str(folder)] * CURRENT.update
    golden = _files(folder)
    if not golden:
        raise GoldenMismatch(
            f"there are no golden files in {folder}",
            tried=_elsewhere(given, folder),
            fix=f"write them once, from a run that is known to be right: {_UPDATE}",
        )
    problems = [
        f"{name}: an output without a golden file ({_file(folder, name, array).name})"
        for name, array in outputs.items()
        if name not in golden
    ]
    problems += [
        f"{name}: not among the outputs, but {file.name} is there; delete it if it is obsolete"
        for name, file in golden.items()
        if name not in outputs
    ]
    for name, file in golden.items():
        if name in outputs:
            problems += _differences(name, outputs[name], file, rtol, atol)
    if problems:
        raise GoldenMismatch(
            f"not as in {folder}\n\n" + "\n\n".join(problems),
            fix=f"if today's outputs are right, write the golden files anew: {_UPDATE}",
        )


def write_golden(outputs: Mapping[str, Array], folder: str | Path) -> tuple[Path, ...]:
    """Write the golden files of these outputs. Files of other outputs are left alone."""
    np = numpy()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, array in outputs.items():
        file = _file(folder, name, array)
        if file.suffix == ".npy":
            np.save(file, _plain(array), allow_pickle=False)
        else:
            texts = [_text(element) for element in array.flat]
            content = {"shape": list(array.shape), "data": texts}
            file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
        other = file.with_suffix(".npy" if file.suffix == ".json" else ".json")
        other.unlink(missing_ok=True)  # of the same output, when its type was another
        written.append(file)
    return tuple(written)


def _elsewhere(given: Path, folder: Path) -> list[str]:
    """Golden files that are there if the path is taken from the current directory."""
    other = given.absolute()
    if other == folder or not _files(other):
        return []
    return [f"{other} has some; but {given} starts at the directory of the test's file"]


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return {unquote(file.stem): file for file in _sorted(folder) if file.suffix in _ENDINGS}


_ENDINGS = (".npy", ".json")


def _sorted(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file())


def _file(folder: Path, name: str, array: Array) -> Path:
    ending = ".json" if array.dtype == object else ".npy"
    return folder / (quote(name, safe=" ").replace(".", "%2E") + ending)


def _differences(name: str, output: Array, file: Path, rtol: float, atol: float) -> list[str]:
    np = numpy()
    golden = _read(file)
    actual = _plain(output)
    if actual.dtype.kind != golden.dtype.kind or (
        actual.dtype != golden.dtype and actual.dtype != object
    ):
        return [f"{name}: dtype {actual.dtype}, golden {golden.dtype} ({file.name})"]
    if actual.shape != golden.shape:
        return [f"{name}: shape {actual.shape}, golden {golden.shape} ({file.name})"]
    try:
        if actual.dtype.kind in "Ob":
            np.testing.assert_array_equal(actual, golden, err_msg=name)
        else:
            np.testing.assert_allclose(actual, golden, rtol=rtol, atol=atol, err_msg=name)
    except AssertionError as error:
        return [str(error).strip()]
    return []


def _read(file: Path) -> Array:
    np = numpy()
    try:
        if file.suffix == ".npy":
            loaded: Array = np.load(file, allow_pickle=False)
            return loaded
        content = json.loads(file.read_text("utf-8"))
        texts = [_bytes(element) for element in content["data"]]
        return object_array(texts, content["shape"])
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise GoldenBroken(
            f"the golden file {file} can't be read: {type(error).__name__}: {error}",
            fix=f"write it anew: {_UPDATE}",
        ) from error


def _plain(array: Array) -> Array:
    """As numpy can save it: BF16, which it doesn't know, as float32."""
    np = numpy()
    plain: Array = array.astype(np.float32) if array.dtype.name == "bfloat16" else array
    return plain


def _text(element: object) -> object:
    content = element if isinstance(element, bytes) else str(element).encode()
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(content).decode()}


def _bytes(element: object) -> bytes:
    if isinstance(element, dict):
        return base64.b64decode(element["b64"])
    return str(element).encode()
