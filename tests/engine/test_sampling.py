"""`midfill.engine.sampling` against definitions written out by hand."""

import math

import pytest
import torch

from midfill.engine.canvas import BANNED_LOGIT
from midfill.engine.sampling import accept_mask, agrees, entropy, hole_mean, temperature


def test_entropy_of_uniform_and_certain_rows():
    logits = torch.zeros(2, 8)
    logits[1, 3] = 1e4
    found = entropy(logits.softmax(dim=-1), logits.log_softmax(dim=-1)).tolist()
    assert found == pytest.approx([math.log(8), 0.0], abs=1e-6)


def test_banned_tokens_add_no_entropy():
    logits = torch.tensor([[1.0, BANNED_LOGIT, BANNED_LOGIT / 0.4, 1.0]])
    assert entropy(logits.softmax(dim=-1), logits.log_softmax(dim=-1)).item() == pytest.approx(math.log(2))


def test_temperature_falls_from_the_highest_and_never_reaches_the_lowest():
    schedule = [temperature(step, 48, 0.4, 0.8) for step in range(48)]
    assert schedule[0] == 0.8
    assert schedule[-1] == pytest.approx(0.4 + 0.4 / 48)
    assert schedule == sorted(schedule, reverse=True)


def test_the_surest_position_is_always_kept():
    entropies = torch.tensor([[5.0, 3.0, 4.0]])
    hole = torch.ones(1, 3, dtype=torch.bool)
    assert accept_mask(entropies, hole, 0.0).tolist() == [[False, True, False]]


def test_positions_are_kept_while_earlier_entropies_stay_within_the_bound():
    entropies = torch.tensor([[0.06, 0.03, 0.5, 0.05]])
    hole = torch.ones(1, 4, dtype=torch.bool)
    # In order 0.03, 0.05, 0.06, 0.5 the sums before each are 0, 0.03, 0.08, 0.14.
    assert accept_mask(entropies, hole, 0.1).tolist() == [[True, True, False, True]]


def test_pins_are_never_accepted_and_cost_no_budget():
    entropies = torch.tensor([[0.0, 0.0, 0.09, 0.05]])
    hole = torch.tensor([[False, False, True, True]])
    assert accept_mask(entropies, hole, 0.06).tolist() == [[False, False, True, True]]


def test_hole_mean_leaves_pins_out():
    values = torch.tensor([[1.0, 3.0, 100.0]])
    hole = torch.tensor([[True, True, False]])
    assert hole_mean(values, hole).tolist() == [2.0]


def test_agreement_is_asked_of_the_hole_only():
    tokens, others = torch.tensor([[1, 2], [1, 2]]), torch.tensor([[1, 9], [9, 2]])
    hole = torch.tensor([[True, False], [True, False]])
    assert agrees(tokens, others, hole).tolist() == [True, False]
