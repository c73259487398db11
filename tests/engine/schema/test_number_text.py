import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.schema.number_text import COMPLETE, Number, Phase, read, rest

VALUES = st.one_of(
    st.integers(-2000, 2000).map(Decimal),
    st.decimals(-50, 50, places=2),
    st.tuples(st.integers(-99, 99), st.integers(-60, 60)).map(lambda pair: Decimal(pair[0]).scaleb(pair[1])),
)
BEGUN = st.from_regex(r"\A-?((0|[1-9][0-9]{0,2})(\.[0-9]{0,3})?)?\Z") | st.from_regex(
    r"\A-?(0|[1-9][0-9]?)(\.[0-9]{1,2})?[eE]([+-]?[0-9]{0,2})\Z"
)


def begun(text: str) -> Number:
    number = Number()
    for byte in text.encode():
        after = read(number, byte)
        assert after is not None
        number = after
    return number


@given(BEGUN, VALUES)
def test_what_is_appended_makes_the_value(text: str, value: Decimal) -> None:
    more = rest(begun(text), value)
    if more is not None:
        assert json.loads(text + more, parse_float=Decimal, parse_int=Decimal) == value
        assert begun(text + more).phase in COMPLETE


@given(VALUES, st.integers(0, 12))
def test_every_value_can_be_ended_from_its_own_start(value: Decimal, length: int) -> None:
    whole = rest(Number(), value)
    assert whole is not None
    assert rest(begun(whole[:length]), value) is not None


@pytest.mark.parametrize(
    ("text", "value", "more"),
    [
        ("", "-1.50", "-1.5"),
        ("1", "120", "20"),
        ("12", "120", "0"),
        ("1.", "1", "0"),
        ("1.5", "1.5", ""),
        ("1.50", "15", "e1"),
        ("0", "5", ".5e1"),
        ("-", "3", None),
        ("2", "3", None),
        ("2e", "200", "2"),
        ("2e-", "200", None),
        ("2e1", "2e15", "5"),
        ("", "1e300", "1e300"),
        ("0.0", "0", ""),
        ("5e", "0", None),
    ],
)
def test_rest_is_written_as_a_person_would(text: str, value: str, more: str | None) -> None:
    assert rest(begun(text), Decimal(value)) == more


def test_number_keeps_its_digits_apart_from_its_exponent() -> None:
    assert begun("-12.50e-07") == Number(Phase.EXPONENT, True, 1250, 2, True, 7)
