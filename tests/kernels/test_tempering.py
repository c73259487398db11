"""What the definition of a score says: the cap first, then bans, then the temperature."""

import pytest
import torch

from midfill.kernels.tempering import Tempering, scores_reference


def test_a_score_is_capped_then_banned_then_tempered() -> None:
    tempering = Tempering(
        2.0,
        torch.tensor([1]),
        torch.tensor([1.0, 0.5]),
        torch.tensor([[0, 1, 0], [0, 0, 1]], dtype=torch.uint8),
        torch.tensor([False, True]),
    )
    scores = scores_reference(torch.full((2, 3), 1e6), tempering)
    assert scores.tolist() == [[4.0, -2e4, 4.0], [4.0, -2e4, -2e4]]


def test_bans_of_another_vocabulary_are_refused() -> None:
    one = torch.ones(1)
    tempering = Tempering(None, one.long(), one, torch.zeros(2, 4, dtype=torch.uint8), one.bool())
    with pytest.raises(AssertionError, match="banned"):
        tempering.check(torch.zeros(1, 5))
