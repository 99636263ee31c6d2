"""A running server that somebody else owns."""
