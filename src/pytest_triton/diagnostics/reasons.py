"""Why Triton refuses a model, as classes: its sentences change from release to release."""

from __future__ import annotations

from typing import Literal, get_args

Reason = Literal[
    "no-gpu",  # KIND_GPU, and the server sees no GPU it can use
    "no-gpu-support",  # KIND_GPU, and the server is a build without GPU support
    "gpu-id",  # `gpus` names one that isn't there, or is below the minimum compute capability
    "cpu-with-gpus",  # KIND_CPU with `gpus`; also KIND_AUTO with a gpu that isn't there
    "model-with-gpus",  # KIND_MODEL with `gpus`
    "kind",  # a kind that is a number Triton doesn't know
    "profile",  # `profile` on anything but TensorRT, or one that is no number of 0 or more
    "backend-cpu-only",  # the backend takes CPU instances only (openvino)
    "backend-gpu-only",  # the backend takes GPU instances only (tensorrt)
    "backend-missing",  # the backend's library isn't in the backend directory
    "backend-load",  # the library is there and can't be loaded (its own libraries, say)
    "agent-missing",  # the server has no repository agent of the name that the config wants
    "no-backend",  # neither config nor files say which backend the model is for
    "no-config",  # no config.pbtxt, and the backend completes none
    "config",  # the config can't be read or contradicts itself
    "name",  # `name` differs from the directory's
    "duplicate",  # the model stands in two repositories of one server
    "version",  # no version directory that the version policy takes
    "ensemble",  # the ensemble's own config, or one of its models, is refused
    "warm-up",  # a sample of model_warmup doesn't fit the model's inputs
    "model-file",  # the model's file is missing or can't be read
    "cuda",  # CUDA can't be asked for its GPUs: every model is refused
    "gpu-memory",  # no GPU memory left, or more used than the server allows
    "shared-memory",  # /dev/shm is too small, full or not writable (python models)
    "rate-limit",  # rate limiter resources, with --rate-limit=execution_count only
    "crash",  # Triton itself crashes on this config, and takes all its other models along
    "other",  # anything else; read Triton's text
]

REASONS: tuple[Reason, ...] = get_args(Reason)
