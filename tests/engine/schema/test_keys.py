"""Sets of an object's keys."""

from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.schema.keys import Keys

NAMES = st.lists(st.text(max_size=3), max_size=12)


@given(NAMES, NAMES)
def test_they_are_sets(first: list[str], second: list[str]):
    none = Keys()
    one = none.with_all(first)
    both = one.with_all(second)
    assert len(none) == 0
    assert len(both) == len({*first, *second})
    assert all(name in both for name in (*first, *second))
    assert all((name in one) == (name in first) for name in second)


@given(NAMES)
def test_the_order_in_which_keys_came_makes_no_difference(names: list[str]):
    none = Keys()
    one, other = none.with_all(names), none.with_all(reversed(names))
    assert one == other
    assert hash(one) == hash(other)
    assert (one == none) == (not names)


def test_sets_of_two_families_are_never_equal():
    assert Keys().with_all(["a"]) != Keys().with_all(["b"])
