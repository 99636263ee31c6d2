"""Hardware and placement as values, and Triton's rules that lead from one to the other.

Everything here is pure: no server, no pytest, no files. Configs arrive as tritonclient's
`ModelConfig` messages and are only read.
"""
