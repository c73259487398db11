"""`midfill.engine.lengths`: which hole lengths are tried."""

from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.lengths import lengths_to_try


@given(st.integers(1, 300), st.integers(2, 40))
def test_lengths_rise_from_one_to_the_longest_within_the_count(longest: int, count: int):
    lengths = lengths_to_try(longest, count)
    assert lengths == sorted(set(lengths))
    assert lengths[0] == 1
    assert lengths[-1] == longest
    assert len(lengths) <= count


def test_short_lengths_leave_no_gap():
    assert lengths_to_try(24, 18) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 17, 19, 21, 24]


def test_all_lengths_are_tried_where_they_are_few():
    assert lengths_to_try(3, 18) == [1, 2, 3]
