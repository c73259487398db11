"""Whether a model's passes run on kernels, or on the plain PyTorch that defines them."""

import os
from importlib.util import find_spec

import torch

VARIABLE = "MIDFILL_KERNELS"
CHOICES = ("reference", "triton")
OLDEST = (8, 0)
"""Compute capability from which a card multiplies bfloat16."""


def uses_kernels(device: torch.device) -> bool:
    """Whether passes on `device` run on the kernels: on a card that multiplies bfloat16, where Triton is installed.

    `MIDFILL_KERNELS=reference` forces the definitions. `triton` forces the kernels, also on the CPU, where Triton's
    interpreter must have been chosen (`TRITON_INTERPRET=1`); that is for tests. Raises `ValueError` with another value.
    """
    forced = os.environ.get(VARIABLE)
    if forced and forced not in CHOICES:
        raise ValueError(forced)
    if forced:
        return forced == "triton"
    is_able = device.type == "cuda" and torch.cuda.get_device_capability(device) >= OLDEST
    return is_able and find_spec("triton") is not None


def definitions_are_forced() -> bool:
    """Whether `MIDFILL_KERNELS=reference` is set: then nothing but the definitions runs, on a CPU either."""
    return os.environ.get(VARIABLE) == "reference"
