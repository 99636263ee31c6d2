"""tritonserver's command line, read as it reads it; what it means for models."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_triton.placement.command_line import BadArguments, CommandLine, read_version
from pytest_triton.placement.predict import DEFAULT_TRAITS
from pytest_triton.placement.rate_limits import RateLimits
from pytest_triton.placement.releases import RELEASES
from pytest_triton.placement.server_flags import _SINCE, FLAGS, OLDEST, since


def parse(*arguments: str) -> CommandLine:
    return CommandLine.parse(arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--http-port=9000"],
        ["--http-port", "9000"],
        ["--http-po=9000"],
        ["--http-port=1", "--http-port=9000"],
        ["/opt/tritonserver/bin/tritonserver", "--http-port=9000"],
        ["--http-port=9000", "--"],
    ],
)
def test_flag_in_each_spelling_has_its_last_value(arguments: list[str]) -> None:
    assert parse(*arguments).number("http-port", 8000) == 9000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--no-such-flag"], "no tritonserver up to 2.72.0 knows"),
        (["--strict_readiness=false"], "did you mean --strict-readiness?"),
        (["--http=1"], "several flags begin with --http"),
        (["--http-port"], "needs a value"),
        (["models"], "is no flag"),
        (["--http-port 8000"], "write --http-port=8000"),
        (["--exit-on-error=maybe"], "expects true or false"),
        (["--http-port=many"], "expects a number"),
        (["--model-control-mode=lazy"], "none, poll or explicit"),
        (["--rate-limit=on"], "execution_count or off"),
        (["--rate-limit-resource=a"], "NAME:COUNT"),
        (["--cuda-memory-pool-byte-size=67108864"], "GPU:BYTES"),
        (["--model-load-gpu-limit=0.5"], "GPU:FRACTION"),
        (["--cache-config=size=1"], "CACHE,SETTING=VALUE"),
        (["--backend-config=python"], "BACKEND,SETTING=VALUE"),
        (["--host-policy=gpu_0"], "POLICY,SETTING=VALUE"),
        (["--host-policy=gpu_0,numa=1"], "have the settings numa-node and cpu-cores"),
        (["--host-policy=gpu_0,numa-node=x"], "write --host-policy=gpu_0,numa-node=N"),
        (["--host-policy=gpu_0,cpu-cores=1"], "cpu-cores is FIRST-LAST"),
        (["--cache-config=local,size=191"], "can't make a cache of this size"),
        (["--cache-config=local,size=x"], "can't make a cache of this size"),
        (["--response-cache-byte-size=191"], "--response-cache-byte-size=191: Triton can't"),
        (["--cache-config=local,size=1000", "--response-cache-byte-size=1000"], "both there"),
        (["--pinned-memory-pool-byte-size=191"], "can't make a pool of this size"),
        (["--model-load-gpu-limit=0:1.5"], "memory is 1.5"),
        (["--backend-config=min-compute-capability=x"], "is no number"),
        (["--model-config-name="], "a name"),
        (["--disable-auto-complete-config=true"], "takes no value"),
        (["--load-model=a"], "only with --model-control-mode=explicit"),
        (["--model-control-mode=explicit", "--load-model=*", "--load-model=a"], "beside other"),
    ],
)
def test_what_tritonserver_refuses_is_error_with_reason(arguments: list[str], message: str) -> None:
    with pytest.raises(BadArguments) as caught:
        parse(*arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--cache-config=local,size=192"],
        ["--cache-config=local,size=1", "--cache-config=local,size=192"],
        ["--cache-config=local,other=1"],
        ["--cache-config=redis,size=1"],
        ["--response-cache-byte-size=192"],
        ["--pinned-memory-pool-byte-size=192"],
        ["--model-load-gpu-limit=0:1.0"],
    ],
)
def test_setting_at_its_bound_or_of_another_cache_is_no_error(arguments: list[str]) -> None:
    assert parse(*arguments).arguments


@pytest.mark.parametrize("setting", ["numa-node=0", "numa-node= -1", "cpu-cores=0-15"])
def test_host_policy_that_tritonserver_takes_is_no_error(setting: str) -> None:
    value = f"gpu_0,{setting}"
    assert parse(f"--host-policy={value}").last["host-policy"] == value


def test_models_to_load_count_in_explicit_mode_only() -> None:
    assert parse().loads is None
    assert parse("--model-control-mode=poll").loads is None
    assert parse("--model-control-mode=EXPLICIT").loads == ()
    assert parse("--model-control-mode=explicit", "--load-model=*").loads is None
    given = parse("--load-model=b", "--model-control-mode=explicit", "--load-model", "a")
    assert given.loads == ("a", "b")


def test_completion_of_configs_is_switched_off_in_both_ways() -> None:
    assert parse("--strict-model-config=false").completes
    assert not parse("--strict-model-config=True").completes
    assert not parse("--disable-auto-complete-config").completes


def test_server_traits_are_those_of_the_arguments() -> None:
    given = parse(
        "--min-supported-compute-capability=7.5",
        "--rate-limit=Execution_Count",
        "--rate-limit-resource=R:2",
    )
    limits = RateLimits({-1: {"R": 2}})
    expected = replace(DEFAULT_TRAITS, min_compute_capability=(7, 5), rate_limits=limits)
    assert given.traits(DEFAULT_TRAITS) == expected
    assert parse("--rate-limit=execution_count", "--rate-limit=off").traits(DEFAULT_TRAITS) == (
        DEFAULT_TRAITS
    )


def test_gpus_that_flags_name_are_known_with_the_flag() -> None:
    given = parse("--cuda-memory-pool-byte-size=3:0", "--model-load-gpu-limit=1:0.5")
    assert given.named_gpus == ((3, "cuda-memory-pool-byte-size"), (1, "model-load-gpu-limit"))


def test_gpus_whose_memory_is_closed_are_those_of_the_first_limit_of_zero() -> None:
    limits = [f"--model-load-gpu-limit={one}" for one in ("1:0", "2:0.5", "3:0.0", "1:1", "2:0")]
    assert parse(*limits).traits(DEFAULT_TRAITS).closed_gpus == frozenset({1, 3})


def test_flag_of_newer_release_is_error_with_release_that_knows_it() -> None:
    given = parse("--model-config-name=h100")
    given.check_known((2, 46, 0))
    with pytest.raises(BadArguments, match=r"2\.42\.0 doesn't know(.|\n)*from release 2\.46\.0"):
        given.check_known((2, 42, 0))


@pytest.mark.parametrize(
    ("flag", "before", "release"),
    [  # read in the server's sources; tests with servers ask those that can be installed
        ("--metrics-address=localhost", (2, 33, 0), (2, 34, 0)),
        ("--cuda-virtual-address-size=0:1", (2, 39, 0), (2, 40, 0)),
        ("--http-restricted-api=health:key=value", (2, 39, 0), (2, 40, 0)),
        ("--grpc-max-connection-age=1", (2, 41, 0), (2, 42, 0)),
        ("--grpc-max-connection-age-grace=1", (2, 41, 0), (2, 42, 0)),
        ("--model-load-retry-count=1", (2, 41, 0), (2, 42, 0)),
        ("--enable-peer-access=true", (2, 46, 0), (2, 47, 0)),
        ("--grpc-max-response-pool-size=1", (2, 55, 0), (2, 56, 0)),
        ("--grpc-infer-thread-count=1", (2, 56, 0), (2, 57, 0)),
        ("--http-max-input-size=1", (2, 58, 0), (2, 59, 0)),
        ("--allow-client-shm=true", (2, 67, 0), (2, 68, 0)),
    ],
)
def test_flag_is_known_from_its_release_on(
    flag: str, before: tuple[int, int, int], release: tuple[int, int, int]
) -> None:
    parse(flag).check_known(release)
    with pytest.raises(BadArguments, match="doesn't know"):
        parse(flag).check_known(before)


def test_words_of_a_command_line_make_the_same_one() -> None:
    given = parse("--http-p", "1", "--disable-auto-complete-config", "--load-model=a b", *EXPLICIT)
    again = CommandLine.parse(given.arguments)
    assert again.last == given.last
    assert given.without(["http-port"]).arguments[0] == "--disable-auto-complete-config"


EXPLICIT = ("--model-control-mode=explicit",)


def test_table_says_since_when_of_known_flags_only() -> None:
    assert set(_SINCE) <= set(FLAGS)
    assert set(_SINCE.values()) <= set(RELEASES.values())
    assert since("model-config-name") == (2, 46, 0)
    assert since("model-repository") == OLDEST


@pytest.mark.parametrize(
    ("text", "version"),
    [("2.51.0", (2, 51, 0)), ("2.73.0dev", (2, 73, 0)), ("24.10", None), (None, None)],
)
def test_version_is_read_where_there_is_one(
    text: str | None, version: tuple[int, int, int] | None
) -> None:
    assert read_version(text) == version


def test_pool_of_no_memory_is_an_error_before_2_51() -> None:
    given = parse("--pinned-memory-pool-byte-size=0")
    given.check_known((2, 51, 0))
    with pytest.raises(BadArguments, match=r"2\.50\.0 doesn't come up without a pool"):
        given.check_known((2, 50, 0))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model-repository=/models --strict-readiness=true"],
        ["--model-repository", "/models --strict-readiness=true"],
        ["--model-repository /models --strict-readiness=true"],
    ],
)
def test_two_arguments_in_one_string_are_named(arguments: list[str]) -> None:
    with pytest.raises(BadArguments) as caught:
        CommandLine.parse(arguments)
    assert "--model-repository and --strict-readiness are in one string" in caught.value.what
    assert caught.value.fix == (
        "write each as an argument of its own: --model-repository=..., --strict-readiness=..."
    )


def test_two_arguments_in_one_string_show_no_credential() -> None:
    with pytest.raises(BadArguments) as caught:
        CommandLine.parse(["--cache-config=redis,password=hunter2 --log-verbose=1"])
    assert "hunter2" not in str(caught.value)
