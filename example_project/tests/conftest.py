"""Two servers that differ, for tests that compare them."""

from pytest_triton import factories

server_with_gpus = factories.triton_server(repo="models", gpus="sim:2")
server_without = factories.triton_server(repo="models", gpus="none")
