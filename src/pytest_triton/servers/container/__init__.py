"""A tritonserver in a container."""
