"""Which of a drafter's tokens the target keeps. Pure functions, and both are exact: the drafter changes no output."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Verdict(NamedTuple):
    """What a forward pass over drafts settled."""

    accepted: int
    """So many of the drafts, from the first."""
    follow: int
    """The target's own token after them."""


Verify = Callable[[Sequence[int], Tensor], Verdict]
"""(T drafts, the target's logits [T + 1, V] where each is expected, and after them) -> what is kept."""


def verify_greedy(drafts: Sequence[int], logits: Tensor) -> Verdict:
    """Keeps drafts as long as each is the target's likeliest token. Pure."""
    return _agreeing(drafts, logits.argmax(dim=-1))


def verify_sampled(drafts: Sequence[int], probabilities: Tensor, uniform: Tensor) -> Verdict:
    """Keeps drafts as long as each is what the target's own sample is there. Pure.

    `probabilities` [T + 1, V] are the target's where each of T drafts is expected and after them, `uniform` [T + 1]
    independent draws from [0, 1), one a place of the text: with the same draws the text is the same, whatever was
    drafted. A draft x is a proposal without a distribution. It is kept with probability p(x), and in its place comes
    any other y with p(y), which is the exact rule: accept with p(x), else draw from p without x. (Accepting with
    min(1, p(x) / q(x)), q being the drafter's probabilities, as transformers does, is right only for an x that was
    drawn from q.)
    """
    return _agreeing(drafts, _drawn(probabilities.double(), uniform.to(probabilities.device, torch.float64)))


def _agreeing(drafts: Sequence[int], own: Tensor) -> Verdict:
    """The drafts up to the first that is not the target's `own` token [T + 1], and that token."""
    tokens = own.tolist()
    accepted = 0
    while accepted < len(drafts) and drafts[accepted] == tokens[accepted]:
        accepted += 1
    return Verdict(accepted, tokens[accepted])


def _drawn(weights: Tensor, uniform: Tensor) -> Tensor:
    """The tokens that `uniform` [N] falls on, [0, 1) being cut in proportion to `weights` [N, V]; none of weight 0."""
    cumulative = weights.cumsum(dim=-1)
    total = cumulative[:, -1:]
    # Rounding may put the product on the very end, behind which there is no token.
    inside = torch.minimum(uniform[:, None] * total, total.nextafter(torch.zeros_like(total)))
    return torch.searchsorted(cumulative, inside, right=True)[:, 0]
