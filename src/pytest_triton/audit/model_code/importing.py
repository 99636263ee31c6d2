"""Whether the python backend could import a model's code, and call it.

It imports `<version>.<file>`, makes a `TritonPythonModel()`, calls `initialize(args)` and, for
each batch of requests, `execute(requests)`.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Literal

from pytest_triton.audit.model_code.facts import LIBRARIES
from pytest_triton.audit.model_code.modules import Module, Modules
from pytest_triton.audit.model_code.source import Place
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.repository.bounded_read import entries

CLASS = "TritonPythonModel"
Kind = Literal["import", "class", "method", "misplaced"]
_MOST_MODULES = 20
_MOST_IMPORTS = 300
# How the backend calls what a model has; the arguments without self.
_CALLED = {"__init__": 0, "initialize": 1, "execute": 1, "finalize": 0, "is_ready": 0}


def obstacles(path: Path, repository: Path | None = None) -> tuple[Diagnostic, ...]:
    """Why the backend can't import or call a model.py, as far as its files show; see `Kind`."""
    modules = Modules(path)
    if path.suffix != ".py" and os.path.isfile(path):
        return (_obstacle("import", path, None, "must end in .py: the backend imports it"),)
    found = list(_of_sources(modules, repository))
    main = modules.main
    if main.source.tree is not None and not found:
        found += _of_class(main)
    return tuple(found)


def _obstacle(kind: Kind, path: Path, place: Place | None, message: str) -> Diagnostic:
    line, column = place if place is not None else (None, None)
    return Diagnostic(name=kind, path=path, line=line, column=column, message=message)


# Imports


def _of_sources(modules: Modules, repository: Path | None) -> Iterator[Diagnostic]:
    ahead = [modules.main]
    seen = {modules.main.number}
    elsewhere: Mapping[str, Path] | None = None
    while ahead and len(seen) <= _MOST_MODULES:
        module = ahead.pop(0)
        source = module.source
        if source.bad is not None:
            yield _obstacle("import", source.path, source.bad.place, source.bad.message)
        if source.tree is None:
            continue
        for node in islice(_sure_imports(source.tree), _MOST_IMPORTS):
            problem = _missing(node, module, modules)
            if problem:
                yield _obstacle("import", source.path, source.place(node), problem)
                continue
            for inner in _own_modules(node, module, modules):
                if inner.number not in seen:
                    seen.add(inner.number)
                    ahead.append(inner)
            if "sys.path" not in modules.main.source.text and _unknown(node):
                if elsewhere is None:  # it lists directories, which may have many entries
                    elsewhere = _folders_elsewhere(modules, repository)
                place = _elsewhere(node, modules, elsewhere)
                if place:
                    yield _obstacle("misplaced", source.path, source.place(node), place)


def _sure_imports(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """Those that are run whatever happens: at the top, and at the start of `initialize`."""
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif isinstance(node, ast.ClassDef) and node.name == CLASS:
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name in (
                    "__init__",
                    "initialize",
                ):
                    yield from (
                        one for one in method.body if isinstance(one, (ast.Import, ast.ImportFrom))
                    )


def _missing(node: ast.Import | ast.ImportFrom, module: Module, modules: Modules) -> str:
    """Why a relative import fails, "" if it doesn't, or isn't one."""
    if isinstance(node, ast.Import) or not node.level:
        return ""
    version = modules.roots[0]
    folder = module.package
    for _ in range(node.level - 1):
        if folder == version:
            return (
                f"`from {'.' * node.level}{node.module or ''}` leads out of the version "
                f"directory, which is the top-level package: import it by its name, without dots"
            )
        folder = folder.parent
    if version != folder and version not in folder.parents:
        return ""  # a module of the model's directory
    names = [node.module] if node.module else [alias.name for alias in node.names]
    for name in names:
        if name != "*" and not _is_there(folder, name.split(".")):
            if not node.module and os.path.exists(folder / "__init__.py"):
                continue  # a name of the package, perhaps
            shown, file = f"{'.' * node.level}{name}", f"{name.replace('.', '/')}.py"
            return f"there is no module `{shown}`: no {file} beside {module.source.path.name}"
    return ""


def _is_there(folder: Path, parts: Sequence[str]) -> bool:
    for number, part in enumerate(parts):
        if os.path.isdir(folder / part):
            folder = folder / part
            continue
        if number < len(parts) - 1:
            return False
        listed = entries(folder)
        return listed is None or any(one.name.partition(".")[0] == part for one in listed)
    return True


def _own_modules(
    node: ast.Import | ast.ImportFrom, importer: Module, modules: Modules
) -> Iterator[Module]:
    if isinstance(node, ast.Import):
        names = [(alias.name, 0) for alias in node.names]
    else:
        names = [(node.module or "", node.level)]
        names += [
            (f"{node.module}.{alias.name}" if node.module else alias.name, node.level)
            for alias in node.names
        ]
    for name, level in names:
        found = modules.find(name, importer, level)
        if found is not None:
            yield found


def _folders_elsewhere(modules: Modules, repository: Path | None) -> Mapping[str, Path]:
    """Modules in folders where the backend doesn't look, by name: near enough to be meant."""
    folders = [repository] if repository is not None else []
    for root in modules.roots:
        inner = [Path(one.path) for one in entries(root, 50) or ()]
        folders += [one for one in inner if os.path.isdir(one)]
    found: dict[str, Path] = {}
    for folder in folders:
        if folder not in modules.roots:
            for one in entries(folder, 200) or ():
                if one.name.endswith(".py"):
                    found.setdefault(one.name.removesuffix(".py"), folder)
    return found


def _unknown(node: ast.Import | ast.ImportFrom) -> list[str]:
    """The top-level modules that an import names, without those of libraries and Python's own."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        names = [node.module] if node.module and not node.level else []
    tops = [name.partition(".")[0] for name in names]
    return [
        one
        for one in tops
        if one not in LIBRARIES and one not in sys.stdlib_module_names and one.isidentifier()
    ]


def _elsewhere(
    node: ast.Import | ast.ImportFrom, modules: Modules, elsewhere: Mapping[str, Path]
) -> str:
    """Where a module lies that isn't on the path, "" if it can't be said."""
    version, model = modules.roots
    for first in _unknown(node):
        if first not in elsewhere or any(_is_there(root, [first]) for root in modules.roots):
            continue
        folder = elsewhere.get(first)
        if folder is not None:
            return (
                f"`{first}` is {folder.name}/{first}.py, which isn't on the path of the model: "
                f"it has {version.name}/ and {model.name}/ only"
            )
    return ""


# The class and its methods


def _of_class(main: Module) -> Iterator[Diagnostic]:
    source = main.source
    assert source.tree is not None
    names, opaque = _bound(source.tree.body)
    cls = names.get(CLASS)
    if cls is None:
        if opaque or "globals()" in source.text or "exec(" in source.text:
            return
        classes = [name for name, node in names.items() if isinstance(node, ast.ClassDef)]
        close = get_close_matches(CLASS, classes, n=1, cutoff=0.75)
        if close:
            yield _obstacle(
                "class",
                source.path,
                source.place(names[close[0]]),
                f"the class is called {close[0]}: Triton looks for {CLASS}",
            )
        else:
            has = f" (it has {', '.join(classes[:3])})" if classes else ""
            yield _obstacle("class", source.path, None, f"there is no class {CLASS}{has}")
        return
    if isinstance(cls, ast.ClassDef):
        yield from _of_methods(cls, names, main)


def _bound(body: Sequence[ast.stmt]) -> tuple[dict[str, ast.AST], bool]:
    """The names that a module's statements bind, and whether there may be others."""
    names: dict[str, ast.AST] = {}
    opaque = False
    ahead = list(reversed(body))
    while ahead:
        node = ahead.pop()
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            names[node.name] = node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                opaque = opaque or alias.name == "*"
                names[(alias.asname or alias.name).partition(".")[0]] = node
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                elements = target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]
                for one in elements:
                    if isinstance(one, ast.Name):
                        names[one.id] = node
        else:
            for field in ("body", "orelse", "finalbody"):
                ahead += reversed(getattr(node, field, []) or [])
            for handler in getattr(node, "handlers", []) or []:
                ahead += reversed(handler.body)
    return names, opaque


def _of_methods(cls: ast.ClassDef, names: dict[str, ast.AST], main: Module) -> Iterator[Diagnostic]:
    source = main.source
    methods, known = _methods(cls, names)
    if known and "execute" not in methods:
        close = get_close_matches("execute", list(methods), n=1, cutoff=0.6)
        yield _obstacle(
            "method",
            source.path,
            source.place(cls),
            f"{CLASS} has no `execute`: it loads, and its first request fails"
            + (f" (it has `{close[0]}`)" if close else ""),
        )
    for name, count in _CALLED.items():
        method = methods.get(name)
        if (
            isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef))
            and not method.decorator_list
        ):
            problem = _arguments(method, count + 1)
            if problem:
                yield _obstacle(
                    "method",
                    source.path,
                    source.place(method),
                    f"`{name}` {problem}: Triton calls "
                    f"`{name.replace('__init__', CLASS)}({_SHOWN.get(name, '')})`",
                )
    method = methods.get("auto_complete_config")
    if isinstance(method, ast.FunctionDef) and not method.decorator_list:
        problem = _arguments(method, 1)
        if problem:
            yield _obstacle(
                "method",
                source.path,
                source.place(method),
                f"`auto_complete_config` {problem}: it must be a @staticmethod, which Triton calls "
                "with the config",
            )
    if isinstance(method, ast.FunctionDef) and not _answers(method):
        yield _obstacle(
            "method",
            source.path,
            source.place(method),
            "`auto_complete_config` returns nothing: it must return the config",
        )


def _answers(method: ast.FunctionDef) -> bool:
    """Whether it may return something, or raises."""
    return any(
        isinstance(node, ast.Raise) or (isinstance(node, ast.Return) and node.value is not None)
        for node in ast.walk(method)
    )


_SHOWN = {"initialize": "args", "execute": "requests"}


def _methods(cls: ast.ClassDef, names: dict[str, ast.AST]) -> tuple[dict[str, ast.AST], bool]:
    """Its methods with those of its bases, and whether those are all."""
    methods: dict[str, ast.AST] = {}
    known = not cls.decorator_list
    ahead, seen = [cls], {cls.name}
    while ahead:
        one = ahead.pop(0)
        found, opaque = _bound(one.body)
        known = known and not opaque and not one.keywords and "__getattr__" not in found
        for name, node in found.items():
            methods.setdefault(name, node)
        for base in one.bases:
            inner = names.get(base.id) if isinstance(base, ast.Name) else None
            if isinstance(base, ast.Name) and base.id == "object":
                continue
            if isinstance(inner, ast.ClassDef) and inner.name not in seen:
                seen.add(inner.name)
                ahead.append(inner)
            else:
                known = False
    return methods, known


def _arguments(method: ast.FunctionDef | ast.AsyncFunctionDef, given: int) -> str:
    """Why a call with this many positional arguments fails, "" if it doesn't."""
    spec = method.args
    positional = len(spec.posonlyargs) + len(spec.args)
    needed = positional - len(spec.defaults)
    missing = [
        one.arg
        for one, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True)
        if default is None
    ]
    if given > positional and spec.vararg is None:
        return f"takes {positional} argument{'s' if positional != 1 else ''} and gets {given}"
    if given < needed:
        return f"needs {needed} arguments and gets {given}"
    return f"needs the argument {missing[0]}" if missing else ""
