"""The tests that every model of a checked repository gets."""
