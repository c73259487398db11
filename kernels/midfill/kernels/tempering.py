"""From a logit to its score, whose softmax is sampled: soft-capped, banned or not, over the step's temperature.

No kernel of its own: `row_statistics.py` and `probabilities.py` each do it to what they have just loaded, because
scores in memory would be a second array of the logits' size. A ban is a byte of L2 a logit: a row of them is 256 KB.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from midfill.kernels.precision import widened

BANNED_LOGIT: tl.constexpr = tl.constexpr(-1e4)
"""What a banned token's logit becomes: its probability is 0 in float32, and there is no infinity."""
NO_SCORE: tl.constexpr = tl.constexpr(-1e30)
"""Below any score, and still finite: what stands where a row has no column."""


class Tempering(NamedTuple):
    """What makes scores of logits [N, V]. All tensors stay on the device; a CUDA graph reads them anew."""

    cap: float | None
    """z = cap * tanh(logit / cap)."""
    step: Tensor
    """[1] int64."""
    temperatures: Tensor
    """[steps] float32: of the step `step`, `temperatures[step]`."""
    banned: Tensor
    """[2, V] uint8: tokens that no row may take; those that a first position may not take either."""
    is_first: Tensor
    """[N] bool: rows that are their canvas's first position."""

    def check(self, logits: Tensor) -> None:
        """What only our own bug can break."""
        assert logits.ndim == 2, f"wanted [N, V], got {tuple(logits.shape)}"
        assert logits.stride(1) == 1, f"wanted rows in one piece, got strides {logits.stride()}"
        assert self.step.shape == (1,)
        assert self.banned.is_contiguous()
        for each, dtype in zip(self[1:], (torch.int64, torch.float32, torch.uint8, torch.bool), strict=True):
            assert each.dtype == dtype, f"wanted {dtype}, got {each.dtype}"
        assert self.banned.shape == (2, logits.shape[1]), f"banned {tuple(self.banned.shape)} for {tuple(logits.shape)}"
        assert self.is_first.shape == logits.shape[:1], f"{tuple(self.is_first.shape)} for {len(logits)} rows"


def scores_reference(logits: Tensor, tempering: Tempering) -> Tensor:
    """Scores [N, V] of logits [N, V]: in float32, or float64 where they have that."""
    wide = widened(logits)
    if tempering.cap is not None:
        wide = tempering.cap * torch.tanh(wide / tempering.cap)
    everywhere, at_first = tempering.banned.bool()
    wide = wide.masked_fill(everywhere | at_first & tempering.is_first[:, None], BANNED_LOGIT.value)
    return wide / tempering.temperatures[tempering.step]


@triton.jit
def load_scores(row_ptr, columns, banned_ptr, is_first, temperature, cap, vocab, HAS_CAP: tl.constexpr):
    """Scores in float32 of the logits at `columns` of the row that starts at `row_ptr`; `NO_SCORE` past its end."""
    inside = columns < vocab
    z = tl.load(row_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    if HAS_CAP:
        z = cap - 2.0 * cap / (tl.exp(z * (2.0 / cap)) + 1.0)
    banned = tl.load(banned_ptr + columns, mask=inside, other=0)
    banned |= tl.load(banned_ptr + vocab + columns, mask=inside & is_first, other=0)
    return tl.where(inside, tl.where(banned != 0, BANNED_LOGIT, z) * (1.0 / temperature), NO_SCORE)
