"""What tests claim about placement, with failures that explain.

Each function raises AssertionError with what was declared, predicted and observed, Triton's own
text, the likely cause and the lines of config.pbtxt that would fix it. All names are in
`pytest_triton`: `from pytest_triton import assert_refused`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NoReturn

from pytest_triton.arguments.checked import checked
from pytest_triton.arguments.kinds import (
    CALLABLE,
    NAME,
    ZERO_OR_MORE,
    ArgumentKind,
    optional,
    several,
)
from pytest_triton.placement.advice import advise, advise_on_refusal, advise_on_verdict
from pytest_triton.placement.instances import Instances, Placement, gpu
from pytest_triton.testing.arguments import MODEL, PLACEMENT, REASON, SERVER
from pytest_triton.testing.device_usage import active, known_gpu_ids, watch
from pytest_triton.text.wrapping import wrapped

if TYPE_CHECKING:
    from pytest_triton.placement.advice import Advice
    from pytest_triton.placement.refusal import Reason
    from pytest_triton.repository import Model
    from pytest_triton.testing.server import TritonServer

_WIDTH = 92  # characters a line of prose


_MODELS = several(MODEL, "models: a list of names or Models")
_PATTERNS = several(NAME, "a list of patterns of names")
_WHERE = ArgumentKind(
    "a GPU's id, or a placement, made of gpu(), cpu() and on_model()",
    lambda value: ZERO_OR_MORE.fits(value) or (isinstance(value, Placement) and bool(value)),
)


@checked(server=SERVER, model=MODEL, reason=REASON)
def assert_refused(server: TritonServer, model: str | Model, reason: Reason | None = None) -> None:
    """The model isn't loaded, and Triton refused it for this class of reason (any, if None).

    A model that merely isn't loaded (unloaded, never asked for) was not refused. `reason` is one
    of `pytest_triton.REASONS`, such as "no-gpu" or "gpu-id".
    """
    __tracebackhide__ = True
    observed = server.observed(model)
    wanted = "refused" if reason is None else f"refused ({reason})"
    if observed.ready:
        _fail(server, model, f"was to be {wanted}, and runs: {observed.placement}")
    if observed.refusal is None:
        _fail(server, model, f"was to be {wanted}; it isn't loaded, but nothing refused it")
    if reason is not None and observed.refusal.reason != reason:
        _fail(server, model, f"was to be {wanted}, and is refused for another reason: {observed}")


@checked(server=SERVER, model=MODEL, placement=PLACEMENT)
def assert_placed(server: TritonServer, model: str | Model, placement: Placement) -> None:
    """The model runs with exactly these instances: `gpu(0) + gpu(1) + cpu()`."""
    __tracebackhide__ = True
    observed = server.observed(model)
    if not observed.ready:
        _fail(server, model, f"was to run on {placement}, and is not loaded: {observed}")
    if observed.placement != placement:
        _fail(
            server,
            model,
            f"was to run on {placement}, and runs on {observed.placement}",
            differences(observed.placement, placement),
        )


@checked(server=SERVER, models=MODEL)
def assert_placed_as_declared(server: TritonServer, *models: str | Model) -> None:
    """Each of the models (all of the repository, if none is named) does what its config declares.

    On this server's hardware, by Triton's rules: the instances of every group, no more and no
    fewer; or the refusal that the declaration asks for there. Something that nobody declared (a
    fallback) is never as declared.
    """
    __tracebackhide__ = True
    failures = []
    for model in models or tuple(server.models):
        verdict = server.verdict(model)
        if not verdict.ok:
            failures.append(_explain(server, model, verdict.headline))
        elif verdict.predicted.fallback:
            failures.append(_explain(server, model, "runs on the CPU, and nobody declared that"))
    _raise(failures, "not placed as declared")


@checked(server=SERVER, allow=_PATTERNS)
def assert_no_fallback(server: TritonServer, *, allow: Iterable[str] = ()) -> None:
    """No model that a GPU would have served runs on the CPU without anyone declaring it.

    `allow`: patterns of names that may, in addition to triton_allow_fallback.
    """
    __tracebackhide__ = True
    allowed = (*allow, *server._state.allowed_fallbacks)
    failures = []
    for name in server.models:
        observed = server.observed(name)
        if not observed.ready or any(fnmatchcase(name, pattern) for pattern in allowed):
            continue
        if server.predicted(name).fallback and not observed.placement.devices:
            failures.append(_explain(server, name, "fell back to the CPU"))
    _raise(failures, "fell back to the CPU unnoticed")


@checked(server=SERVER, models=_MODELS)
def assert_ready_models(server: TritonServer, models: Collection[str | Model]) -> None:
    """Exactly these models are READY, and no other of the repository. Raises UnknownModel."""
    __tracebackhide__ = True
    wanted = {model if isinstance(model, str) else model.name for model in models}
    for name in wanted:
        server.observed(name)  # raises UnknownModel
    failures = []
    for name in server.models:
        observed = server.observed(name)
        if observed.ready and name not in wanted:
            failures.append(f"  {name}: is READY, and was not to be ({observed})")
        if not observed.ready and name in wanted:
            failures.append(f"  {name}: was to be READY, and isn't ({observed})")
    if failures:
        headline = f"other models than these are READY: {', '.join(sorted(wanted)) or 'none'}"
        raise AssertionError("\n".join([headline, "", *failures]))


@checked(server=SERVER, model=MODEL, where=_WHERE, send=optional(CALLABLE))
def assert_ran_on(
    server: TritonServer,
    model: str | Model,
    where: Placement | int,
    *,
    send: Callable[[], object] | None = None,
) -> None:
    """Inferences run exactly there: on `gpu(0) + cpu()`, or on the one GPU with this id.

    Sends requests until each device of the model has run some, and asks Triton's metrics where
    they ran: on all these GPUs and on no other; on no GPU only with `cpu()` or `on_model()`.
    How many instances there are isn't looked at. Triton counts which of its instances ran: what a
    backend then does with its device isn't seen, nor whether "no GPU" means the CPU.

    `send` sends one request, where `server.infer(model)` won't do. The metrics name GPUs only for
    models that were loaded after the server's start. So the model is reloaded if the test may do
    that (`triton(changes=True)`); if it may not, nothing is proven, and this fails.
    """
    __tracebackhide__ = True
    wanted = gpu(where) if isinstance(where, int) else where
    observed = server.observed(model)
    if not observed.ready:
        _fail(server, model, f"was to run on {wanted}, and is not loaded: {observed}")
    if not observed.placement:
        _fail(
            server,
            model,
            f"was to run on {wanted}, and has no instances of its own",
            ["", "An ensemble runs nowhere itself: ask for the models of its steps."],
        )
    may_run = active(observed)
    if _devices(may_run) != _devices(wanted):
        _fail(server, model, f"was to run on {wanted}, and can run on {may_run}")
    name = model if isinstance(model, str) else model.name
    watched = watch(server, name, wanted, send or (lambda: server.infer(name)))
    if watched.wrong is not None:
        more = []  # what was counted, and what to do
        if watched.ran is not None:
            observation = watched.ran.observation(known_gpu_ids(server, watched.ran.by_gpu))
            more = [f"  counted    {observation.text}  (seen in the {observation.source})"]
        if watched.wrong.advice:
            more += ["", *wrapped(watched.wrong.advice, _WIDTH)]
        headline = f"was to run on {wanted}, and {watched.wrong.why}"
        _fail(server, model, headline, more, advises=not watched.wrong.is_unproven)


@checked(server=SERVER, model=MODEL)
def assert_complete(server: TritonServer, model: str | Model) -> None:
    """Every declared instance group has all its instances: none was left out, none is elsewhere.

    For mixed groups (GPU and CPU), which Triton serves whole or not at all.
    """
    __tracebackhide__ = True
    observed, verdict = server.observed(model), server.verdict(model)
    if not observed.ready:
        _fail(server, model, f"has none of its instances: {observed}")
    kinds = {group.kind for group in server.declared(model).groups} - {"AUTO", "UNKNOWN"}
    missing = kinds - {instances.kind for instances in observed.placement}
    if missing or not verdict.ok:
        where = f" on {', '.join(sorted(missing))}" if missing else ""
        _fail(
            server,
            model,
            f"lacks instances{where}: {verdict.headline}",
            differences(observed.placement, verdict.predicted.placement),
        )


def explain_comparison(left: object, right: object) -> list[str] | None:
    """What `assert server.placement("m") == gpu(0)` shows when it fails."""
    if not (isinstance(left, Placement) and isinstance(right, Placement)):
        return None
    return [f"{left!r} == {right!r}", *differences(left, right)]


def differences(found: Placement, wanted: Placement) -> list[str]:
    """What one placement has more or less of than the other, a line each."""
    have, want = _counts(found), _counts(wanted)
    lines = []
    for where in dict.fromkeys([*want, *have]):
        got, expected = have.get(where, 0), want.get(where, 0)
        if got != expected:
            plural = "" if expected == 1 else "s"
            lines.append(f"  {where}: {expected} instance{plural} expected, {got} found")
    return lines


def _devices(placement: Placement) -> set[str]:
    return set(_counts(placement))


def _counts(placement: Placement) -> dict[str, int]:
    return {_where(instances): instances.count for instances in placement}


def _where(instances: Instances) -> str:
    return f"GPU {instances.device}" if instances.kind == "GPU" else instances.kind


def _fail(
    server: TritonServer,
    model: str | Model,
    headline: str,
    more: Iterable[str] = (),
    *,
    advises: bool = True,
) -> NoReturn:
    __tracebackhide__ = True
    raise AssertionError(_explain(server, model, headline, more, advises=advises))


def _raise(failures: list[str], summary: str) -> None:
    __tracebackhide__ = True
    if failures:
        plural = "" if len(failures) == 1 else "s"
        raise AssertionError("\n\n".join([f"{len(failures)} model{plural} {summary}", *failures]))


def _explain(
    server: TritonServer,
    model: str | Model,
    headline: str,
    more: Iterable[str] = (),
    *,
    advises: bool = True,
) -> str:
    """All that is known, for the person who has to fix the model.

    Without `advises`, nothing about the placement itself: that isn't what is wrong.
    """
    name = model if isinstance(model, str) else model.name
    observed, declared = server.observed(model), server.declared(model)
    predicted = server.predicted(model)
    sources = " and the ".join(observed.sources)
    seen = f"seen in the {sources}" if sources else "no evidence"
    lines = [
        f"{name} {headline}",
        "",
        f"  hardware   {server._state.hardware_now.label}",
        f"  declared   {declared.summary}",
        f"  predicted  {predicted}",
        f"  observed   {observed}  ({seen})",
        f"  server     {server.description}, {server.run}",
    ]
    if observed.refusal is not None:
        lines.append(f"  Triton     {observed.refusal.text}")
    lines += more
    advice = _advice(server, model) if advises else None
    if advice is not None:
        lines += ["", *wrapped(advice.cause, _WIDTH)]
        if advice.lines:
            lines += ["", *("    " + line for line in advice.lines.splitlines())]
    return "\n".join(lines)


def _advice(server: TritonServer, model: str | Model) -> Advice | None:
    verdict = server.verdict(model)
    if not verdict.ok:
        return advise_on_verdict(verdict)
    refusal = verdict.observed.refusal
    if refusal is not None:
        predicted = verdict.predicted
        return advise_on_refusal(verdict.declared, refusal, predicted.hardware, predicted.server)
    return advise(verdict.declared, verdict.predicted)
