"""The flags of tritonserver: what value each takes, and since which release there are.

Of the releases 2.33.0 to 2.51.0 as their own `--help` lists them (a test compares), of the others
as `command_line_parser.cc` does, up to 2.72.0. No release has lost a flag so far.
"""

from __future__ import annotations

from typing import Literal

Version = tuple[int, int, int]
Value = Literal["switch", "number", "text", "nothing"]

OLDEST: Version = (2, 33, 0)
NEWEST: Version = (2, 72, 0)
"""The releases that the table is about."""

_SWITCHES = """
    allow-client-shm allow-cpu-metrics allow-gpu-metrics allow-grpc allow-http allow-metrics
    allow-sagemaker allow-vertex-ai enable-peer-access exit-on-error
    grpc-keepalive-permit-without-calls grpc-use-ssl grpc-use-ssl-mutual log-error log-info
    log-warning model-namespacing reuse-grpc-port reuse-http-port strict-model-config
    strict-readiness
"""
_NUMBERS = """
    buffer-manager-thread-count exit-timeout-secs grpc-http2-max-ping-strikes
    grpc-http2-max-pings-without-data grpc-http2-min-recv-ping-interval-without-data
    grpc-infer-allocation-pool-size grpc-infer-thread-count grpc-keepalive-time
    grpc-keepalive-timeout grpc-max-connection-age grpc-max-connection-age-grace
    grpc-max-response-pool-size grpc-port http-max-input-size http-port http-thread-count
    metrics-interval-ms metrics-port min-supported-compute-capability model-load-retry-count
    model-load-thread-count pinned-memory-pool-byte-size repository-poll-secs
    response-cache-byte-size sagemaker-port sagemaker-thread-count trace-count
    trace-log-frequency trace-rate vertex-ai-port vertex-ai-thread-count
"""
_TEXTS = """
    backend-config backend-directory cache-config cache-directory cuda-memory-pool-byte-size
    cuda-virtual-address-size grpc-address grpc-header-forward-pattern
    grpc-infer-response-compression-level grpc-restricted-protocol grpc-root-cert
    grpc-server-cert grpc-server-key host-policy http-address http-header-forward-pattern
    http-restricted-api id load-model log-file log-format log-verbose metrics-address
    metrics-config model-config-name model-control-mode model-load-gpu-limit model-repository
    model-store rate-limit rate-limit-resource repoagent-directory sagemaker-safe-port-range
    trace-config trace-file trace-level vertex-ai-default-model
"""

FLAGS: dict[str, Value] = {
    **dict.fromkeys(_SWITCHES.split(), "switch"),
    **dict.fromkeys(_NUMBERS.split(), "number"),
    **dict.fromkeys(_TEXTS.split(), "text"),
    "disable-auto-complete-config": "nothing",
    "help": "nothing",
}

_SINCE: dict[str, Version] = {
    "metrics-address": (2, 34, 0),
    "cuda-virtual-address-size": (2, 40, 0),
    "http-restricted-api": (2, 40, 0),
    "grpc-max-connection-age": (2, 42, 0),
    "grpc-max-connection-age-grace": (2, 42, 0),
    "model-load-retry-count": (2, 42, 0),
    "model-config-name": (2, 46, 0),
    "enable-peer-access": (2, 47, 0),
    "grpc-max-response-pool-size": (2, 56, 0),
    "grpc-infer-thread-count": (2, 57, 0),
    "http-max-input-size": (2, 59, 0),
    "allow-client-shm": (2, 68, 0),
}


def since(flag: str) -> Version:
    """The first release that knows a flag; `OLDEST` for the older ones."""
    return _SINCE.get(flag, OLDEST)
