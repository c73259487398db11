"""The precision in which definitions compute."""

import torch
from torch import Tensor


def widened(x: Tensor) -> Tensor:
    """x in float32; in float64 where it has that, so that a definition can be had more exactly than any kernel."""
    return x if x.dtype == torch.float64 else x.float()
