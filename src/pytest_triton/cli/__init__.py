"""The commands of `python -m pytest_triton`, a module each."""
