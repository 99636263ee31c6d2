"""A running Triton server, wherever it runs, and what it takes to have one."""
