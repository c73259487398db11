from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.schema.number_reach import ended, reach_of, some_size
from midfill.engine.schema.number_sizes import NumberRule, Sizes, sizes_of
from midfill.engine.schema.number_text import Number, Phase, read

BOUNDS = st.none() | st.integers(-30, 30).map(Decimal)
RULES = st.builds(NumberRule, st.booleans(), *[BOUNDS] * 4, st.none() | st.integers(1, 5).map(Decimal))


@given(RULES, st.integers(1, 200))
def test_some_size_is_within_reach_and_wanted(rule: NumberRule, digits: int) -> None:
    number = Number(Phase.WHOLE, digits=digits)
    sizes = sizes_of(rule, negative=False)
    size = None if sizes is None else some_size(reach_of(number), sizes)
    if sizes is not None and size is not None:
        assert sizes.holds(size)
        scaled = size.scaleb(len(str(digits)) - 1 - size.adjusted())
        assert digits <= scaled < digits + 1


def test_number_that_ends_has_one_size() -> None:
    assert ended(Number(Phase.EXPONENT, digits=125, places=2, sinks=True, exponent=3)) == Decimal("0.00125")


def test_exponent_that_is_begun_skips_powers() -> None:
    begun = reach_of(Number(Phase.EXPONENT, digits=1, exponent=2))
    assert [power for power in range(0, 300, 5) if begun.allows(power)] == [20, 25, *range(200, 300, 5)]
    assert [begun.next_power(power) for power in (0, 3, 25, 30, 9999)] == [2, 20, 25, 200, 2999]


def test_a_negative_exponent_that_is_begun_may_end_where_it_is():
    number = Number()
    for byte in b"12e-1":
        number = read(number, byte)
        assert number is not None
    assert some_size(reach_of(number), Sizes(low=Decimal(1))) == Decimal("1.2")
    assert some_size(reach_of(number), Sizes(low=Decimal(2))) is None
