"""Which values a number that is begun can still get, and whether some are as a rule wants them. Exact decimals."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import chain
from typing import NamedTuple

from midfill.engine.schema.number_literals import Literals
from midfill.engine.schema.number_sizes import EXACT, FAR, Sizes, first_multiple
from midfill.engine.schema.number_text import MAX_DIGITS, MAX_EXPONENT, Number, Phase


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
        greatest = max(high for _, high in self.powers)
        return min((max(low, power) for low, high in self.powers if power <= high), default=greatest)


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
    return Decimal(number.digits).scaleb(power, EXACT)


def _exponents(number: Number) -> list[tuple[int, int]]:
    """The exponents, without their sign, that go on from the digits of one."""
    if not number.exponent:
        return [(0, MAX_EXPONENT)]
    tens = [10**more for more in range(4) if number.exponent * 10**more <= MAX_EXPONENT]
    return [(number.exponent * ten, number.exponent * ten + ten - 1) for ten in tens]


def _signed(number: Number, low: int, high: int) -> tuple[int, int]:
    low, high = (-high, -low) if number.sinks else (low, high)
    return low - number.places, high - number.places


def some_size(reach: Reach, sizes: Sizes) -> Decimal | None:
    """A size within reach that is wanted, one that is easily written if there is one; None if there is none."""
    if sizes.literals is not None:
        return next(filter(sizes.holds, reach.among(sizes.literals)), None)
    if not reach.digits:
        if sizes.holds(Decimal(0)):
            return Decimal(0)
        return _within(sizes, sizes.low, sizes.low_open, sizes.high, sizes.high_open) if reach.open else None
    for power in _powers(reach, sizes):
        first = Decimal(reach.digits).scaleb(power, EXACT)
        if not reach.open:
            found = first if sizes.holds(first) else None
        else:
            found = _overlap(first, Decimal(reach.digits + 1).scaleb(power, EXACT), sizes)
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
        size = first_multiple(low, sizes.grid)
        if low_open and size == low:
            size = EXACT.add(size, Decimal(sizes.grid[0]).scaleb(sizes.grid[1], EXACT))
    elif not low_open:
        size = low
    elif high is None:
        size = EXACT.add(low, Decimal(1)).to_integral_value()
    else:
        size = _between(low, high)
    fits = high is None or (size < high if high_open else size <= high)
    return size if fits else None


def _between(low: Decimal, high: Decimal) -> Decimal:
    """A number above `low` and not above `high`, of few digits."""
    middle = EXACT.divide(EXACT.add(low, high), Decimal(2))
    for places in range(-high.adjusted(), 2 * FAR):
        short = middle.quantize(Decimal(1).scaleb(-places), context=EXACT)
        if low < short < high:
            return short
    return middle if low < middle < high else high
