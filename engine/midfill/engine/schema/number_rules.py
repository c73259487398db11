"""What several rules say of one JSON number, read a byte at a time: its bounds, its step and the numbers it may be."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from heapq import nsmallest
from itertools import islice
from typing import NamedTuple

from midfill.engine.schema.constraint import DEAD
from midfill.engine.schema.number_reach import ended, reach_of, some_size
from midfill.engine.schema.number_sizes import NumberRule, Sizes, merged, sizes_of
from midfill.engine.schema.number_text import COMPLETE, Number, Phase, read, rest
from midfill.engine.schema.pattern_graph import bits

__all__ = ["NumberChecker", "NumberRule"]

_MAX_ENDINGS = 32
_MAX_TRIED = 2048
_ANY = Sizes()
_ANY_INTEGER = Sizes(grid=(1, 0))


class _Place(NamedTuple):
    """Where the number is, without what no rule looks at that can still be met."""

    failed: int
    number: Number


class NumberChecker:
    """Several rules on one number: states are small integers, made as they are met.

    Numbers of more than 64 digits or an exponent of more than four fail every rule that looks at their value.
    """

    def __init__(self, rules: Sequence[NumberRule]) -> None:
        self._all = (1 << len(rules)) - 1
        self._sizes = {sign: [sizes_of(rule, negative=sign) for rule in rules] for sign in (False, True)}
        # Without bounds the two signs are alike, and so are their states.
        self._signed = self._sizes[False] != self._sizes[True]
        self._ids: dict[_Place, int] = {}
        self._places: list[_Place | None] = [None]
        self._rows: list[dict[int, int]] = [dict.fromkeys(range(256), DEAD)]
        self._failed: list[int] = [self._all]
        self._unmet: list[int] = [self._all]
        self._endings: dict[tuple[int, int], list[str]] = {}
        self.start = self._state(_Place(0, Number()))

    def step(self, state: int, byte: int) -> int:
        """The state after one more byte; `DEAD` where no JSON number starts so."""
        after = self._rows[state].get(byte)
        return self._explore(state, byte) if after is None else after

    def is_complete(self, state: int) -> bool:
        """Whether a number may end here."""
        place = self._places[state]
        return place is not None and place.number.phase in COMPLETE

    def failed(self, state: int) -> int:
        """Bit i: no continuation of the number meets rule i."""
        return self._failed[state]

    def unmet(self, state: int) -> int:
        """Bit i: the number, ended here, does not meet rule i, or is none."""
        return self._unmet[state]

    def endings(self, state: int, wanted: int) -> list[str]:
        """Texts to append so that the rules of the mask `wanted` all hold, shortest first; at most 32."""
        known = self._endings.get((state, wanted))
        if known is None:
            place = self._places[state]
            found = [] if place is None or place.failed & wanted else self._ends(state, place.number, wanted)
            shortest = sorted(dict.fromkeys(found), key=lambda text: (len(text), text))
            known = self._endings[state, wanted] = shortest[:_MAX_ENDINGS]
        return known

    def _explore(self, state: int, byte: int) -> int:
        """The step that was not taken before."""
        place = self._places[state]
        number = None if place is None else read(place.number, byte)
        after = DEAD if place is None or number is None else self._state(_Place(place.failed, number))
        self._rows[state][byte] = after
        return after

    def _state(self, place: _Place) -> int:
        failed, number = place
        for at in bits(self._all & ~failed):
            if not self._can_meet(number, at):
                failed |= 1 << at
        place = _Place(failed, self._told_apart(number, failed))
        known = self._ids.get(place)
        if known is None:
            known = self._ids[place] = len(self._places)
            self._places.append(place)
            self._rows.append({})
            self._failed.append(failed)
            self._unmet.append(self._unmet_at(number, failed))
        return known

    def _can_meet(self, number: Number, rule: int) -> bool:
        for negative in (False, True) if number.phase is Phase.START else (number.negative,):
            sizes = self._sizes[negative][rule]
            if sizes == _ANY:
                return True
            if sizes is not None and not number.is_long() and some_size(reach_of(number), sizes) is not None:
                return True
        return False

    def _told_apart(self, number: Number, failed: int) -> Number:
        """The same number without what no rule looks at that can still be met."""
        if number.phase <= Phase.SIGN:
            return number if self._signed else number._replace(negative=False)
        sizes = self._sizes[number.negative]
        asked = [sizes[at] for at in bits(self._all & ~failed) if sizes[at] != _ANY]
        negative = number.negative and self._signed
        if not asked:
            return Number(number.phase, negative)
        if all(each == _ANY_INTEGER for each in asked):
            number = number._replace(digits=_trailing(number.digits))
        return number._replace(negative=negative, exponent=number.exponent if number.digits else 0)

    def _unmet_at(self, number: Number, failed: int) -> int:
        if number.phase not in COMPLETE:
            return self._all
        unmet = failed
        size = ended(number)
        for at in bits(self._all & ~failed):
            sizes = self._sizes[number.negative][at]
            unmet |= (sizes is None or not sizes.wants(size)) << at
        return unmet

    def _ends(self, state: int, number: Number, wanted: int) -> Iterator[str]:
        for text in self._proposed(number, wanted):
            end = state
            for char in text:
                end = self.step(end, ord(char))
            if not self._unmet[end] & wanted and self.is_complete(end):
                yield text

    def _proposed(self, number: Number, wanted: int) -> Iterator[str]:
        """Texts that may end the number as wanted: where only its end is told apart, a few that any number takes."""
        yield from ("", "0", "1", ".0", f"e{number.places}")
        for negative in (False, True) if number.phase is Phase.START else (number.negative,):
            sizes = [self._sizes[negative][at] for at in bits(wanted)]
            asked = [each for each in sizes if each is not None]
            if asked and len(asked) == len(sizes):
                good = islice(_good_sizes(number, merged(asked)), _MAX_TRIED)
                texts = (rest(number, size.copy_negate() if negative else size) for size in good)
                yield from nsmallest(_MAX_ENDINGS, filter(None, texts), key=len)


def _good_sizes(number: Number, sizes: Sizes) -> Iterator[Decimal]:
    """Sizes to try, among them one that is right if any is."""
    if sizes.literals is not None:
        yield from reach_of(number).among(sizes.literals)
        return
    some = some_size(reach_of(number), sizes)
    if some is not None:
        yield some
    step = Decimal(sizes.grid[0]).scaleb(sizes.grid[1]) if sizes.grid else Decimal(1)
    for near in (sizes.low, sizes.low + step, sizes.high, Decimal(0), Decimal(1), Decimal(10), step, 10 * step):
        if near is not None and near >= 0:
            yield near


def _trailing(digits: int) -> int:
    """A number with as many zeros at its end: which powers of ten divide it is the same."""
    text = str(digits)
    return 10 ** (len(text) - len(text.rstrip("0"))) if digits else 0
