"""Rehearsals: a real Triton core with simulated GPUs and stand-in backends."""
