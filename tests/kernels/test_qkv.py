"""Heads normed, rotated, and where attention looks for them."""

from itertools import chain
from typing import NamedTuple

import pytest
import torch
from tests.kernels.builds import Build, compile_all
from tests.kernels.tolerance import TOLERANCES, assert_close, poisoned_memory
from torch import Tensor

from midfill.kernels.qkv import qkv_norm_rope, qkv_norm_rope_reference

EPS = 1e-6


class Shape(NamedTuple):
    """Of one projection."""

    batch: int
    num_tokens: int
    num_heads: int
    num_kv_heads: int
    size: int
    rotating: int
    """Pairs of `size` / 2."""
    v_is_k: bool = False

    @property
    def width(self) -> int:
        return (self.num_heads + (1 if self.v_is_k else 2) * self.num_kv_heads) * self.size


SHAPES = [
    Shape(1, 1, 1, 1, 2, 1),
    Shape(2, 3, 6, 2, 64, 32),
    Shape(3, 2, 3, 1, 128, 16, v_is_k=True),
    Shape(1, 5, 4, 0, 64, 32),
    Shape(1, 2, 16, 8, 256, 128),
    Shape(2, 2, 16, 2, 512, 64, v_is_k=True),
    Shape(1, 2, 5, 3, 256, 0),
]


class Case(NamedTuple):
    """What the kernel and its definition are both given."""

    projected: Tensor
    q_weight: Tensor
    k_weight: Tensor
    frequencies: Tensor
    start: Tensor


def case(shape: Shape, position: int, dtype: torch.dtype, device: torch.device) -> Case:
    draws = torch.Generator(device).manual_seed(shape.size + position)

    def make(*sizes: int) -> Tensor:
        return torch.randn(sizes, generator=draws, device=device).to(dtype)

    exponents = torch.arange(shape.rotating, device=device) * (2 / shape.size)
    start = torch.tensor([position], device=device)
    projected = make(shape.batch, shape.num_tokens, shape.width)
    return Case(projected, make(shape.size), make(shape.size), 10_000.0**-exponents, start)


def wanted(shape: Shape, given: Case) -> tuple[Tensor, Tensor, Tensor]:
    projected, q_weight, k_weight, frequencies, start = given
    weights = q_weight.double(), k_weight.double()
    heads = shape.num_heads, shape.num_kv_heads
    return qkv_norm_rope_reference(projected.double(), *weights, frequencies, start, *heads, EPS)


def ready(shape: Shape, given: Case) -> tuple[Tensor, Tensor, Tensor]:
    """Q, K and V by the kernel, into memory of its own."""
    places = shape.batch, shape.num_kv_heads, shape.num_tokens, shape.size
    with poisoned_memory():
        k, v = given.projected.new_empty(places), given.projected.new_empty(places)
        q = qkv_norm_rope(*given, k, v, shape.num_heads, EPS)
    return q, k, v


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("position", [0, 65_000])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_definition(shape: Shape, position: int, dtype: torch.dtype, device: torch.device) -> None:
    given = case(shape, position, dtype, device)
    for got, want in zip(ready(shape, given), wanted(shape, given), strict=True):
        assert_close(got, want, dtype)


def test_tokens_turn_by_their_place_alone(device: torch.device) -> None:
    shape = Shape(1, 4, 2, 1, 64, 32)
    given = case(shape, 5, torch.float32, device)
    last = given._replace(projected=given.projected[:, 3:].contiguous(), start=given.start + 3)
    for whole, alone in zip(ready(shape, given), ready(shape._replace(num_tokens=1), last), strict=True):
        assert torch.equal(whole[:, :, 3:], alone)


def test_angles_far_out_are_turned_as_well_as_near_ones(device: torch.device) -> None:
    shape = Shape(1, 8, 1, 0, 512, 256)
    for position in (0, 100_000, 2**18 - 8):
        given = case(shape, position, torch.float32, device)
        ones = torch.ones(512, device=device)
        projected = ones.scatter(0, torch.arange(256, 512, device=device), 0.0).expand(1, 8, 512).contiguous()
        q, _, _ = ready(shape, given._replace(projected=projected, q_weight=ones))
        positions = torch.arange(position, position + 8, device=device).float()
        angles = (positions[:, None] * given.frequencies).double()
        turned = torch.cat((angles.cos(), angles.sin()), dim=1) * (2 / (1 + 2 * EPS)) ** 0.5
        # A few roundings in float32: of the series, of the norm and of the product.
        torch.testing.assert_close(q[0, 0].double(), turned, rtol=0, atol=4 * 2**-23)


def test_k_and_v_go_into_a_slot_and_nothing_else_changes(device: torch.device) -> None:
    shape = Shape(1, 3, 2, 2, 64, 32)
    given = case(shape, 9, torch.float32, device)
    slot = torch.zeros(2, 2, 20, 64, device=device)
    places = slot[:, None, :, 9:12]
    qkv_norm_rope(*given, places[0], places[1], shape.num_heads, EPS)
    _, k, v = wanted(shape, given)
    assert_close(places, torch.stack((k, v)), torch.float32)
    assert not slot[:, :, :9].any()
    assert not slot[:, :, 12:].any()


def test_no_tokens_are_no_heads(device: torch.device) -> None:
    shape = Shape(1, 0, 2, 1, 64, 32)
    assert ready(shape, case(shape, 0, torch.float32, device))[0].shape == (1, 2, 0, 64)


def test_a_projection_of_other_heads_is_refused(device: torch.device) -> None:
    shape = Shape(1, 1, 3, 2, 64, 32)
    with pytest.raises(AssertionError, match="448 for 4 heads and 2 of K, of 64 each"):
        ready(shape._replace(num_heads=4), case(shape, 0, torch.float32, device))


@pytest.mark.gpu
@pytest.mark.parametrize("num_tokens", [32, 256])
def test_it_is_the_definition_at_real_shapes(num_tokens: int, device: torch.device) -> None:
    for shape in (Shape(4, num_tokens, 16, 8, 256, 128), Shape(4, num_tokens, 16, 2, 512, 64, v_is_k=True)):
        given = case(shape, 65_000, torch.bfloat16, device)
        for got, want in zip(ready(shape, given), wanted(shape, given), strict=True):
            assert_close(got, want, torch.bfloat16)


def builds() -> list[Build]:
    """For sliding and for full layers."""
    pointers = ["projected_ptr", "q_weight_ptr", "k_weight_ptr", "q_ptr", "k_ptr", "v_ptr"]
    strides = [f"{name}_{kind}_stride" for name in "kv" for kind in ("batch", "head", "token")]
    integers = ["num_tokens", "rotating", "width", *strides]
    others = {"frequencies_ptr": "*fp32", "start_ptr": "*i64", "eps": "fp32"}
    signature = dict.fromkeys(pointers, "*bf16") | dict.fromkeys(integers, "i32") | others
    sliding = {"NUM_HEADS": 16, "NUM_KV_HEADS": 8, "D": 256, "BLOCK": 4}
    full = {"NUM_HEADS": 16, "NUM_KV_HEADS": 2, "D": 512, "BLOCK": 2}
    aligned = ("rotating", "width", *strides)
    varying = ("num_tokens",)
    return [Build("qkv", "_qkv_kernel", signature, each, aligned, varying, num_warps=1) for each in (sliding, full)]


def test_it_compiles_for_every_card_without_a_spill() -> None:
    for built in chain.from_iterable(compile_all(builds())):
        assert built.fits
        assert built.spilled_bytes == 0
        assert built.has_vector_loads
        assert not built.has_narrow_loads
