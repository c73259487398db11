"""How long the hole should be: the dominant error of diffusion infill. Lengths are tried side by side, and scored."""


def lengths_to_try(longest: int, count: int) -> list[int]:
    """At most `count` hole lengths up to `longest`: each of the short ones, then ever fewer of the long. Pure.

    Two thirds of them are 1, 2, 3, …; the rest grow by a constant factor and end with `longest`.

    Of 120 held-out gaps the embedded model's canvas alone fills 11 exactly with 8 of these lengths as with all 22, and
    8 with quantiles of what lines of code have. Of 90 gaps it fills 11, and 9 with the 8 lengths at which a canvas
    without pins expects the suffix most: more often the right one is among those, 47 times, not 37, but short ones are
    missed.
    """
    assert longest > 0
    assert count > 0
    if longest <= count:
        return list(range(1, longest + 1))
    dense = max(1, 2 * count // 3)
    sparse = count - dense
    growth = (longest / dense) ** (1 / sparse) if sparse else 1.0
    return sorted({*range(1, dense + 1), *(round(dense * growth**step) for step in range(1, sparse + 1))})
