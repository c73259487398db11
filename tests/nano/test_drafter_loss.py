"""`engine/nano/drafter_loss.py` against the logits written out."""

import pytest
import torch
from drafter_loss import CHUNK, soft_cross_entropy

TOLERANCE = 0.02
"""Relative: the products are in bfloat16, of 8 bits."""


@pytest.mark.parametrize("rows", [1, CHUNK - 1, CHUNK, CHUNK + 1])
def test_loss_and_gradients_are_those_of_the_whole_logits(rows: int):
    torch.manual_seed(rows)
    hidden, weight = torch.randn(rows, 24).requires_grad_(), torch.randn(300, 24).requires_grad_()
    ids, chances = torch.rand(rows, 300).topk(5).indices, torch.rand(rows, 5).softmax(dim=-1)
    found = soft_cross_entropy(hidden, weight, ids, chances)
    gradients = torch.autograd.grad(3 * found, (hidden, weight))
    wanted_chances = torch.zeros(rows, 300).scatter(1, ids, chances)
    wanted = torch.nn.functional.cross_entropy(hidden @ weight.T, wanted_chances)
    torch.testing.assert_close(found, wanted, rtol=TOLERANCE, atol=0)
    for mine, theirs in zip(gradients, torch.autograd.grad(3 * wanted, (hidden, weight)), strict=True):
        assert float((mine - theirs).norm() / theirs.norm()) < TOLERANCE
