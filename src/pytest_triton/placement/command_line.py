"""A command line of tritonserver: read as its own parser reads it, and what it means for models.

tritonserver parses with getopt_long: `--flag=value` and `--flag value` are the same, a flag may be
shortened as long as only one begins so, and of one that is given again the last value counts.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property

from pytest_triton.errors import PytestTritonError
from pytest_triton.placement.predict import ServerTraits
from pytest_triton.placement.rate_limits import RateLimits
from pytest_triton.placement.releases import shown_version
from pytest_triton.placement.server_flags import FLAGS, NEWEST, Version, since
from pytest_triton.text.credentials import HIDDEN, without_credentials

_TRUE = ("true", "on", "1")
_RESTRICTED = ("http-restricted-api", "grpc-restricted-protocol")


class BadArguments(PytestTritonError):
    """Arguments with which tritonserver prints its usage and ends."""

    exit_code = 2


@dataclass(frozen=True)
class Given:
    """A flag as it was given: its full name, its value ("" for none), and how it stands there.

    What is `shown` of it has no credential. `at` is the number of its (first) word among the
    arguments.
    """

    name: str
    value: str
    shown: str
    at: int


@dataclass(frozen=True)
class CommandLine:
    """The flags of a tritonserver, in the order in which they were given."""

    given: tuple[Given, ...] = ()

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> CommandLine:
        """Read arguments; a first word `tritonserver` is left out. Raises BadArguments."""
        line = cls.read(arguments)
        line.check_load_models()
        line._check_settings()
        return line

    @classmethod
    def read(cls, arguments: Sequence[str]) -> CommandLine:
        """The same of some of a server's arguments, which others may join. Raises BadArguments."""
        return cls(tuple(_read(arguments)))

    @cached_property
    def last(self) -> Mapping[str, str]:
        """The value that counts of each flag that can be given only once."""
        return {one.name: one.value for one in self.given}

    def all(self, *names: str) -> tuple[str, ...]:
        """The values of flags that can be given several times."""
        return tuple(one.value for one in self.given if one.name in names)

    def has(self, name: str) -> bool:
        return name in self.last

    def switch(self, name: str, default: bool) -> bool:
        found = self.last.get(name)
        return default if found is None else found.lower() in _TRUE

    def number(self, name: str, default: int) -> int:
        return int(_digits(self.last.get(name, "")) or default)

    @property
    def arguments(self) -> tuple[str, ...]:
        """The same as words, each flag one."""
        return tuple(
            f"--{one.name}" if FLAGS[one.name] == "nothing" else f"--{one.name}={one.value}"
            for one in self.given
        )

    @property
    def shown(self) -> tuple[str, ...]:
        """The same to be read by people, without credentials."""
        return tuple(
            without_credentials(_hidden_header(one.name, word))
            for one, word in zip(self.given, self.arguments, strict=True)
        )

    @property
    def private(self) -> CommandLine:
        """The flags that hold credentials."""
        pairs = zip(self.given, self.shown, self.arguments, strict=True)
        return CommandLine(tuple(one for one, shown, word in pairs if shown != word))

    @property
    def public(self) -> CommandLine:
        """The flags that hold none."""
        private = self.private.given
        return CommandLine(tuple(one for one in self.given if one not in private))

    def without(self, names: Iterable[str]) -> CommandLine:
        left_out = frozenset(names)
        return CommandLine(tuple(one for one in self.given if one.name not in left_out))

    # --- what it means -----------------------------------------------------------------------

    @property
    def repositories(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.all("model-repository", "model-store")))

    @property
    def control_mode(self) -> str:
        return self.last.get("model-control-mode", "none").lower()

    @property
    def loads(self) -> tuple[str, ...] | None:
        """The models that are loaded at the start, without those that ensembles bring; None: all.

        Sorted, as tritonserver keeps them.
        """
        named = self.all("load-model")
        if self.control_mode != "explicit" or "*" in named:
            return None
        return tuple(sorted(set(named)))

    @property
    def config_name(self) -> str:
        """The `configs/NAME.pbtxt` that is read where it is there; "" for config.pbtxt only."""
        return self.last.get("model-config-name", "")

    @property
    def completes(self) -> bool:
        """Whether models may leave out config.pbtxt, and backends complete configs."""
        strict = self.switch("strict-model-config", default=False)
        return not strict and not self.has("disable-auto-complete-config")

    @property
    def namespacing(self) -> bool:
        return self.switch("model-namespacing", default=False)

    @property
    def exits_on_error(self) -> bool:
        """Whether one model that isn't loaded at the start ends the server."""
        return self.switch("exit-on-error", default=True)

    @property
    def strict_readiness(self) -> bool:
        """Whether the server is ready only while all its models are."""
        return self.switch("strict-readiness", default=True)

    @cached_property
    def named_gpus(self) -> tuple[tuple[int, str], ...]:
        """The GPUs that flags give memory or a limit, with the flag."""
        found = []
        for one in self.given:
            flags = ("cuda-memory-pool-byte-size", "model-load-gpu-limit")
            if one.name in (*flags, "cuda-virtual-address-size"):
                gpu = _digits(one.value.partition(":")[0])
                if gpu:
                    found.append((int(gpu), one.name))
        return tuple(found)

    def traits(self, server: ServerTraits) -> ServerTraits:
        """What is known of a server, for one that is started with these flags."""
        limits = RateLimits.of_arguments(self.arguments)
        least = self._least_capability or server.min_compute_capability
        return replace(
            server,
            rate_limits=limits,
            min_compute_capability=least,
            closed_gpus=self._closed_gpus,
        )

    @property
    def _least_capability(self) -> tuple[int, int] | None:
        """The least compute capability that they name.

        A setting of all backends counts before the flag, and the first of several (seen on 2.33.0
        to 2.51.0).
        """
        settings = [_setting(one) for one in self.all("backend-config")]
        given = [value for name, value in settings if name == "min-compute-capability"]
        if self.has("min-supported-compute-capability"):
            given.append(self.last["min-supported-compute-capability"])
        found = _FRACTION.match(given[0]) if given else None
        if found is None:
            return None
        # Core takes a GPU whose capability is more than this less 0.01.
        tenths = math.floor((min(float(found[1]), 1e6) - 0.01) * 10 + 1e-9) + 1
        major, minor = divmod(max(tenths, 0), 10)
        return major, minor

    @property
    def _closed_gpus(self) -> frozenset[int]:
        """The GPUs of whose memory models may use nothing; the first limit of each counts."""
        limits: dict[int, float] = {}
        for one in self.all("model-load-gpu-limit"):
            gpu, _, fraction = one.partition(":")
            limits.setdefault(int(_digits(gpu) or -1), _fraction(fraction))
        return frozenset(gpu for gpu, fraction in limits.items() if fraction == 0)

    def unknown_to(self, version: Version) -> tuple[Given, ...]:
        """The flags that a release doesn't know."""
        return tuple(one for one in self.given if since(one.name) > version)

    def check_known(self, version: Version) -> None:
        """Raise BadArguments for a flag that a release doesn't know, with those that do, and for
        a value with which it doesn't come up."""
        for one in self.unknown_to(version):
            raise BadArguments(
                f"{one.shown}: tritonserver {shown_version(version)} doesn't know --{one.name}, "
                "prints its usage and ends.",
                tried=[f"--{one.name} is known from release {shown_version(since(one.name))} on"],
                fix=f"leave it out, or run release {shown_version(since(one.name))} or newer",
            )
        if version < _POOL_MAY_BE_OFF and self.has(_POOL) and self._pool_size <= 0:
            raise BadArguments(
                f"--{_POOL}={self.last[_POOL]}: on a machine with GPUs tritonserver "
                f"{shown_version(version)} doesn't come up without a pool of pinned memory.",
                fix="leave the flag out",
            )

    @property
    def _pool_size(self) -> int:
        found = re.match(r"\s*([+-]?\d{1,18})", self.last.get(_POOL, ""), re.ASCII)
        return int(found[1]) if found is not None else 0

    def check_load_models(self) -> None:
        """Raise BadArguments for models to load that tritonserver doesn't take."""
        named = self.all("load-model")
        if named and self.control_mode != "explicit":
            raise BadArguments(
                f"--load-model={named[0]}: tritonserver takes it only with "
                "--model-control-mode=explicit, prints its usage and ends.",
                fix="add --model-control-mode=explicit, or leave --load-model out: without it "
                "all models are loaded",
            )
        if "*" in named and len(set(named)) > 1:
            raise BadArguments(
                "--load-model=* stands beside other --load-model, which tritonserver refuses.",
                fix="leave the others out: * means all models",
            )

    def _check_settings(self) -> None:
        """What tritonserver's parser takes, and no server can be made of."""
        for one in self.given:
            if one.name == "model-load-gpu-limit":
                fraction = _fraction(one.value.partition(":")[2])
                if not 0 <= fraction <= 1:
                    raise BadArguments(
                        f"{one.shown}: the fraction of a GPU's memory is {fraction:g}, and "
                        "tritonserver ends.",
                        fix="write a number from 0.0 to 1.0 behind the colon",
                    )
            elif one.name == "backend-config":
                name, value = _setting(one.value)
                if name == "min-compute-capability" and _FRACTION.match(value) is None:
                    raise BadArguments(
                        f"{one.shown}: min-compute-capability is no number, and Triton refuses "
                        "every model.",
                        fix="write a compute capability, such as 7.5",
                    )
            elif one.name == "host-policy":
                _check_host_policy(one)
        if 0 < self._pool_size < _LEAST_POOL:
            raise BadArguments(
                f"--{_POOL}={self.last[_POOL]}: on a machine with GPUs Triton can't make a pool of "
                "this size, and doesn't come up.",
                fix="leave the flag out: the pool then has 256 MB",
            )
        self._check_cache()

    def _check_cache(self) -> None:
        """The response cache of Triton's own, `local`, can't be made of every size."""
        if self.has("cache-config") and self.has("response-cache-byte-size"):
            raise BadArguments(
                "--response-cache-byte-size and --cache-config are both there, and tritonserver "
                "ends.",
                fix="leave --response-cache-byte-size out",
            )
        sizes = [_cache_size(one) for one in self.all("cache-config")]
        local = [size for size in sizes if size is not None]
        flag = "--cache-config=local,size"
        if self.has("response-cache-byte-size"):
            flag, local = "--response-cache-byte-size", [self.last["response-cache-byte-size"]]
        if not local:
            return
        found = re.match(r"\s*\+?(\d{1,18})", local[-1], re.ASCII)
        if found is None or int(found[1]) < _LEAST_CACHE:
            raise BadArguments(
                f"{flag}={local[-1]}: Triton can't make a cache of this size, and doesn't come up.",
                fix="write a number of bytes, such as 104857600, or leave the flag out for no "
                "response cache",
            )


NO_ARGUMENTS = CommandLine()
_POOL = "pinned-memory-pool-byte-size"
_LEAST_POOL = 192  # bytes (seen on 2.33.0 to 2.51.0)
_POOL_MAY_BE_OFF = (2, 51, 0)  # 2.42.0 fails with 0 bytes; those between weren't seen
_LEAST_CACHE = 192  # bytes: what its own records take (seen on 2.33.0 and 2.51.0)


def _cache_size(text: str) -> str | None:
    """The size that a setting of the cache `local` gives it; None for another setting."""
    cache, _, setting = text.partition(",")
    name, _, value = setting.partition("=")
    return value if cache == "local" and name == "size" else None


def _check_host_policy(given: Given) -> None:
    """Raise BadArguments for a setting that ends the server, or refuses the policy's models."""
    policy, _, setting = given.value.partition(",")
    name, _, value = setting.partition("=")
    forms = {"numa-node": (r"\s*[+-]?\d+$", "a number"), "cpu-cores": (r"\d+-\d+$", "FIRST-LAST")}
    if name not in forms:
        raise BadArguments(
            f"{given.shown}: host policies have the settings numa-node and cpu-cores, and "
            "tritonserver ends.",
            fix=f"write --host-policy={policy},numa-node=N or {policy},cpu-cores=FIRST-LAST",
        )
    pattern, form = forms[name]
    if re.match(pattern, value, re.ASCII) is None:
        raise BadArguments(
            f"{given.shown}: {name} is {form}; Triton refuses the models of this policy, or "
            "crashes.",
            fix=f"write --host-policy={policy},{name}={form.replace('a number', 'N')}",
        )


def shown_arguments(words: Sequence[str]) -> tuple[str, ...]:
    """Arguments to be read by people, without credentials; also those that are wrong."""
    try:
        return CommandLine.read(words).shown
    except BadArguments:
        return tuple(map(without_credentials, words))


def read_version(text: str | None) -> Version | None:
    """Of "2.51.0" or "2.51.0dev"; None for anything else."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", text or "", re.ASCII)
    return (int(found[1]), int(found[2]), int(found[3])) if found is not None else None


_FRACTION = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)", re.ASCII)


def _fraction(text: str) -> float:
    """The number that a text begins with, as C reads it."""
    found = _FRACTION.match(text)
    return float(found[1]) if found is not None else 0.0


def _setting(text: str) -> tuple[str, str]:
    """Of a setting for all backends: its name and value; ("", "") for one of a single backend."""
    name, _, value = text.partition("=")
    return ("", "") if "," in name else (name, value)


def _digits(text: str) -> str:
    found = re.match(r"\s*\+?(\d{1,18})", text, re.ASCII)
    return found[1] if found is not None else ""


def _read(arguments: Sequence[str]) -> Iterator[Given]:
    words = list(enumerate(arguments))
    if words and posixpath.basename(words[0][1]) == "tritonserver":
        words.pop(0)
    waiting = iter(words)
    for at, word in waiting:
        if word == "--":
            at, word = next(waiting, (at, ""))
            if word:
                raise _unexpected(word)
            return
        if not word.startswith("--"):
            raise _unexpected(word)
        _check_single(word, word)
        name, equals, value = word[2:].partition("=")
        flag, shown = _full_name(name, word), word
        if FLAGS[flag] == "nothing":
            if equals:
                raise BadArguments(
                    f"{without_credentials(word)}: --{flag} takes no value.", fix=f"write --{flag}"
                )
        elif not equals:
            _, following = next(waiting, (0, None))
            if following is None:
                raise BadArguments(
                    f"{word} needs a value, and none follows.", fix=f"write --{flag}=VALUE"
                )
            _check_single(word, following)
            value, shown = following, f"{word} {following}"
        shown = without_credentials(_hidden_header(flag, shown))
        _check_value(flag, value, shown)
        yield Given(flag, value, shown, at)


def _check_single(word: str, text: str) -> None:
    """Raise BadArguments for a text that has a flag behind the one that it begins with."""
    more = [one for one in re.findall(r"\s--([a-z][a-z-]*)", text) if one in FLAGS]
    if more:
        first = re.split(r"[=\s]", word[2:], maxsplit=1)[0]
        names = [f"--{one}" for one in (first, *more)]
        raise BadArguments(
            f"{' and '.join(names)} are in one string, and tritonserver takes all that follows "
            f"{names[0]} for its value.",
            fix=f"write each as an argument of its own: {', '.join(f'{one}=...' for one in names)}",
        )


def _hidden_header(flag: str, text: str) -> str:
    """A flag without the header's value that a restricted API asks for: a shared secret."""
    if flag not in _RESTRICTED:
        return text
    return re.sub(r"(:[^:=]*=).*\Z", rf"\1{HIDDEN}", text, flags=re.DOTALL)


def _full_name(name: str, word: str) -> str:
    if name in FLAGS:
        return name
    word = without_credentials(word)
    meant = sorted(flag for flag in FLAGS if name and flag.startswith(name))
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise BadArguments(
            f"{word}: several flags begin with --{name}: {', '.join(f'--{one}' for one in meant)}.",
            fix="write the flag in full",
        )
    if " " in name.strip():
        flag, _, value = name.partition(" ")
        raise BadArguments(
            f"{word!r} is one word with a space in it, which tritonserver takes for the name of a "
            "flag.",
            fix=f"write --{flag}={value.strip()}",
        )
    close = get_close_matches(name.replace("_", "-"), FLAGS, n=1)
    raise BadArguments(
        f"{word}: no tritonserver up to {shown_version(NEWEST)} knows this flag: it prints its "
        "usage and ends.",
        fix=f"did you mean --{close[0]}?"
        if close
        else "see `tritonserver --help`; a newer pytest-triton knows the flags of newer releases",
    )


def _unexpected(word: str) -> BadArguments:
    name, equals, value = without_credentials(word).partition("=")
    word = f"{name}={HIDDEN}" if equals and value else name  # whose value it may be isn't known
    return BadArguments(
        f"{word!r} is no flag, and tritonserver takes nothing else: it prints its usage and ends.",
        fix="write --FLAG=VALUE; a text with spaces needs quotes",
    )


_SHAPES: Mapping[str, tuple[str, str]] = {
    "model-control-mode": ("(?i:none|poll|explicit)$", "none, poll or explicit"),
    "rate-limit": ("(?i:execution_count|off)$", "execution_count or off"),
    "rate-limit-resource": (r"[^:]*:\s*\d+[^:]*(:\s*-?\d+[^:]*)?$", "NAME:COUNT or NAME:COUNT:GPU"),
    "cuda-memory-pool-byte-size": (r"\s*\d+[^:]*:\s*\d+", "GPU:BYTES"),
    "cuda-virtual-address-size": (r"\s*\d+[^:]*:\s*\d+", "GPU:BYTES"),
    "model-load-gpu-limit": (r"\s*\d+[^:]*:\s*\.?\d", "GPU:FRACTION"),
    "backend-config": ("([^,=]+,)?[^=,]+=.", "BACKEND,SETTING=VALUE"),
    "cache-config": ("[^,]+,[^=]+=.", "CACHE,SETTING=VALUE"),
    "host-policy": ("[^,]+,[^=]+=.", "POLICY,SETTING=VALUE"),
    "model-config-name": (".", "a name"),
}
"""Of flags whose text has a form: a pattern that it begins with, and the form for people."""


def _check_value(flag: str, value: str, shown: str) -> None:
    pattern, expected = _SHAPES.get(flag, ("", ""))
    if FLAGS[flag] == "switch":
        pattern, expected = "(?i:true|on|1|false|off|0)$", "true or false"
    elif FLAGS[flag] == "number":
        pattern, expected = r"\s*[+-]?\.?\d", "a number"
    if re.match(pattern, value, re.ASCII | re.DOTALL) is None:
        raise BadArguments(
            f"{shown}: tritonserver expects {expected} as the value, and ends.",
            fix=f"give --{flag} {expected}",
        )
