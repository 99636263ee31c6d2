"""Jinja2 templates, rendered in its sandbox: no code runs, nothing is read or imported.

Texts are bounded: no loop of more than 100,000 rounds, no result of more than a million characters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_triton.errors import PytestTritonError
from pytest_triton.repository.templates import (
    MOST_CHARACTERS,
    Missing,
    Piece,
    Rendered,
    TemplateFault,
)

try:
    import jinja2
    import jinja2.exceptions
    import jinja2.filters
    import jinja2.lexer
    import jinja2.meta
    import jinja2.nodes
    import jinja2.sandbox
except ImportError:  # pragma: no cover (an extra)
    raise PytestTritonError(
        "A config.pbtxt is a Jinja2 template, and Jinja2 isn't installed.",
        fix="pip install 'pytest-triton[templates]'",
    ) from None

_WIDEST = 1000  # of what filters and methods fill up with spaces
_MARK = "\ue000"
_WIDENING = frozenset(("center", "ljust", "rjust", "zfill", "expandtabs", "format", "format_map"))


class _Environment(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """Without what makes large texts or numbers of small ones."""

    intercepted_binops = frozenset(("*", "**", "%"))

    def call_binop(
        self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any
    ) -> Any:
        numbers = all(isinstance(one, (int, float)) for one in (left, right))
        if not numbers or (operator == "**" and (abs(left) > 10**6 or abs(right) > 64)):
            raise jinja2.exceptions.SecurityError(f"`{operator}` takes numbers only, small ones")
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str) and attr in _WIDENING:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> None:
        if getattr(value, "__name__", "") in ("format", "format_map"):
            raise jinja2.exceptions.SecurityError("texts are not formatted here: use filters")

    def unsafe_undefined(self, obj: Any, attribute: str) -> jinja2.Undefined:
        raise jinja2.exceptions.SecurityError(f"`{attribute}` of a value is never given")


def _indent(text: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    if isinstance(width, int) and width > _WIDEST:
        raise jinja2.exceptions.SecurityError("indent: the width is too large")
    return jinja2.filters.do_indent(text, width, first, blank)


def _environment(undefined: type[jinja2.Undefined]) -> _Environment:
    environment = _Environment(
        undefined=undefined, keep_trailing_newline=True, autoescape=False, cache_size=0
    )
    for name in ("center", "format", "wordwrap", "pprint", "filesizeformat", "urlize", "xmlattr"):
        environment.filters.pop(name, None)
    environment.filters["indent"] = _indent
    for name in ("lipsum", "cycler", "joiner"):
        environment.globals.pop(name, None)
    return environment


def render_jinja(text: str, values: Mapping[str, Any]) -> Rendered:
    """Raises TemplateFault. Names without a value are listed: the text is of no use then."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    missing: set[str] = set()
    environment = _environment(_recording(missing))
    try:
        tokens = [*environment.lex(text)]
        tree = environment.parse(text)
        names = jinja2.meta.find_undeclared_variables(tree)
        plain = _result(environment, tree, values)
        pieces = _pieces(environment, text, tokens, values, plain)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateFault(
            f"not a Jinja2 template: {error.message}", _start_of(text, error.lineno)
        ) from None
    except jinja2.TemplateNotFound as error:
        raise TemplateFault(
            f"the template includes `{error.name}`: only single files are rendered", 0
        ) from None
    except jinja2.UndefinedError:  # it was to be counted with
        missing |= names - values.keys()
        plain, pieces = text, [Piece(0, 0, len(text))]
    except RecursionError:
        raise TemplateFault("the template nests too deep", 0) from None
    except TemplateFault:
        raise
    except Exception as error:  # whatever the expressions of a template run into
        line = _line_of(error)
        raise TemplateFault(
            f"Jinja2 can't render it: {type(error).__name__}: {error}", _start_of(text, line)
        ) from None
    places = _places(text, tokens)
    return Rendered(
        plain,
        text,
        tuple(pieces),
        frozenset(names & values.keys()),
        tuple(Missing(name, places.get(name, 0)) for name in sorted(missing)),
    )


def _recording(missing: set[str]) -> type[jinja2.Undefined]:
    """A class of undefined values that notes the names of those that are used."""

    class Recording(jinja2.ChainableUndefined):
        def _note(self) -> None:
            if self._undefined_name is not None:
                missing.add(str(self._undefined_name))

        def __getattr__(self, name: str) -> Recording:
            if name[:2] == name[-2:] == "__":
                raise AttributeError(name)
            return self

        def __getitem__(self, name: object) -> Recording:  # type: ignore[override]
            return self

        def __str__(self) -> str:
            self._note()
            return ""

        def __iter__(self) -> Iterator[Any]:
            self._note()
            return iter(())

        def __bool__(self) -> bool:
            self._note()
            return False

        def __len__(self) -> int:
            self._note()
            return 0

        def __eq__(self, other: object) -> bool:
            self._note()
            return False

        def __ne__(self, other: object) -> bool:
            self._note()
            return True

        __hash__ = jinja2.ChainableUndefined.__hash__

    return Recording


def _result(
    environment: _Environment, tree: jinja2.nodes.Template, values: Mapping[str, Any]
) -> str:
    code = environment.compile(tree)
    template = jinja2.Template.from_code(environment, code, environment.make_globals(None))
    parts, length = [], 0
    for part in template.generate(values):
        parts.append(part)
        length += len(part)
        if length > MOST_CHARACTERS:
            raise TemplateFault("the rendered config has more than a million characters", 0)
    return "".join(parts)


def _pieces(
    environment: _Environment,
    text: str,
    tokens: Sequence[tuple[int, str, str]],
    values: Mapping[str, Any],
    plain: str,
) -> list[Piece]:
    """Where each part of the result comes from.

    The template's own text is rendered a second time with a mark before each of its parts. Texts
    that go through a filter, a macro or a variable have none, so that they aren't changed.
    """
    offsets = [offset for offset, kind, value in _located(text, tokens) if kind == "data" and value]
    tree = environment.parse(text)
    parts = [*tree.find_all(jinja2.nodes.TemplateData)]
    if len(parts) != len(offsets) or _MARK in text:
        return _by_lines(plain)
    inner = {
        id(part)
        for block in tree.find_all(
            (
                jinja2.nodes.Macro,
                jinja2.nodes.CallBlock,
                jinja2.nodes.FilterBlock,
                jinja2.nodes.AssignBlock,
            )
        )
        for part in block.find_all(jinja2.nodes.TemplateData)
    }
    lengths = [len(part.data) for part in parts]
    for number, part in enumerate(parts):
        if id(part) not in inner:
            part.data = f"{_MARK}{number}{_MARK}{part.data}"
    marked = _result(environment, tree, values)
    pieces: list[Piece] = []
    bare, length = [], 0
    head, *rest = marked.split(_MARK)
    bare.append(head)
    length += len(head)
    for name, body in zip(rest[::2], rest[1::2], strict=True):
        number = int(name)
        pieces.append(Piece(length, offsets[number], lengths[number]))
        bare.append(body)
        length += len(body)
    return pieces if "".join(bare) == plain else _by_lines(plain)


def _by_lines(plain: str) -> list[Piece]:
    return [Piece(0, 0, len(plain))]


def _located(text: str, tokens: Sequence[tuple[int, str, str]]) -> Iterator[tuple[int, str, str]]:
    """Tokens with their offsets. Jinja2 leaves out some space between them, and nothing else."""
    at = 0
    for _, kind, value in tokens:
        found = text.find(value, at)
        at = found if found >= 0 else at
        yield at, kind, value
        at += len(value) if found >= 0 else 0


def _places(text: str, tokens: Sequence[tuple[int, str, str]]) -> Mapping[str, int]:
    """Where names first stand in expressions."""
    places: dict[str, int] = {}
    for offset, kind, value in _located(text, tokens):
        if kind == "name":
            places.setdefault(value, offset)
    return places


def _start_of(text: str, line: int) -> int:
    start = 0
    for _ in range(line - 1):
        start = text.find("\n", start) + 1
        if not start:
            return 0
    return start


def _line_of(error: Exception) -> int:
    """The template's line that an error comes from: Jinja2 puts its own frames into tracebacks."""
    line, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
