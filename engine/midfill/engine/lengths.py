"""How long the hole should be: the dominant error of diffusion infill. Proposed here, chosen by `scoring`."""

import torch
from torch import Tensor


def from_end_marks(log_probabilities: Tensor, end: int) -> Tensor:
    """Log-probability of each length 0..R-1 of a padded hole, from one prediction of it: [R, V] -> [R]. Pure.

    The end mark stands at one position only, so its marginal there is the probability of that length. The padding
    behind it says nothing more: those positions are surely padding together or surely text together.
    """
    return log_probabilities[:, end].log_softmax(dim=0)


def most_probable(scores: Tensor, count: int, shortest: int) -> list[int]:
    """The `count` lengths of highest score that are `shortest` or more, in ascending order. Pure."""
    order = scores[shortest:].argsort(descending=True)[:count]
    return sorted(int(index) + shortest for index in order)


def spread(shortest: int, longest: int, count: int) -> list[int]:
    """`count` lengths or fewer from `shortest` to `longest`, closer together where they are short. Pure."""
    if longest <= shortest:
        return [shortest]
    ratio = (longest / shortest) ** (1 / max(1, count - 1))
    return sorted({round(shortest * ratio**index) for index in range(count)})
