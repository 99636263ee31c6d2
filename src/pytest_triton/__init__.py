"""Test where your Triton Inference Server models run."""
