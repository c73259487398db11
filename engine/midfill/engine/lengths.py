"""How long the hole should be: the dominant error of diffusion infill. Proposed here, chosen by `scoring`."""

import torch
from torch import Tensor


def from_end_marks(log_probabilities: Tensor, end: int, pad: int) -> Tensor:
    """Log-probability of each length 0..R-1 of a padded hole, from one prediction of it: [R, V] -> [R]. Pure.

    A hole of length L holds text before position L, the end mark there and padding after it; positions are taken as
    independent. For models trained with such holes.
    """
    is_end, is_pad = log_probabilities[:, end], log_probabilities[:, pad]
    is_text = torch.log1p(-(is_end.exp() + is_pad.exp()).clamp(max=1 - 1e-6))
    zero = is_text.new_zeros(1)
    text_before = torch.cat((zero, is_text.cumsum(0)[:-1]))
    pad_after = torch.cat((is_pad.flip(0).cumsum(0).flip(0)[1:], zero))
    return (text_before + is_end + pad_after).log_softmax(dim=0)


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
