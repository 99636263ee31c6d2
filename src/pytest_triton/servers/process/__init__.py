"""A tritonserver as a process of this machine."""
