"""Which source of an option wins, and what follows from what is named."""

from __future__ import annotations

from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from pytest_triton.options.arguments import ARGUMENTS, argument_layer
from pytest_triton.options.reading import ReadLayer, read_layer
from pytest_triton.options.rehearsal_image import set_rehearsal_image
from pytest_triton.options.resolving import resolve
from pytest_triton.options.server_arguments import ArgumentRefused
from pytest_triton.options.settings import CONTAINER_OPTIONS, Settings, Source
from pytest_triton.options.sources import Layer
from pytest_triton.options.values import OptionError

START = Path("/start")
# The strongest first.
OF_TESTS: tuple[Source, ...] = ("fixture or factory", "marker", "triton_server_args")
OF_RUNS: tuple[Source, ...] = ("command line", "ini file", "environment")
PRECEDENCE = (*OF_TESTS, *OF_RUNS)


def layer(source: Source, **given: object) -> ReadLayer:
    if source in OF_RUNS:
        return read_layer(Layer(source, given, START))
    return argument_layer(source, given, START)


def settings(*layers: ReadLayer) -> Settings:
    ordered = sorted(layers, key=lambda read: PRECEDENCE.index(read.layer.source))
    return resolve(ordered)


@pytest.mark.parametrize(("strong", "weak"), list(combinations(PRECEDENCE, 2)))
def test_option_from_two_sources_stronger_wins(strong: Source, weak: Source) -> None:
    found = settings(layer(weak, timeout="7"), layer(strong, timeout="5"))
    assert found.timeout == 5
    assert found.sources["timeout"] == strong


def test_option_from_no_source_has_its_default() -> None:
    found = settings()
    assert (found.timeout, found.sources["timeout"]) == (120, "default")
    assert found.container.shm_size == 1 << 30


@pytest.mark.parametrize(
    ("given", "server", "image", "backends", "gpus"),
    [
        ({}, "container", "own:1", "stand-in", ["none", "sim:2"]),
        ({"gpus": ["sim:4"]}, "container", "own:1", "stand-in", ["sim:4"]),
        ({"gpus": ["all"]}, "container", "own:1", "real", ["all"]),
        ({"server": "process"}, "process", None, "stand-in", ["none", "sim:2"]),
        ({"server": "container"}, "container", None, "real", ["none"]),
        ({"image": "x"}, "container", "x", "real", ["none"]),
        ({"version": "2.51.0"}, "process", None, "stand-in", ["none", "sim:2"]),
    ],
)
def test_image_for_rehearsals_is_taken_where_no_server_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, object],
    server: str,
    image: str | None,
    backends: str,
    gpus: list[str],
) -> None:
    monkeypatch.setenv("PYTEST_TRITON_CACHE", str(tmp_path))
    set_rehearsal_image("own:1")
    found = settings(layer("command line", **given))
    assert (found.server, found.image, found.backends) == (server, image, backends)
    assert [str(request) for request in found.gpus] == gpus


def test_none_as_argument_is_not_given() -> None:
    assert settings(layer("marker", timeout=None), layer("ini file", timeout="7")).timeout == 7


@pytest.mark.parametrize(
    ("given", "server", "backends", "gpus"),
    [
        ({}, "process", "stand-in", ["none", "sim:2"]),
        ({"command line": {"image": "x"}}, "container", "real", ["none"]),
        (
            {"command line": {"binary": "x"}, "ini file": {"image": "y"}},
            "process",
            "stand-in",
            None,
        ),
        ({"command line": {"image": "x", "version": "2.51.0"}}, "container", "real", None),
        ({"marker": {"image": "x"}}, "container", "real", ["none"]),
        (
            {"marker": {"version": "2.51.0"}, "ini file": {"image": "y"}},
            "process",
            "stand-in",
            None,
        ),
        (
            {"marker": {"server": "process"}, "ini file": {"image": "y"}},
            "process",
            "stand-in",
            None,
        ),
        ({"marker": {"gpus": 2}}, "process", "real", ["2"]),
        ({"marker": {"gpus": "none"}, "command line": {"gpus": ["all"]}}, "process", "real", None),
        (
            {"marker": {"image": "x"}, "ini file": {"backends": "stand-in"}},
            "container",
            "stand-in",
            None,
        ),
        (
            {"marker": {"backends": "stand-in"}, "ini file": {"image": "x"}},
            "container",
            "stand-in",
            None,
        ),
        ({"ini file": {"server": "grpc://there:8001"}}, "grpc://there:8001", "real", ["own"]),
        (
            {
                "marker": {"server": "process"},
                "ini file": {"server": "grpc://there:8001", "gpus": ["2"]},
            },
            "process",
            "stand-in",
            ["none", "sim:2"],
        ),
        (
            {"marker": {"server": "grpc://there:8001"}, "ini file": {"gpus": ["sim:4"]}},
            "grpc://there:8001",
            "real",
            ["own"],
        ),
    ],
)
def test_server_backends_and_hardware_follow_from_what_is_named(
    given: dict[Source, dict[str, Any]], server: str, backends: str, gpus: list[str] | None
) -> None:
    found = settings(*(layer(source, **values) for source, values in given.items()))
    assert (found.server, found.backends) == (server, backends)
    if gpus is not None:
        assert [str(request) for request in found.gpus] == gpus


def test_every_container_option_is_an_argument_but_reuse() -> None:
    assert {row.name for row in CONTAINER_OPTIONS} - set(ARGUMENTS) == {"reuse"}
    found = settings(layer("marker", memory="2g", pids=100, mount="weights"))
    assert (found.container.memory, found.container.pids) == (2 << 30, 100)
    assert found.container.mount == (START / "weights",)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("gpus", 2.5, "gpus=2.5 (marker): expected hardware"),
        ("gpus", True, "gpus=True (marker): expected hardware"),
        ("gpus", [], "gpus=[] (marker): an empty list names nothing"),
        ("gpus", ["none", "two"], "gpus='two' (marker): 'two' names no hardware"),
        ("arguments", 5, "arguments=5 (marker): expected a list of texts, not an int"),
        ("arguments", "--log-verbose=1", "expected a list of texts, not a str"),
        ("arguments", [None], "expected a list of texts, and it holds None"),
        ("environment", ["A=B"], "environment=['A=B'] (marker): expected a mapping"),
        ("environment", {"A=": "B"}, "'A=' can't be the name of a variable"),
        ("environment", {"A": None}, "the value of A is None"),
        ("server", 5, "server=5 (marker): expected process, container"),
        ("server", "there", "expected process, container, or the URL"),
        ("timeout", "fast", "timeout='fast' (marker): expected a number of seconds above zero"),
        ("timeout", -1, "timeout=-1 (marker): expected a number of seconds above zero"),
        ("timeout", True, "expected a number of seconds above zero, not a bool"),
        ("version", 2.5, "version=2.5 (marker): expected a text, not a float"),
        ("repo", 5, "repo=5 (marker): expected a directory, not an int"),
        ("repo", ["a", "b"], "repo names one deployment"),
        ("binary", 5, "binary=5 (marker): expected a path, not an int"),
        ("changes", "perhaps", "expected on or off"),
        ("load", ["m"], "load=[...] needs changes=True"),
        ("backends", "fake", "expected one of real, stand-in, auto"),
        ("image", "", "expected a name or pattern, got nothing"),
        ("shm_size", 0, "expected a size such as 512m or 8g"),
        ("pids", 2.5, "expected a whole number above zero, not a float"),
        ("gpu", 2, "has no argument gpu (did you mean gpus?)"),
        ("ledger", "x", "has no argument ledger"),
    ],
)
def test_wrong_argument_names_value_source_and_what_is_valid(
    name: str, value: object, message: str
) -> None:
    with pytest.raises(OptionError) as raised:
        argument_layer("marker", {name: value}, START)
    assert message in str(raised.value)


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize(
    "value",
    [
        5, -1, 2.5, True, "", "x" * 10_000, "\0", b"bytes", [], ["a", 5], {}, {"a": 5}, {5: "a"},
        object(), float("nan"), float("inf"), 10**400, range(3), Path(), [[]], [None], lambda: None,
    ],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
def test_any_value_for_any_argument_is_read_or_an_option_error(name: str, value: object) -> None:
    with suppress(OptionError, ArgumentRefused):
        assert isinstance(resolve([argument_layer("marker", {name: value}, START)]), Settings)


def test_error_about_a_long_value_is_short() -> None:
    for name in ("gpus", "server", "backends", "timeout"):
        with pytest.raises(OptionError) as raised:
            argument_layer("marker", {name: "x" * 10_000}, START)
        assert len(str(raised.value)) < 1000


def test_repository_as_path_is_one_directory_whatever_its_name() -> None:
    (found,) = settings(layer("marker", repo=Path("with:colon"))).repo
    assert found.paths == (START / "with:colon",)
