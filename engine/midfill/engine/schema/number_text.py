"""JSON numbers read a byte at a time, and what must follow one that is begun for it to have a given value."""

from decimal import Decimal
from enum import IntEnum
from typing import NamedTuple

from midfill.engine.schema.number_literals import digits_of

MAX_DIGITS = 64
MAX_EXPONENT = 9999
"""Longer numbers, and higher exponents, are read but not followed."""


class Phase(IntEnum):
    """How far into a number the text is."""

    START = 0
    SIGN = 1
    ZERO = 2
    WHOLE = 3
    POINT = 4
    FRACTION = 5
    E = 6
    E_SIGN = 7
    EXPONENT = 8


COMPLETE = frozenset({Phase.ZERO, Phase.WHOLE, Phase.FRACTION, Phase.EXPONENT})
"""The phases in which a number may end."""

_AFTER_NONZERO = {
    **dict.fromkeys((Phase.START, Phase.SIGN, Phase.WHOLE), Phase.WHOLE),
    **dict.fromkeys((Phase.POINT, Phase.FRACTION), Phase.FRACTION),
    **dict.fromkeys((Phase.E, Phase.E_SIGN, Phase.EXPONENT), Phase.EXPONENT),
}
_AFTER = {
    **dict.fromkeys(b"123456789", _AFTER_NONZERO),
    ord("0"): {**_AFTER_NONZERO, Phase.START: Phase.ZERO, Phase.SIGN: Phase.ZERO},
    ord("-"): {Phase.START: Phase.SIGN, Phase.E: Phase.E_SIGN},
    ord("+"): {Phase.E: Phase.E_SIGN},
    ord("."): dict.fromkeys((Phase.ZERO, Phase.WHOLE), Phase.POINT),
    **dict.fromkeys(b"eE", dict.fromkeys((Phase.ZERO, Phase.WHOLE, Phase.FRACTION), Phase.E)),
}


class Number(NamedTuple):
    """A number that is begun: `digits` read as one integer, `places` of them behind the point."""

    phase: Phase = Phase.START
    negative: bool = False
    digits: int = 0
    places: int = 0
    sinks: bool = False
    """Whether the exponent is negative."""
    exponent: int = 0

    def is_long(self) -> bool:
        """Whether it is too long to be followed; zero is zero whatever its exponent."""
        long = self.digits >= 10**MAX_DIGITS or self.places > MAX_DIGITS
        return long or (self.exponent > MAX_EXPONENT and self.digits > 0)


def read(number: Number, byte: int) -> Number | None:
    """The number after one more byte; None where none can start so. Pure."""
    phase = _AFTER.get(byte, {}).get(number.phase)
    if phase is None:
        return None
    if phase is Phase.SIGN:
        return number._replace(phase=phase, negative=True)
    if phase is Phase.E_SIGN:
        return number._replace(phase=phase, sinks=byte == ord("-"))
    if phase is Phase.EXPONENT:
        return number._replace(phase=phase, exponent=number.exponent * 10 + byte - ord("0"))
    if phase in (Phase.POINT, Phase.E):
        return number._replace(phase=phase)
    places = number.places + (phase is Phase.FRACTION)
    return number._replace(phase=phase, digits=number.digits * 10 + byte - ord("0"), places=places)


def rest(number: Number, value: Decimal) -> str | None:
    """What to append to a number that is begun so that it is `value`; None if nothing can. Pure.

    An exponent is written only where the digits that are there do not begin the value's own.
    """
    if number.phase is Phase.START:
        sign = "-" if value < 0 else ""
        return sign + _plain(value.copy_abs())
    if value and (value < 0) != number.negative:
        return None
    value = value.copy_abs()
    if number.phase is Phase.SIGN:
        return _plain(value)
    if number.phase >= Phase.E:
        return _exponent(number, value)
    begun = _begun(number)
    whole = _plain(value)
    padded = whole if "." in whole or "." not in begun else whole + "."
    padded += "0" * (len(begun) - len(padded)) if "." in padded else ""
    if number.phase is Phase.POINT and padded == begun:
        padded += "0"
    if padded.startswith(begun) and (number.phase is not Phase.ZERO or padded[1:2] in ("", ".")):
        return padded[len(begun) :]
    return _scientific(number, value)


def _begun(number: Number) -> str:
    """The number's text so far, without the sign, before its exponent."""
    if number.phase in (Phase.ZERO, Phase.WHOLE):
        return str(number.digits)
    text = str(number.digits).zfill(number.places + 1)
    return f"{text[: len(text) - number.places]}.{text[len(text) - number.places :]}"


def _plain(value: Decimal) -> str:
    """The value as a person writes it, without an exponent unless that takes more than 40 digits."""
    whole, digits = _digits(value)
    if not -40 < whole < 40:
        return f"{digits[0]}{'.' + digits[1:] if digits[1:] else ''}e{whole - 1}"
    if whole <= 0:
        return f"0.{'0' * -whole}{digits}" if value else "0"
    return digits.ljust(whole, "0") if len(digits) <= whole else f"{digits[:whole]}.{digits[whole:]}"


def _digits(value: Decimal) -> tuple[int, str]:
    """Where the point is, counted from the first digit, and the digits without zeros at the end."""
    return (value.adjusted() + 1 if value else 0), digits_of(value)


def _scientific(number: Number, value: Decimal) -> str | None:
    if not value:
        return None
    whole, digits = _digits(value)
    begun = str(number.digits) if number.digits else ""
    if not digits.ljust(len(begun), "0").startswith(begun):
        return None
    more = digits[len(begun) :]
    if number.phase is Phase.POINT and not more:
        more = "0"
    point = "." if number.phase in (Phase.ZERO, Phase.WHOLE) and more else ""
    exponent = whole - (len(begun) - number.places)
    return f"{point}{more}e{exponent}"


def _exponent(number: Number, value: Decimal) -> str | None:
    """The exponent, or the rest of it, that gives the digits before it this value."""
    if not value or not number.digits:
        wanted, fits = 0, not value and not number.digits
    else:
        whole, digits = _digits(value)
        wanted = whole - (len(str(number.digits)) - number.places)
        fits = str(number.digits).rstrip("0") == digits
    if not fits or (number.phase is not Phase.E and wanted and (wanted < 0) != number.sinks):
        return None
    if number.phase is Phase.E:
        return str(wanted)
    text, begun = str(abs(wanted)), str(number.exponent) if number.exponent else ""
    if number.phase is Phase.EXPONENT and text == "0":
        text = ""
    return text[len(begun) :] if text.startswith(begun) else None
