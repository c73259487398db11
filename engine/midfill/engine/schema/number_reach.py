"""Which values a number that is begun can still get, and whether some are as a rule wants them. Exact decimals."""

from collections.abc import Iterator, Sequence
from decimal import Context, Decimal
from itertools import chain
from math import lcm
from typing import NamedTuple

from midfill.engine.schema.number_literals import Literals
from midfill.engine.schema.number_text import Number, Phase

MAX_DIGITS = 64
MAX_EXPONENT = 9999
_FAR = 400
"""Bounds and steps of a rule beyond 10 to this power are not followed: the last check holds them."""

_EXACT = Context(prec=4 * _FAR, Emax=10**6, Emin=-(10**6))


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
        return self.holds(size) if self.literals is None else size in self.literals


class Reach(NamedTuple):
    """Sizes that a number can still get: its digits, and more behind them if `open`, times ten to one of `powers`."""

    digits: int
    open: bool
    powers: Sequence[tuple[int, int]]
    plain: int
    """The power that needs no exponent to be written, or no other than the one that is there."""

    def among(self, literals: Literals) -> Iterator[Decimal]:
        """Those of an enum that are within reach."""
        if not self.digits and self.open:
            return iter(literals.shortest)
        length = len(str(self.digits))
        found = literals.starting(self.digits, more=self.open)
        return (size for size in found if not size or self.allows(size.adjusted() + 1 - length))

    def allows(self, power: int) -> bool:
        return any(low <= power <= high for low, high in self.powers)

    def next_power(self, power: int) -> int:
        """The least power from this one on, or the greatest there is."""
        return min((max(low, power) for low, high in self.powers if power <= high), default=self.powers[-1][1])


def reach_of(number: Number) -> Reach:
    """The sizes that a number can still get, if it is continued."""
    every = ((-MAX_EXPONENT - MAX_DIGITS, MAX_EXPONENT),)
    if number.phase < Phase.E:
        return Reach(number.digits, True, every, -number.places)
    if number.phase is Phase.E:
        return Reach(number.digits, False, every, -number.places)
    shifted = [_signed(number, low, high) for low, high in _exponents(number)]
    return Reach(number.digits, False, shifted, shifted[0][0] if shifted else 0)


def ended(number: Number) -> Decimal:
    """The size of a number that ends here."""
    power, _ = _signed(number, number.exponent, number.exponent)
    return Decimal(number.digits).scaleb(power, _EXACT)


def _exponents(number: Number) -> list[tuple[int, int]]:
    """The exponents, without their sign, that go on from the digits of one."""
    if not number.exponent:
        return [(0, MAX_EXPONENT)]
    tens = [10**more for more in range(4) if number.exponent * 10**more <= MAX_EXPONENT]
    return [(number.exponent * ten, number.exponent * ten + ten - 1) for ten in tens]


def _signed(number: Number, low: int, high: int) -> tuple[int, int]:
    low, high = (-high, -low) if number.sinks else (low, high)
    return low - number.places, high - number.places


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


def some_size(reach: Reach, sizes: Sizes) -> Decimal | None:
    """A size within reach that is wanted, one that is easily written if there is one; None if there is none."""
    if sizes.literals is not None:
        return next(reach.among(sizes.literals), None)
    if not reach.digits:
        if sizes.holds(Decimal(0)):
            return Decimal(0)
        return _within(sizes, sizes.low, sizes.low_open, sizes.high, sizes.high_open) if reach.open else None
    for power in _powers(reach, sizes):
        first = Decimal(reach.digits).scaleb(power, _EXACT)
        if not reach.open:
            found = first if sizes.holds(first) else None
        else:
            found = _overlap(first, Decimal(reach.digits + 1).scaleb(power, _EXACT), sizes)
        if found is not None:
            return found
    return None


def _powers(reach: Reach, sizes: Sizes) -> Iterator[int]:
    """The powers that matter, from the plain one up and then down: the wanted sizes lie between the others."""
    length = len(str(reach.digits))
    step, tens = sizes.grid or (0, 0)
    lows = [each.adjusted() for each in (sizes.low, Decimal(step).scaleb(tens)) if each]
    low = max(lows) - length if lows else None
    if sizes.high is not None:
        high = sizes.high.adjusted() - length + 1
    else:
        high = reach.next_power(max([reach.plain, *(each + 2 for each in lows), tens + step.bit_length()]))
    least, most = min(low for low, _ in reach.powers), max(high for _, high in reach.powers)
    if low is None:  # the smaller the better
        yield from filter(reach.allows, (reach.plain, min(high, most) - 1, least))
        return
    low, high = max(low, least), min(high, most)
    middle = max(low, min(reach.plain, high + 1))
    yield from filter(reach.allows, chain(range(middle, high + 1), range(middle - 1, low - 1, -1)))


def _overlap(first: Decimal, end: Decimal, sizes: Sizes) -> Decimal | None:
    """A wanted size from `first` on and before `end`."""
    low, low_open = max((sizes.low, sizes.low_open), (first, False))
    high, high_open = end, True
    if sizes.high is not None and (sizes.high, not sizes.high_open) < (end, False):
        high, high_open = sizes.high, sizes.high_open
    return _within(sizes, low, low_open, high, high_open)


def _within(sizes: Sizes, low: Decimal, low_open: bool, high: Decimal | None, high_open: bool) -> Decimal | None:
    """A size between these bounds on the grid, the lowest if it is easily written."""
    if sizes.grid is not None:
        size = _up(low, sizes.grid)
        if low_open and size == low:
            size = _EXACT.add(size, Decimal(sizes.grid[0]).scaleb(sizes.grid[1], _EXACT))
    elif not low_open:
        size = low
    elif high is None:
        size = _EXACT.add(low, Decimal(1)).to_integral_value()
    else:
        size = _between(low, high)
    fits = high is None or (size < high if high_open else size <= high)
    return size if fits else None


def _between(low: Decimal, high: Decimal) -> Decimal:
    """A number above `low` and not above `high`, of few digits."""
    middle = _EXACT.divide(_EXACT.add(low, high), Decimal(2))
    for places in range(-high.adjusted(), 2 * _FAR):
        short = middle.quantize(Decimal(1).scaleb(-places), context=_EXACT)
        if low < short < high:
            return short
    return middle if low < middle < high else high


def _up(size: Decimal, grid: tuple[int, int]) -> Decimal:
    """The first multiple of the grid's step from `size` on."""
    scaled, step, unit = _in_units(size, grid)
    return Decimal(-(-scaled // step) * step).scaleb(unit, _EXACT)


def _is_multiple(size: Decimal, grid: tuple[int, int]) -> bool:
    scaled, step, _ = _in_units(size, grid)
    return scaled % step == 0


def _in_units(size: Decimal, grid: tuple[int, int]) -> tuple[int, int, int]:
    """A size and a step as multiples of the same power of ten, which comes last."""
    exponent = size.as_tuple().exponent
    assert isinstance(exponent, int)
    unit = min(exponent, grid[1])
    return int(size.scaleb(-unit, _EXACT)), grid[0] * 10 ** (grid[1] - unit), unit


def _grid(rule: NumberRule) -> tuple[int, int] | None:
    step = rule.multiple_of
    grid = (1, 0) if rule.integer else None
    if step is None or step <= 0 or not step.is_finite() or abs(step.adjusted()) > _FAR:
        return grid
    _, digits, exponent = step.as_tuple()
    if len(digits) > MAX_DIGITS:
        return grid
    assert isinstance(exponent, int)
    return merged_grid(grid, (int("".join(map(str, digits))), exponent))


def merged_grid(one: tuple[int, int] | None, other: tuple[int, int] | None) -> tuple[int, int] | None:
    """The step whose multiples are those of both."""
    if one is None or other is None:
        return one or other
    unit = min(one[1], other[1])
    return lcm(one[0] * 10 ** (one[1] - unit), other[0] * 10 ** (other[1] - unit)), unit


def _strictest(closed: Decimal | None, opened: Decimal | None, *, largest: bool) -> tuple[Decimal | None, bool]:
    """The bound that says more, and whether it is itself left out; far ones are moved to where they are followed."""
    if closed is None or (opened is not None and (opened >= closed if largest else opened <= closed)):
        return _near(opened), opened is not None
    return _near(closed), False


def _near(bound: Decimal | None) -> Decimal | None:
    if bound is None or not bound.is_finite():
        return None
    if not bound or bound.adjusted() < -_FAR:
        return Decimal(0)
    return bound if bound.adjusted() <= _FAR else Decimal(1).scaleb(_FAR).copy_sign(bound)


def _minus(bound: Decimal | None) -> Decimal | None:
    return None if bound is None else bound.copy_negate()  # `-bound` would round it


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
