"""What `--rate-limit=execution_count` refuses: instances that could never run.

Source: core's `RateLimiter::ResourceManager` (rate_limiter.cc), r23.04 to r26.06. Without that
argument Triton ignores `rate_limiter`. Models load side by side: which of two that contradict
each other comes too late is chance; here it is the later one by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pytest_triton.diagnostics.diagnostic import Diagnostic

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

GLOBAL, PER_DEVICE = -2, -1  # in place of a device's number


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


class Resource(NamedTuple):
    """What each instance of a group takes of a resource; `field` is where the config says it."""

    name: str
    is_global: bool
    amount: int
    field: str


@dataclass(frozen=True)
class RateLimits:
    """The limits of a server with a rate limiter: device (or PER_DEVICE) -> name -> amount.

    Without any, there is as much of a resource as the instance takes that takes most of it.
    """

    limits: Mapping[int, Mapping[str, int]] = field(default_factory=dict, hash=False)

    @classmethod
    def of_arguments(cls, arguments: Sequence[str]) -> RateLimits | None:
        """Those of tritonserver's arguments; None if they start no rate limiter."""
        given = list(_options(arguments))
        modes = [value.lower() for name, value in given if name == "rate-limit"]
        if modes[-1:] != ["execution_count"]:
            return None
        limits: dict[int, dict[str, int]] = {}
        for name, value in given:
            if name != "rate-limit-resource":
                continue
            resource, amount, device = (*value.split(":"), "", "")[:3]
            if _is_number(amount):  # else the server doesn't start
                where = int(device) if _is_number(device) else PER_DEVICE
                limits.setdefault(where, {})[resource] = int(amount)
        return cls(limits)

    def of(self, device: int, name: str) -> int:
        if device == GLOBAL:  # wherever it is given
            return max((one.get(name, 0) for one in self.limits.values()), default=0)
        own, every = self.limits.get(device, {}), self.limits.get(PER_DEVICE, {})
        return max(own.get(name, 0), every.get(name, 0))


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name.startswith("--rate-limit"):
            yield name[2:], value if equals else next(rest, "")


def resources_of(config: ModelConfig) -> tuple[tuple[Resource, ...], ...]:
    """What the instances of each group take; () if none of them takes anything."""
    found = []
    for index, group in enumerate(config.instance_group):
        place = f"instance_group[{index}].rate_limiter.resources"
        resources = group.rate_limiter.resources if group.HasField("rate_limiter") else ()
        found.append(
            tuple(
                Resource(one.name, getattr(one, "global"), one.count, f"{place}[{number}]")
                for number, one in enumerate(resources)
            )
        )
    return tuple(found) if any(found) else ()


class RateLimiter:
    """The instances so far, as the server's rate limiter adds them up."""

    def __init__(self, limits: RateLimits) -> None:
        self._limits = limits
        self._places: dict[tuple[bool, str], tuple[str, str]] = {}  # -> (model, field)

    def add(
        self,
        model: str,
        groups: Iterable[tuple[Sequence[Resource], Sequence[int]]],
        *,
        last: bool = True,
    ) -> Diagnostic | None:
        """Why a model's instances can't be added; its groups are (resources, devices).

        Of several failures core reports the `last` one, or the first, as its release does.
        """
        added: dict[tuple[bool, str], tuple[str, str]] = {}
        found = None
        for resources, devices in groups:
            flaw = self._group_flaw(model, resources, devices, added)
            if flaw is not None and not last:
                return flaw
            found = flaw or found
        if found is None:
            for key, place in added.items():
                self._places.setdefault(key, place)
        return found

    def _group_flaw(
        self,
        model: str,
        resources: Sequence[Resource],
        devices: Sequence[int],
        added: dict[tuple[bool, str], tuple[str, str]],
    ) -> Diagnostic | None:
        """Why a group's instances can't be added; what they take is put into `added`."""
        for one in {(one.is_global, one.name): one for one in resources}.values():
            flaw = self._limit_flaw(one, devices)
            if flaw is not None:
                return flaw
            added.setdefault((one.is_global, one.name), (model, one.field))
        for one in resources:
            other = (not one.is_global, one.name)
            rival = self._places.get(other) or added.get(other)
            if rival is not None:
                return _both_flaw(model, one, rival)
        return None

    def _limit_flaw(self, one: Resource, devices: Sequence[int]) -> Diagnostic | None:
        if not self._limits.limits:
            return None
        for device in [GLOBAL] if one.is_global else devices:
            most = self._limits.of(device, one.name)
            if most < one.amount:
                return Diagnostic(
                    "rate-limit",
                    f'Resource count for "{one.name}" is limited to {most} which will prevent '
                    "scheduling of one or more model instances, the minimum required count is "
                    f"{one.amount}",
                    f"{one.field}.count",
                    f"an instance takes {one.amount} of `{one.name}`, and the server has {most}",
                    f"Write count: {most} or less, or give the server more: "
                    f"--rate-limit-resource={one.name}:{one.amount}",
                )
        return None


def _both_flaw(model: str, one: Resource, rival: tuple[str, str]) -> Diagnostic:
    here, there = ("global", "per device") if one.is_global else ("per device", "global")
    where = "another group" if rival[0] == model else f"`{rival[0]}`"
    return Diagnostic(
        "rate-limit",
        f'Resource "{one.name}" is present as both global and device-specific resource in the '
        "model configuration.",
        one.field,
        f"the resource `{one.name}` is {here} here and {there} in {where}",
        "Write the same `global` in both, or give one of the resources another name.",
        also=(Diagnostic(model=rival[0], field=rival[1]),) if rival[0] != model else (),
    )
