"""`midfill.engine.lengths`: which hole lengths are tried."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.lengths import most_probable, spread


def test_the_most_probable_lengths_come_in_order():
    assert most_probable(torch.tensor([9.0, 1.0, 5.0, 4.0, 8.0]), count=3, shortest=1) == [2, 3, 4]


@given(st.integers(1, 20), st.integers(0, 300), st.integers(1, 12))
def test_spread_lengths_cover_the_range_without_repeats(shortest: int, more: int, count: int):
    lengths = spread(shortest, shortest + more, count)
    assert lengths == sorted(set(lengths))
    assert lengths[0] == shortest
    assert count == 1 or lengths[-1] == shortest + more
    assert len(lengths) <= max(1, count)
