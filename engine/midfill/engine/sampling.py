"""The arithmetic of one denoise step, on entropies and logits only. All functions are pure.

Source: the entropy-bound sampler, https://arxiv.org/abs/2505.24857, as DiffusionGemma uses it.
"""

import torch
from torch import Tensor


def temperature(step: int, num_steps: int, t_min: float, t_max: float) -> float:
    """Sampling temperature of denoise step `step` (0 first) of at most `num_steps`: `t_max` falling to near `t_min`."""
    return t_min + (t_max - t_min) * (num_steps - step) / num_steps


def entropy(probabilities: Tensor, log_probabilities: Tensor) -> Tensor:
    """Entropy in nats of each row: probabilities [..., V] float32, and their logarithms, which are finite -> [...]."""
    return -torch.linalg.vecdot(probabilities, log_probabilities)


def accept_mask(entropies: Tensor, hole: Tensor, entropy_bound: float) -> Tensor:
    """Hole positions to keep after this denoise step: entropies [B, C] and hole mask [B, C] -> [B, C] bool.

    Takes positions from the lowest entropy up while the entropies taken before stay within `entropy_bound` nats in
    sum, so the surest position of each hole is always kept. Pinned positions neither count nor cost.
    """
    ordered, order = entropies.masked_fill(~hole, torch.inf).sort(dim=-1)
    spent_before = ordered.cumsum(dim=-1) - ordered
    accepted = spent_before <= entropy_bound
    return torch.zeros_like(hole).scatter(-1, order, accepted) & hole


def hole_mean(values: Tensor, hole: Tensor) -> Tensor:
    """Mean of `values` [B, C] over each row's hole [B, C]; 0 for a row without one."""
    return values.masked_fill(~hole, 0.0).sum(dim=-1) / hole.sum(dim=-1).clamp(min=1)


def agrees(tokens: Tensor, others: Tensor, hole: Tensor) -> Tensor:
    """Rows whose hole holds the same tokens in both: three times [B, C] -> [B] bool."""
    return ((tokens == others) | ~hole).all(dim=-1)
