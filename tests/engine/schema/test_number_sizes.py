from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.schema.number_sizes import NumberRule, first_multiple, merged, merged_grid, sizes_of

BOUNDS = st.none() | st.integers(-30, 30).map(Decimal)
RULES = st.builds(
    NumberRule,
    st.booleans(),
    *[BOUNDS] * 4,
    st.none() | st.integers(1, 5).map(Decimal),
    st.none() | st.frozensets(st.integers(0, 40).map(Decimal), max_size=9),
)


def holds(rule: NumberRule, value: Decimal) -> bool:
    sizes = sizes_of(rule, negative=value < 0)
    return sizes is not None and sizes.wants(value.copy_abs())


@given(RULES, RULES, st.integers(0, 40).map(Decimal))
def test_merged_sizes_are_those_of_both(one: NumberRule, other: NumberRule, value: Decimal) -> None:
    sizes = [sizes_of(rule, negative=False) for rule in (one, other)]
    wanted = [each for each in sizes if each is not None]
    if len(wanted) == 2:
        assert merged(wanted).wants(value) is (holds(one, value) and holds(other, value))


def test_steps_merge_to_their_common_multiple() -> None:
    assert merged_grid((15, -1), (2, 0)) == (60, -1)
    assert merged_grid(None, (2, 0)) == (2, 0)


def test_bounds_that_exclude_each_other_want_nothing() -> None:
    assert sizes_of(NumberRule(minimum=Decimal(5), exclusive_maximum=Decimal(5)), negative=False) is None
    assert sizes_of(NumberRule(minimum=Decimal(5)), negative=True) is None


@given(st.decimals(0, 1000, places=3), st.integers(1, 200), st.integers(-3, 2))
def test_first_multiple_is_the_next_one(size: Decimal, step: int, tens: int) -> None:
    found = first_multiple(size, (step, tens))
    assert found % Decimal(step).scaleb(tens) == 0
    assert 0 <= found - size < Decimal(step).scaleb(tens)
