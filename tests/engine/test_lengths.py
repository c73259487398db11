"""`midfill.engine.lengths`: which hole lengths are tried."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.lengths import from_end_marks, most_probable, spread

END, PAD, TEXT = 0, 1, 2


def padded_hole(length: int, size: int) -> torch.Tensor:
    """Log-probabilities [size, 3] of a hole that surely holds `length` tokens, an end mark and padding."""
    wanted = [TEXT] * length + [END] + [PAD] * (size - length - 1)
    return torch.eye(3)[wanted].add(1e-4).log_softmax(dim=-1) * 10


@given(st.integers(0, 9))
def test_a_sure_end_mark_gives_its_length(length: int):
    scores = from_end_marks(padded_hole(length, 10).log_softmax(dim=-1), END, PAD)
    assert int(scores.argmax()) == length
    assert abs(float(scores.exp().sum()) - 1) < 1e-5


def test_an_undecided_end_prefers_the_place_that_padding_follows():
    probabilities = torch.tensor([[0.01, 0.01, 0.98], [0.4, 0.1, 0.5], [0.5, 0.4, 0.1], [0.1, 0.9, 0.0]])
    scores = from_end_marks(probabilities.clamp(min=1e-9).log(), END, PAD)
    # Text, text, end, padding: 0.98 * 0.5 * 0.5 * 0.9; the next best is text, end, padding, padding.
    assert scores.argsort(descending=True)[:2].tolist() == [2, 1]


def test_the_most_probable_lengths_come_in_order():
    assert most_probable(torch.tensor([9.0, 1.0, 5.0, 4.0, 8.0]), count=3, shortest=1) == [2, 3, 4]


@given(st.integers(1, 20), st.integers(0, 300), st.integers(1, 12))
def test_spread_lengths_cover_the_range_without_repeats(shortest: int, more: int, count: int):
    lengths = spread(shortest, shortest + more, count)
    assert lengths == sorted(set(lengths))
    assert lengths[0] == shortest
    assert count == 1 or lengths[-1] == shortest + more
    assert len(lengths) <= max(1, count)
