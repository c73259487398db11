"""How far a kernel may be from its definition, which is computed in float64 of the same inputs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.utils.deterministic
from torch import Tensor

ALLOCATION: Any = torch.utils.deterministic

TOLERANCES = {torch.float32: 2e-6, torch.bfloat16: 2**-7}
"""Of the largest value of the result. float32: sums of some thousand terms in another order. bfloat16: one rounding to
8 bits of mantissa is 2^-9; the interpreter cuts where hardware rounds, which is 2^-8, and inputs of the last product
are rounded as well."""


def assert_close(out: Tensor, wanted: Tensor, dtype: torch.dtype, times: float = 1.0) -> None:
    """`out` is finite and within `times` the tolerance of `wanted`, in `dtype`'s precision.

    `times` is for kernels that round several times, with the reason where it is used.
    """
    assert out.shape == wanted.shape
    assert torch.isfinite(out).all()
    difference = (out.double() - wanted.double()).abs().max().item() if out.numel() else 0.0
    largest = wanted.double().abs().max().item() if out.numel() else 0.0
    assert difference <= times * TOLERANCES[dtype] * max(largest, 1e-30), (difference, largest)


@contextmanager
def poisoned_memory() -> Iterator[None]:
    """Within, memory that torch gives out uninitialised holds NaN, so that what a kernel leaves out is seen."""
    before = torch.are_deterministic_algorithms_enabled()
    fill = ALLOCATION.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    ALLOCATION.fill_uninitialized_memory = True
    try:
        assert torch.empty(1).isnan().item()
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        ALLOCATION.fill_uninitialized_memory = fill
