"""What stands between a layer's blocks, in one read of each row."""

from functools import partial
from typing import NamedTuple

import pytest
import torch
from tests.kernels.builds import Build, compile_all
from tests.kernels.tolerance import TOLERANCES, assert_close, poisoned_memory
from torch import Tensor

from midfill.kernels.residual import (
    FeedForwardNorms,
    attention_residual,
    attention_residual_reference,
    feed_forward_residual,
    feed_forward_residual_reference,
)

EPS = 1e-6
ROUNDINGS = 2
"""The stream is rounded before it is normed, and so is the result."""


def rows(shape: list[int], seed: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    draws = torch.Generator(device).manual_seed(seed)
    return torch.randn(shape, generator=draws, device=device).to(dtype)


class Case(NamedTuple):
    """Arguments of both functions, where there are experts and where there are none."""

    x: Tensor
    y: Tensor
    sparse: Tensor | None
    weights: list[Tensor]
    scalar: Tensor

    @property
    def attention(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor | None]:
        post, mlp, experts, router = self.weights
        has_experts = self.sparse is not None
        return self.x, self.y, post, mlp, experts if has_experts else None, router if has_experts else None

    @property
    def feed_forward(self) -> tuple[Tensor, Tensor, Tensor | None, FeedForwardNorms, Tensor, Tensor]:
        optional = () if self.sparse is None else self.weights[1:3]
        return self.x, self.y, self.sparse, FeedForwardNorms(self.weights[0], *optional), self.scalar, self.weights[3]

    def double(self) -> "Case":
        sparse = None if self.sparse is None else self.sparse.double()
        weights = [weight.double() for weight in self.weights]
        return Case(self.x.double(), self.y.double(), sparse, weights, self.scalar.double())


def case(num_rows: int, size: int, top_k: int, dtype: torch.dtype, device: torch.device) -> Case:
    make = partial(rows, dtype=dtype, device=device)
    sparse = 0.3 * make([num_rows, top_k, size], 3) if top_k else None
    weights = [make([size], seed) for seed in range(4, 8)]
    return Case(make([num_rows, size], 1), 5 * make([num_rows, size], 2), sparse, weights, make([1], 8))


SIZES = [1, 63, 64, 65, 2816]


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("top_k", [0, 8])
def test_attention_ends_as_the_definition_says(size: int, top_k: int, dtype: torch.dtype, device: torch.device) -> None:
    given = case(3, size, top_k, dtype, device)
    with poisoned_memory():
        out = attention_residual(*given.attention, EPS)
    wanted = attention_residual_reference(*given.double().attention, EPS)
    assert_close(out.x, wanted.x, dtype)
    for got, want in zip(out[1:], wanted[1:], strict=True):
        assert (got is None) == (want is None)
        if got is not None and want is not None:
            assert_close(got, want, dtype, ROUNDINGS)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("top_k", [0, 1, 3, 8])
def test_the_feed_forward_block_ends_as_the_definition_says(
    size: int, top_k: int, dtype: torch.dtype, device: torch.device
) -> None:
    given = case(3, size, top_k, dtype, device)
    with poisoned_memory():
        after, normed = feed_forward_residual(*given.feed_forward, EPS)
    wanted, wanted_normed = feed_forward_residual_reference(*given.double().feed_forward, EPS)
    assert_close(after, wanted, dtype)
    assert_close(normed, wanted_normed, dtype, ROUNDINGS)


def test_no_rows_are_no_rows(device: torch.device) -> None:
    given = case(0, 64, 8, torch.float32, device)
    assert [out.shape for out in attention_residual(*given.attention, EPS) if out is not None] == [(0, 64)] * 4
    assert [out.shape for out in feed_forward_residual(*given.feed_forward, EPS)] == [(0, 64)] * 2


def test_experts_without_a_router_are_refused(device: torch.device) -> None:
    x, y, post, mlp, experts, _ = case(2, 64, 8, torch.float32, device).attention
    with pytest.raises(AssertionError, match="router"):
        attention_residual(x, y, post, mlp, experts, None, EPS)


def test_experts_without_a_norm_are_refused(device: torch.device) -> None:
    x, y, sparse, norms, scalar, following = case(2, 64, 8, torch.float32, device).feed_forward
    with pytest.raises(AssertionError, match="norm for either path"):
        feed_forward_residual(x, y, sparse, FeedForwardNorms(norms.post), scalar, following, EPS)


def test_a_block_of_another_shape_is_refused(device: torch.device) -> None:
    x, y, post, mlp, _, _ = case(2, 64, 0, torch.float32, device).attention
    with pytest.raises(AssertionError, match=r"\(2, 32\) beside \(2, 64\)"):
        attention_residual(x, y[:, :32], post, mlp, None, None, EPS)


def builds() -> list[Build]:
    """Of both kernels, with experts and without."""
    sizes, inputs = {"size": "i32", "eps": "fp32"}, ["x_ptr", "post_ptr", "x_out_ptr"]
    attention = [*inputs, "y_ptr", "mlp_ptr", "mlp_out_ptr"]
    experts = ["experts_ptr", "router_ptr", "experts_out_ptr", "router_out_ptr"]
    feed_forward = [*inputs, "dense_ptr", "scalar_ptr", "next_ptr", "normed_out_ptr"]
    sparse = ["sparse_ptr", "post_dense_ptr", "post_sparse_ptr"]

    def build(kernel: str, given: list[str], absent: list[str], others: dict[str, str], constants: dict[str, int]):
        signature = dict.fromkeys(given, "*bf16") | sizes | others
        nothing = dict.fromkeys(absent, None)
        return Build("residual", kernel, signature, nothing | constants | {"BLOCK": 4096}, ("size",), num_warps=8)

    factor = {"router_factor": "fp32"}
    return [
        build("_attention_residual_kernel", attention + experts, [], factor, {"HAS_EXPERTS": True}),
        build("_attention_residual_kernel", attention, experts, factor, {"HAS_EXPERTS": False}),
        build("_feed_forward_residual_kernel", feed_forward + sparse, [], {}, {"TOP_K": 8}),
        build("_feed_forward_residual_kernel", feed_forward, sparse, {}, {"TOP_K": 0}),
    ]


def test_they_compile_for_every_card_without_a_spill() -> None:
    wanted = builds()
    for build, results in zip(wanted, compile_all(wanted), strict=True):
        for built in results:
            assert built.fits
            assert built.spilled_bytes == 0
            assert built.has_vector_loads
            assert not built.has_narrow_loads or "scalar_ptr" in build.signature
