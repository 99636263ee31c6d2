"""What the code of a python model says about devices, read with `ast` and never run."""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from pytest_triton.audit.bounded_read import read_text

SIZE_LIMIT = 512 * 1024
_LONGEST_CHAIN = 1000
"""Operators in a row; longer ones are generated, and deeper than Python's own stack may be."""

# What code must hold to have something to say: it is parsed only then, which takes milliseconds.
_TAKES_GPU = re.compile(r"""cuda:\d|["']cuda["']|\.\s*cuda\s*\(""")
_FALLS_BACK = re.compile(r"is_available")
_ASKS = re.compile(r"model_instance_(?:device_id|kind)")
_MENTIONS_DEVICE = re.compile(r"cuda|gpu|device|accelerat|dlpack|cupy|\bpipeline\b", re.IGNORECASE)
_FIXED = re.compile(r"cuda:(\d{1,4})\Z")
_CHAIN = re.compile(rf"(?:[-+~(\[{{][\s\\]*){{{_LONGEST_CHAIN}}}")
_INSTANCE_ARGUMENTS = ("model_instance_device_id", "model_instance_kind")
# Libraries that put nothing on a GPU unless they are told to.
_KNOWN = frozenset(
    (
        "numpy",
        "torch",
        "torchvision",
        "torchaudio",
        "transformers",
        "tokenizers",
        "PIL",
        "cv2",
        "scipy",
        "pandas",
        "triton_python_backend_utils",
        "c_python_backend_utils",
    )
)


class Place(NamedTuple):
    """Line and column, from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class DeviceUse:
    """How a model.py deals with devices.

    `asks`: it reads what Triton hands it about its instance (or hands all of that on, so that
    nobody can tell). `fixed`: a GPU that is written into the code, with its number. `default`:
    where CUDA's current GPU is taken, which is GPU 0 unless somebody changes it. `falls_back`:
    where the code takes the CPU if it sees no GPU. `stays_on_cpu`: where PyTorch is imported by a
    code that never moves anything to a device.
    """

    asks: bool = False
    fixed: tuple[Place, int] | None = None
    default: Place | None = None
    falls_back: Place | None = None
    stays_on_cpu: Place | None = None


NOTHING_TO_SAY = DeviceUse(asks=True)


def device_use(path: Path) -> DeviceUse:
    """Read a model.py. What can't be read or parsed has nothing to say."""
    text = read_text(path, SIZE_LIMIT)
    return NOTHING_TO_SAY if text is None else device_use_of(text)


def _is_worth_parsing(text: str) -> bool:
    if _FALLS_BACK.search(text):
        return True
    code = _without_comments(text)
    if _TAKES_GPU.search(code):
        return not _ASKS.search(code)
    return "torch" in code and not _MENTIONS_DEVICE.search(code)


@lru_cache(maxsize=256)
def device_use_of(text: str) -> DeviceUse:
    """What a python model with this text does."""
    if not _is_worth_parsing(text) or _CHAIN.search(text) or "\0" in text:
        return NOTHING_TO_SAY
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes and the like: not ours to tell
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return NOTHING_TO_SAY
    return _use(tree, text)


def _use(tree: ast.Module, text: str) -> DeviceUse:
    fixed: tuple[Place, int] | None = None
    default: Place | None = None
    falls_back: Place | None = None
    torch: Place | None = None
    only_known = True
    asks = False
    handed: set[str] = set()  # what the arguments of `initialize` are called
    for node in _nodes(tree):
        if isinstance(node, ast.Constant):
            if not isinstance(node.value, str):
                continue
            if node.value in _INSTANCE_ARGUMENTS:
                asks = True
            elif match := _FIXED.match(node.value):
                fixed = fixed or (_place(node, text), int(match[1]))
            elif node.value == "cuda":
                default = default or _place(node, text)
        elif isinstance(node, ast.Call):
            if any(isinstance(one, ast.Name) and one.id in handed for one in _arguments(node)):
                asks = True
            if isinstance(node.func, ast.Attribute) and node.func.attr == "cuda":
                number = _number(node)
                if number is not None:
                    fixed = fixed or (_place(node, text), number)
                elif not node.args and not node.keywords:
                    default = default or _place(node, text)
        elif isinstance(node, (ast.If, ast.IfExp)):
            if _asks_for_cuda(node.test) and _names_cpu(node):
                falls_back = falls_back or _place(node, text)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            if isinstance(node.value, ast.Name) and node.value.id in handed:
                asks = True  # self.args = args: who knows
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for name in _imported(node):
                if name == "torch":
                    torch = torch or _place(node, text)
                elif name not in _KNOWN and name not in sys.stdlib_module_names:
                    only_known = False
        elif isinstance(node, ast.FunctionDef) and node.name == "initialize":
            handed.update(one.arg for one in node.args.args[1:])
    stays = only_known and not _MENTIONS_DEVICE.search(_without_comments(text))
    return DeviceUse(asks, fixed, default, falls_back, torch if stays else None)


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes that matter, in the order of the text, much faster than `ast.walk`."""
    ahead: list[ast.AST] = [tree]
    while ahead:
        node = ahead.pop()
        yield node
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # a docstring
        below: list[ast.AST] = []
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, list):
                below += [one for one in value if isinstance(one, ast.AST)]
            elif isinstance(value, ast.AST) and value._fields:
                below.append(value)
        ahead += reversed(below)


def _arguments(call: ast.Call) -> Iterator[ast.expr]:
    yield from call.args
    for keyword in call.keywords:
        yield keyword.value


def _number(call: ast.Call) -> int | None:
    """The number in `.cuda(1)` and `.cuda(device=1)`."""
    for argument in _arguments(call):
        if isinstance(argument, ast.Constant) and type(argument.value) is int:
            return argument.value
    return None


def _asks_for_cuda(test: ast.expr) -> bool:
    return any(
        isinstance(node, ast.Attribute) and node.attr == "is_available" for node in ast.walk(test)
    )


def _names_cpu(node: ast.If | ast.IfExp) -> bool:
    return any(
        isinstance(one, ast.Constant) and one.value in ("cpu", "CPUExecutionProvider")
        for one in ast.walk(node)
    )


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name.partition(".")[0]
    elif node.level:
        yield "."  # a module of the model's own, which may do anything
    elif node.module:
        yield node.module.partition(".")[0]


def _place(node: ast.expr | ast.stmt, text: str) -> Place:
    """ast counts columns in bytes of UTF-8, and from 0."""
    column = node.col_offset
    if not text.isascii():
        line = text.split("\n", node.lineno)[node.lineno - 1]
        column = len(line.encode()[:column].decode(errors="replace"))
    return Place(node.lineno, column + 1)


def _without_comments(text: str) -> str:
    return re.sub(r"#[^\n]*", "", text)
