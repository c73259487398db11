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
    likeliest = logits.argmax(dim=-1).tolist()
    accepted = 0
    while accepted < len(drafts) and drafts[accepted] == likeliest[accepted]:
        accepted += 1
    return Verdict(accepted, likeliest[accepted])


def verify_sampled(drafts: Sequence[int], probabilities: Tensor, uniform: Tensor) -> Verdict:
    """Keeps drafts so that what is kept and follows is distributed as the target's own samples. Pure.

    `probabilities` [T + 1, V] are the target's where each of T drafts is expected and after them, `uniform`
    [T + 1, 2] independent draws from [0, 1). A draft x is a proposal without a distribution: it is accepted with
    probability p(x), else the token is drawn from p without x. Then x is taken with probability p(x), and any
    other y with (1 - p(x)) p(y) / (1 - p(x)) = p(y). (Accepting with min(1, p(x) / q(x)), q being the drafter's
    probabilities, as transformers does, is right only for an x that was drawn from q.)
    """
    chances = probabilities.double().cpu()
    uniform = uniform.double().cpu()
    for place, draft in enumerate(drafts):
        total = chances[place].sum()
        if uniform[place, 0] * total >= chances[place, draft]:
            others = chances[place].clone()
            others[draft] = 0
            return Verdict(place, _drawn(others, uniform[place, 1]))
    return Verdict(len(drafts), _drawn(chances[len(drafts)], uniform[len(drafts), 1]))


def _drawn(weights: Tensor, uniform: Tensor) -> int:
    """The token that `uniform` falls on when [0, 1) is cut in proportion to `weights` [V]; none of weight 0."""
    cumulative = weights.cumsum(dim=-1)
    # Rounding may put the product on the very end, behind which there is no token.
    last = torch.nonzero(weights)[-1]
    return int(torch.searchsorted(cumulative, uniform * cumulative[-1], right=True).clamp(max=last))
