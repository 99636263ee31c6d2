"""What Triton takes without a word, and what then does nothing, or fails in production."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_triton.audit.rule import rule
from pytest_triton.audit.subject import Audited, Subject
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.placement.rate_limits import RateLimiter, RateLimits
from pytest_triton.text.shown_text import printable

_BATCHING = 'backend: "onnxruntime"\n%sinstance_group [ { kind: KIND_GPU } ]\n'


@rule(
    "TRT404",
    "batching-without-batches",
    "warning",
    failing=_BATCHING % "dynamic_batching { }\nmax_batch_size: 0\n",
    fixed=_BATCHING % "dynamic_batching { }\nmax_batch_size: 8\n",
)
def batching_without_batches(subject: Subject) -> Iterator[Diagnostic]:
    """Dynamic batching is on in a model that takes no batches: it only waits.

    With max_batch_size 0 or 1 there is nothing to put together: the scheduler does nothing, or adds
    its delay to every request. Some backends (onnxruntime) raise max_batch_size by themselves if
    the config declares no inputs and outputs.
    """
    config = subject.config
    if config.WhichOneof("scheduling_choice") != "dynamic_batching" or config.max_batch_size > 1:
        return
    completed = subject.backend.completes and not len(config.input) and not len(config.output)
    if subject.refused is not None or (completed and "max_batch_size" not in subject.positions):
        return
    yield subject.at(
        "dynamic_batching",
        f"max_batch_size is {config.max_batch_size}: dynamic batching never makes a batch",
        "max_batch_size: 8",
    )


@rule(
    "TRT513",
    "warm-up-skipped",
    "warning",
    failing=_BATCHING
    % (
        'max_batch_size: 8\nmodel_warmup [ { name: "w" batch_size: 0 inputs { key: "X" value { '
        "data_type: TYPE_FP32 dims: [ 4 ] zero_data: true } } } ]\n"
        'input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
        'output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
    ),
    fixed=_BATCHING
    % (
        'max_batch_size: 8\nmodel_warmup [ { name: "w" batch_size: 1 inputs { key: "X" value { '
        "data_type: TYPE_FP32 dims: [ 4 ] zero_data: true } } } ]\n"
        'input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
        'output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
    ),
)
def warm_up_skipped(subject: Subject) -> Iterator[Diagnostic]:
    """A sample of `model_warmup` never runs, or is larger than the model's batches.

    A sample without batch_size, or with 0, is skipped, in models that take no batches as well; only
    the verbose log says so. One with more than max_batch_size is handed to the backend as it is:
    most backends refuse it, and the model with it.
    """
    most = subject.config.max_batch_size
    for number, sample in enumerate(subject.config.model_warmup):
        place = f"model_warmup[{number}]"
        if not sample.batch_size:
            yield subject.at_field(
                f"{place}.batch_size",
                f"the sample `{printable(sample.name)}` is skipped: its batch_size is 0",
                "batch_size: 1",
            )
        elif sample.batch_size > max(most, 1):
            yield subject.at_field(
                f"{place}.batch_size",
                f"the sample `{printable(sample.name)}` has batch_size {sample.batch_size}, and "
                f"max_batch_size is {most}: backends refuse such a batch",
                f"batch_size: {max(most, 1)}",
            )


_LIMITED = (
    'backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU rate_limiter { resources [ '
    '{ name: "R" count: 4 %s} ] } } ]\n'
)


@rule(
    "TRT405",
    "resource-global-and-per-device",
    "warning",
    scope="repository",
    failing={
        "a/config.pbtxt": _LIMITED % "",
        "a/1/.gitkeep": "",
        "b/config.pbtxt": _LIMITED % "global: true ",
        "b/1/.gitkeep": "",
    },
    fixed={
        "a/config.pbtxt": _LIMITED % "",
        "a/1/.gitkeep": "",
        "b/config.pbtxt": _LIMITED % "",
        "b/1/.gitkeep": "",
    },
)
def resource_global_and_per_device(audited: Audited) -> Iterator[Diagnostic]:
    """A resource of the rate limiter is global in one group and per device in another.

    A server with `--rate-limit=execution_count` refuses whichever of the models loads later, so
    that it may be another one at each start. Without that argument resources don't count.
    """
    limiter = RateLimiter(RateLimits())
    for name, subject in sorted(audited.by_name.items()):
        flaw = limiter.add(name, [(one, ()) for one in subject.declared.resources])
        if flaw is not None:
            yield subject.at_field(
                flaw.field,
                f"`{printable(name)}`: {flaw.message}; with --rate-limit=execution_count one of "
                "the two is refused",
            )
