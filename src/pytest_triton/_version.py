__version__ = "0.1.0"

DOCUMENTATION = "https://pytest-triton.readthedocs.io/en/stable/"
