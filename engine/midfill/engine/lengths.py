"""How long the hole should be: the dominant error of diffusion infill. Proposed here, chosen by `scoring`."""

from torch import Tensor


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
