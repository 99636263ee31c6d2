"""The only code that talks HTTP or gRPC to a Triton."""
