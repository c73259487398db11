"""`midfill.engine.schema.marginals`: what they make of a canvas; their sums are held against brute force beside it."""

import numpy as np
import pytest
import torch

from midfill.engine.schema.marginals import LOWEST, Marginals, in_place_of

CANVAS = torch.tensor([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]]).log()


def found(tokens: list[int], probabilities: list[float], ended: float) -> Marginals:
    return Marginals(np.array(tokens, dtype=np.int64), np.array(probabilities), ended)


def test_a_position_surely_within_the_fill_holds_the_marginals_alone() -> None:
    said = in_place_of(CANVAS, [found([0, 2], [0.25, 0.75], 0.0), found([1], [1.0], 0.0)])
    assert said.exp().tolist() == [pytest.approx([0.25, 0, 0.75]), pytest.approx([0, 1, 0])]
    assert said[0, 1] == said[1, 0] == LOWEST


def test_a_position_perhaps_behind_the_fill_holds_both_by_their_probability() -> None:
    said = in_place_of(CANVAS, [found([0], [1.0], 0.0), found([1], [0.5], 0.5)])
    assert said[1].exp().tolist() == pytest.approx([0.25, 0.625, 0.125])


def test_a_position_surely_behind_the_fill_holds_what_the_canvas_said() -> None:
    said = in_place_of(CANVAS, [found([0], [1.0], 0.0), found([], [], 1.0)])
    assert torch.allclose(said[1], CANVAS[1])


def test_the_canvas_is_left_as_it_was() -> None:
    before = CANVAS.clone()
    in_place_of(CANVAS, [found([0], [1.0], 0.0)] * 2)
    assert torch.equal(CANVAS, before)
