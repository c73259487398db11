"""The numbers that a rule wants, by sign: bounds, a step and an enum as exact decimals."""

from collections.abc import Sequence
from decimal import Context, Decimal
from math import lcm
from typing import NamedTuple

from midfill.engine.schema.number_literals import Literals
from midfill.engine.schema.number_text import MAX_DIGITS

FAR = 400
"""Bounds and steps of a rule beyond 10 to this power are not followed: the last check holds them."""

EXACT = Context(prec=4 * FAR, Emax=10**6, Emin=-(10**6))
"""Rounds nothing that is followed; the usual context, which plain operators use, keeps 28 digits."""


class NumberRule(NamedTuple):
    """What a number must be; None asks nothing. `integer` is met by 1.0 too."""

    integer: bool = False
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    exclusive_minimum: Decimal | None = None
    exclusive_maximum: Decimal | None = None
    multiple_of: Decimal | None = None
    literals: frozenset[Decimal] | None = None


class Sizes(NamedTuple):
    """The wanted numbers of one sign, without it: from `low` to `high`, multiples of `grid`, one of `literals`."""

    low: Decimal = Decimal(0)
    low_open: bool = False
    high: Decimal | None = None
    high_open: bool = False
    grid: tuple[int, int] | None = None
    """A step as an integer times a power of ten."""
    literals: Literals | None = None

    def holds(self, size: Decimal) -> bool:
        """Whether a number without its sign is within the bounds and on the grid."""
        above = size > self.low if self.low_open else size >= self.low
        below = self.high is None or (size < self.high if self.high_open else size <= self.high)
        return above and below and (self.grid is None or _is_multiple(size, self.grid))

    def wants(self, size: Decimal) -> bool:
        """Whether a number without its sign is one of these."""
        return self.holds(size) and (self.literals is None or size in self.literals)


def sizes_of(rule: NumberRule, *, negative: bool) -> Sizes | None:
    """The numbers of one sign that a rule wants; None if it wants none."""
    low, low_open = _strictest(rule.minimum, rule.exclusive_minimum, largest=True)
    high, high_open = _strictest(rule.maximum, rule.exclusive_maximum, largest=False)
    if negative:
        low, low_open, high, high_open = _minus(high), high_open, _minus(low), low_open
    if low is None or low < 0:
        low, low_open = Decimal(0), False
    if high is not None and (high < low or (high == low and (low_open or high_open))):
        return None
    sizes = Sizes(low, low_open, high, high_open, _grid(rule))
    if rule.literals is None:
        return sizes
    signed = (size for size in rule.literals if size.is_finite() and (not size or (size < 0) is negative))
    kept = Literals(size.copy_abs() for size in signed if sizes.holds(size.copy_abs()))
    return Sizes(literals=kept) if kept else None


def merged(sizes: Sequence[Sizes]) -> Sizes:
    """The sizes that all of these want."""
    both = sizes[0]
    for each in sizes[1:]:
        low, low_open = max((both.low, both.low_open), (each.low, each.low_open))
        highs = [(one.high, not one.high_open) for one in (both, each) if one.high is not None]
        high, closed = min(highs, default=(None, True))
        if both.literals is not None and each.literals is not None:
            literals = both.literals & each.literals
        else:
            literals = both.literals or each.literals
        both = Sizes(low, low_open, high, not closed, merged_grid(both.grid, each.grid), literals)
    return both


def merged_grid(one: tuple[int, int] | None, other: tuple[int, int] | None) -> tuple[int, int] | None:
    """The step whose multiples are those of both."""
    if one is None or other is None:
        return one or other
    unit = min(one[1], other[1])
    return lcm(one[0] * 10 ** (one[1] - unit), other[0] * 10 ** (other[1] - unit)), unit


def first_multiple(size: Decimal, grid: tuple[int, int]) -> Decimal:
    """The first multiple of the grid's step from `size` on."""
    scaled, step, unit = _in_units(size, grid)
    return Decimal(-(-scaled // step) * step).scaleb(unit, EXACT)


def _is_multiple(size: Decimal, grid: tuple[int, int]) -> bool:
    scaled, step, _ = _in_units(size, grid)
    return scaled % step == 0


def _in_units(size: Decimal, grid: tuple[int, int]) -> tuple[int, int, int]:
    """A size and a step as multiples of the same power of ten, which comes last."""
    exponent = size.as_tuple().exponent
    assert isinstance(exponent, int)
    unit = min(exponent, grid[1])
    return int(size.scaleb(-unit, EXACT)), grid[0] * 10 ** (grid[1] - unit), unit


def _grid(rule: NumberRule) -> tuple[int, int] | None:
    step = rule.multiple_of
    grid = (1, 0) if rule.integer else None
    if step is None or step <= 0 or not step.is_finite() or abs(step.adjusted()) > FAR:
        return grid
    _, digits, exponent = step.as_tuple()
    if len(digits) > MAX_DIGITS:
        return grid
    assert isinstance(exponent, int)
    return merged_grid(grid, (int("".join(map(str, digits))), exponent))


def _strictest(closed: Decimal | None, opened: Decimal | None, *, largest: bool) -> tuple[Decimal | None, bool]:
    """The bound that says more, and whether it is itself left out; far ones are moved to where they are followed."""
    if closed is None or (opened is not None and (opened >= closed if largest else opened <= closed)):
        return _near(opened), opened is not None
    return _near(closed), False


def _near(bound: Decimal | None) -> Decimal | None:
    if bound is None or not bound.is_finite():
        return None
    if not bound or bound.adjusted() < -FAR:
        return Decimal(0)
    return bound if bound.adjusted() <= FAR else Decimal(1).scaleb(FAR).copy_sign(bound)


def _minus(bound: Decimal | None) -> Decimal | None:
    return None if bound is None else bound.copy_negate()  # `-bound` would round it
