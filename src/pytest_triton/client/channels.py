"""How gRPC channels to servers of pytest's own are opened: directly, whatever proxies are set.

grpc takes http_proxy, https_proxy, grpc_proxy and all_proxy for every address, 127.0.0.1 too.
"""

from __future__ import annotations

_LARGEST_MESSAGE = 2**31 - 1  # bytes; tritonclient's own limit


def direct_channel_args() -> list[tuple[str, int]]:
    """tritonclient's default `channel_args`, and the one that leaves proxies out."""
    from tritonclient.grpc import KeepAliveOptions

    keepalive = KeepAliveOptions()
    return [
        ("grpc.max_send_message_length", _LARGEST_MESSAGE),
        ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
        ("grpc.keepalive_time_ms", keepalive.keepalive_time_ms),
        ("grpc.keepalive_timeout_ms", keepalive.keepalive_timeout_ms),
        (
            "grpc.keepalive_permit_without_calls",
            int(keepalive.keepalive_permit_without_calls),
        ),
        ("grpc.http2.max_pings_without_data", keepalive.http2_max_pings_without_data),
        ("grpc.enable_http_proxy", 0),
    ]
