"""`engine/nano/muon.py`: torch's own steps, where it multiplies in the same dtype."""

import pytest
import torch
from muon import Muon, orthogonal

SHAPES = (24, 40), (40, 24), (16, 16)


def stepped(optimizer: torch.optim.Optimizer, matrices: list[torch.Tensor]) -> list[torch.Tensor]:
    """The matrices after three steps on made-up gradients."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        for matrix in matrices:
            matrix.grad = torch.randn(matrix.shape, generator=generator)
        optimizer.step()
    return matrices


def matrices() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in SHAPES]


# bfloat16 is what torch's own multiplies: equal but for the order of one division. In float32 an update, of which each
# step is 0.02, may be off by bfloat16's 1 % of its largest entries.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 1e-3), (torch.float32, 2e-3)])
def test_steps_are_those_of_torch(dtype: torch.dtype, tolerance: float):
    ours, theirs = matrices(), matrices()
    stepped(Muon(ours, lr=0.02, momentum=0.95, weight_decay=0.03, dtype=dtype), ours)
    stepped(torch.optim.Muon(theirs, lr=0.02, momentum=0.95, weight_decay=0.03, adjust_lr_fn="original"), theirs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=tolerance, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_come_near_one(shape: tuple[int, int]):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    before = matrix.clone()
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert float(values.min()) > 0.5
    assert float(values.max()) < 1.5
    assert torch.equal(matrix, before)


def test_what_has_no_gradient_stays():
    (matrix, *_) = matrices()
    before = matrix.detach().clone()
    Muon([matrix], lr=0.1, momentum=0.9, weight_decay=0.1, dtype=torch.float32).step()
    assert torch.equal(matrix, before)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_matrix_of_a_stack_steps_as_it_does_alone(shape: tuple[int, int]):
    generator = torch.Generator().manual_seed(3)
    stack, grads = torch.randn(3, *shape, generator=generator), torch.randn(3, *shape, generator=generator)
    alone = [matrix.clone().requires_grad_() for matrix in stack]
    together = stack.clone().requires_grad_()
    together.grad = grads
    for matrix, grad in zip(alone, grads, strict=True):
        matrix.grad = grad
    for parameters in (alone, [together]):
        Muon(parameters, lr=0.02, momentum=0.95, weight_decay=0.03, dtype=torch.float32).step()
    torch.testing.assert_close(together.detach(), torch.stack([matrix.detach() for matrix in alone]))
