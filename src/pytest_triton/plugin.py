"""pytest hooks of pytest-triton."""
