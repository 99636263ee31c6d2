"""Why an inference gave no answer: Triton's text, sorted by cause, with the fix."""

from __future__ import annotations

import re
from typing import NamedTuple

from pytest_triton.errors import PytestTritonError


class InferenceFailed(PytestTritonError):
    """No answer to an inference. `reason` is a stable name, `text` what was said about it.

    The reasons: wrong-shape, wrong-type, missing-input, unknown-input, unknown-output, sequence,
    unknown-model, not-ready, shared-memory, client-shared-memory, too-large, streaming, timeout,
    gone (the server), other.
    """

    def __init__(
        self, what: str, *, reason: str, text: str, tried: tuple[str, ...] = (), fix: str = ""
    ) -> None:
        super().__init__(what, tried=tried, fix=fix)
        self.reason = reason
        self.text = text


class Cause(NamedTuple):
    """`summary` is for people: `wrong shape`."""

    reason: str
    summary: str
    fix: str


class _Known(NamedTuple):
    cause: Cause
    patterns: tuple[str, ...]


_OTHER = Cause(
    "other",
    "the model or Triton refused it",
    "read Triton's text; the server's log may say more",
)
_KNOWN = tuple(
    _Known(Cause(reason, summary, fix), patterns)
    for reason, summary, fix, patterns in (
        (
            "timeout",
            "no answer in time",
            "raise timeout= if the model is that slow (its first inference may be); the server's "
            "log says what it was doing",
            (r"Deadline Exceeded", r"DEADLINE_EXCEEDED", r"timed out"),
        ),
        (
            "too-large",
            "a request that is larger than the server takes over HTTP",
            "raise the server's limit, --http-max-input-size=BYTES (64 MB unless it is given): in "
            "a test triton_server_args, for a run --triton-server-args; or ask over gRPC",
            (r"--http-max-input-size",),
        ),
        (
            "client-shared-memory",
            "the server takes no tensors in a client's shared memory",
            "start it with --allow-client-shm=true (false unless it is given, since 2.68.0): in a "
            "test triton_server_args, for a run --triton-server-args; or send the tensors "
            "themselves",
            (r"--allow-client-shm",),
        ),
        (
            "streaming",
            "a decoupled model, which answers over streaming gRPC only",
            "ask over gRPC: protocol='grpc'",
            (r"decoupled transaction policy",),
        ),
        (
            "wrong-type",
            "wrong data type",
            "give arrays of the declared types: TYPE_FP32 is numpy.float32, TYPE_STRING is bytes",
            (r"data-type is '\w+', .*expects '\w+'",),
        ),
        (
            "wrong-shape",
            "wrong shape",
            "give arrays of the declared shapes; the first dimension is the batch size where "
            "max_batch_size is above 0",
            (
                r"unexpected shape for input",
                r"batch[- ]size must be <=",
                r"batch size does not match other inputs",
                r"expected \[.*\], got \[",
                r"unexpected total byte size",
                r"input byte size mismatch",
            ),
        ),
        (
            "missing-input",
            "not the number of inputs that the model takes",
            "give every input that isn't optional",
            (r"expected (number of inputs between )?\d+ .*but got \d+ input",),
        ),
        (
            "unknown-input",
            "an input that the model doesn't have",
            "correct the name of the input",
            (r"unexpected inference input", r"unknown input"),
        ),
        (
            "unknown-output",
            "an output that the model doesn't have",
            "correct the name of the output",
            (r"unexpected inference output", r"unknown output"),
        ),
        (
            "sequence",
            "a model for sequences of requests, asked otherwise",
            "give sequence_id=, sequence_start= and sequence_end= as the sequence has them",
            (r"correlation ID", r"request for sequence", r"sequence[ _]id", r"sequence batch"),
        ),
        (
            "not-ready",
            "the model is not ready",
            "load the model; where Triton refused it, `pytest-triton audit` and the server's log "
            "say why",
            (r"not at ready state", r"has no available versions", r"is not ready", r"not loaded"),
        ),
        (
            "shared-memory",
            "too little shared memory for the tensors of a python model",
            "make /dev/shm larger: --triton-shm-size=1g for a container that the plugin starts, "
            "docker run --shm-size=1g for one that pytest runs in, in Kubernetes a memory-backed "
            "emptyDir mounted at /dev/shm",
            (r"--shm-size", r"shared memory (pool|key)", r"shm_open"),
        ),
        (
            "unknown-model",
            "the server has no such model",
            "correct the model's name or version; the index of the server lists what it has",
            (r"[Rr]equest for unknown model", r"is not found"),
        ),
    )
)
# Said by the client, about the connection.
_GONE = re.compile(
    r"StatusCode.UNAVAILABLE|Socket closed|failed to connect|Connection (reset|refused|aborted)|"
    r"ConnectionError|Broken pipe|[Cc]onnection (has been )?closed|ConnectionClosed",
)
_GONE_CAUSE = Cause(
    "gone",
    "the server did not answer",
    "it may have ended in the inference: see its exit code and log",
)


def cause_of_failure(text: str) -> Cause:
    """What kind of failure this text is about. Texts of models themselves are `other`."""
    for known in _KNOWN:
        if any(re.search(pattern, text) for pattern in known.patterns):
            return known.cause
    return _GONE_CAUSE if _GONE.search(text) else _OTHER
