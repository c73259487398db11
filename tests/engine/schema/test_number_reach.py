from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.schema.number_reach import (
    NumberRule,
    ended,
    merged,
    merged_grid,
    reach_of,
    sizes_of,
    some_size,
)
from midfill.engine.schema.number_text import Number, Phase

BOUNDS = st.none() | st.integers(-30, 30).map(Decimal)
RULES = st.builds(NumberRule, st.booleans(), *[BOUNDS] * 4, st.none() | st.integers(1, 5).map(Decimal))


def holds(rule: NumberRule, value: Decimal) -> bool:
    sizes = sizes_of(rule, negative=value < 0)
    return sizes is not None and sizes.holds(value.copy_abs())


@given(RULES, RULES, st.integers(0, 40).map(Decimal))
def test_merged_sizes_are_those_of_both(one: NumberRule, other: NumberRule, value: Decimal) -> None:
    sizes = [sizes_of(rule, negative=False) for rule in (one, other)]
    wanted = [each for each in sizes if each is not None]
    if len(wanted) == 2:
        assert merged(wanted).holds(value) is (holds(one, value) and holds(other, value))


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


def test_steps_merge_to_their_common_multiple() -> None:
    assert merged_grid((15, -1), (2, 0)) == (60, -1)
    assert merged_grid(None, (2, 0)) == (2, 0)


def test_bounds_that_exclude_each_other_want_nothing() -> None:
    assert sizes_of(NumberRule(minimum=Decimal(5), exclusive_maximum=Decimal(5)), negative=False) is None
    assert sizes_of(NumberRule(minimum=Decimal(5)), negative=True) is None
