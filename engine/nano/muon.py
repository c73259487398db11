"""Muon, the optimizer of matrices, in any dtype: torch.optim.Muon multiplies bfloat16, which few CPUs have.

On one that emulates it (AVX2, one thread) that took 12 of the 16 seconds of a step.
Source: https://kellerjordan.github.io/posts/muon/; `torch.optim.Muon`, whose steps and state these are.
"""

import math
from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

COEFFICIENTS = 3.4445, -4.7750, 2.0315
"""Of the quintic whose slope at zero is steep, so that five steps are enough."""
STEPS = 5
TINY = 1e-7


class Muon(torch.optim.Optimizer):
    """Steps along the momentum with all its singular values brought near 1, computed in `dtype`.

    A parameter is a matrix or a stack of them, as of experts, each of which is a matrix by itself.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float, momentum: float, weight_decay: float, dtype: torch.dtype
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """A step of every matrix that has a gradient, with Nesterov's momentum and decoupled weight decay."""
        assert closure is None, "nobody asks for the loss"
        for group in self.param_groups:
            # Of one shape together: an optimizer step of S8 is 1,900 operations so, and 4,600 otherwise, on a card each
            # a launch.
            alike = defaultdict[torch.Size, list[Tensor]](list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    alike[matrix.shape].append(matrix)
            for matrices in alike.values():
                momenta = torch.stack([self._momentum(matrix, group["momentum"]) for matrix in matrices])
                updates = orthogonal(momenta.to(self.dtype)).to(momenta.dtype).unbind()
                rows, columns = matrices[0].shape[-2:]
                for matrix, update in zip(matrices, updates, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"])
                    matrix.add_(update, alpha=-group["lr"] * math.sqrt(max(1, rows / columns)))

    def _momentum(self, matrix: Tensor, share: float) -> Tensor:
        """Nesterov's, after the gradient of this step."""
        assert matrix.grad is not None
        state = self.state[matrix]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(matrix.grad)
        return matrix.grad.lerp(state["momentum_buffer"].lerp_(matrix.grad, 1 - share), share)


def orthogonal(matrices: Tensor) -> Tensor:
    """About U Vᵀ of each matrix U S Vᵀ in [..., rows, columns], by Newton-Schulz steps: singular values of 0.5 to 1.5.

    Pure.
    """
    a, b, c = COEFFICIENTS
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    wide = matrices.mT if is_tall else matrices
    wide = wide / wide.norm(dim=(-2, -1), keepdim=True).clamp(min=TINY)
    for _ in range(STEPS):
        gram = wide @ wide.mT
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide.mT if is_tall else wide
