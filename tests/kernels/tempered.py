"""Logits with all that tempers them, for the tests of what is made of them."""

import torch
from torch import Tensor

from midfill.kernels.tempering import Tempering


def tempered(
    device: torch.device, rows: int, vocab: int, dtype: torch.dtype = torch.float32, cap: float | None = 30.0
) -> tuple[Tensor, Tempering, Tensor]:
    """Logits [rows, vocab], a tempering with bans and every other row a first one, and a seed."""
    draws = torch.Generator(device).manual_seed(vocab)
    logits = 12 * torch.randn(rows, vocab, generator=draws, device=device)
    banned = (torch.rand(2, vocab, generator=draws, device=device) < 0.1).to(torch.uint8)
    banned[:, vocab // 2] = 0  # there is always a token
    tempering = Tempering(
        cap,
        torch.tensor([1], device=device),
        torch.tensor([9.0, 0.5, 9.0], device=device),
        banned,
        torch.arange(rows, device=device) % 2 == 0,
    )
    return logits.to(dtype), tempering, torch.tensor([2**40 + vocab], device=device)
