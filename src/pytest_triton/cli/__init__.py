"""The commands of `pytest-triton`, a module each."""
