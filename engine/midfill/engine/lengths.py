"""How long the hole should be: the dominant error of diffusion infill. Lengths are tried side by side, and scored."""


def lengths_to_try(longest: int, count: int) -> list[int]:
    """At most `count` hole lengths up to `longest`: each of the short ones, then ever fewer of the long. Pure.

    Two thirds of them are 1, 2, 3, …; the rest grow by a constant factor and end with `longest`.
    """
    assert longest > 0
    assert count > 0
    if longest <= count:
        return list(range(1, longest + 1))
    dense = max(1, 2 * count // 3)
    sparse = count - dense
    growth = (longest / dense) ** (1 / sparse) if sparse else 1.0
    return sorted({*range(1, dense + 1), *(round(dense * growth**step) for step in range(1, sparse + 1))})
