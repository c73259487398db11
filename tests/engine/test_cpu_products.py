"""`midfill.engine.cpu_products` against `F.linear`."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from midfill.engine.cpu_products import (
    LARGEST_HALF,
    CPUProduct,
    HalfWeights,
    InOneDNN,
    has_half_weights,
    has_layout,
    kind_for,
    pad_rows,
    padded_rows,
)

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2**-7}
"""Relative: float32 sums in another order; bfloat16 rounds once, and its definition after each operation."""
OF_HALF_WEIGHTS = 2**-9
"""Each weight is rounded by 2**-11; gelu's slope and what it is multiplied by are little more than 1."""
BOTH = pytest.mark.parametrize("dtype", TOLERANCE)
ROWS = pytest.mark.parametrize("num_rows", [1, 8, 9, 64, 96])


def drawn(*shape: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).to(dtype)


def check(kind: type[CPUProduct], num_rows: int, dtype: torch.dtype, tolerance: float) -> None:
    weights, x = drawn(40, 24, dtype=dtype) / 5, drawn(num_rows, 24, dtype=dtype)
    other, product = drawn(num_rows, 40, dtype=dtype), kind(weights)
    expected = F.linear(x.double(), weights.double())
    gelu = F.gelu(expected, approximate="tanh")
    for found, wanted in (
        (product(x), expected),
        (product.gelu(x), gelu),
        (product.times(x, other), expected * other.double()),
    ):
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), wanted, rtol=tolerance, atol=tolerance)


@torch.inference_mode()
@BOTH
@ROWS
def test_a_plain_product_is_what_linear_is(num_rows: int, dtype: torch.dtype):
    check(CPUProduct, num_rows, dtype, TOLERANCE[dtype])


@torch.inference_mode()
@BOTH
@ROWS
def test_a_product_of_onednn_is_what_linear_is(num_rows: int, dtype: torch.dtype):
    if not has_layout(dtype):
        pytest.skip(f"oneDNN lays out no weights in {dtype} here")
    check(InOneDNN, num_rows, dtype, TOLERANCE[dtype])


@torch.inference_mode()
@ROWS
def test_a_product_with_half_weights_rounds_them_and_nothing_else(num_rows: int):
    if not has_half_weights():
        pytest.skip("FBGEMM is not there")
    check(HalfWeights, num_rows, torch.float32, OF_HALF_WEIGHTS)
    weights, x = drawn(40, 24, dtype=torch.float32), drawn(num_rows, 24, dtype=torch.float32)
    rounded = F.linear(x, weights.half().float())
    torch.testing.assert_close(HalfWeights(weights)(x), rounded, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("has_half", [True, False])
@pytest.mark.parametrize("has_onednn", [True, False])
def test_what_is_fastest_is_taken_of_what_there_is(has_half: bool, has_onednn: bool):
    without = InOneDNN if has_onednn else CPUProduct
    weights = drawn(40, 24, dtype=torch.float32)
    assert kind_for(weights, has_half, has_onednn) is (HalfWeights if has_half else without)
    assert kind_for(weights.bfloat16(), has_half, has_onednn) is without
    for unfit in (2 * LARGEST_HALF, -2 * LARGEST_HALF, torch.nan):  # float16 has nothing for the first two
        weights[0, 0] = unfit
        assert kind_for(weights, has_half, has_onednn) is without


def test_numbers_of_rows_are_few_and_waste_little():
    padded = {count: padded_rows(count) for count in range(1, 257)}
    assert len(set(padded.values())) == 14
    assert all(count <= rows < count + (8 if count <= 64 else 32) for count, rows in padded.items())


@pytest.mark.parametrize("num_rows", [1, 8, 65])
def test_padding_is_zeros_behind(num_rows: int):
    x = drawn(num_rows, 3, dtype=torch.float32)
    padded = pad_rows(x)
    assert len(padded) == padded_rows(num_rows)
    assert torch.equal(padded[:num_rows], x)
    assert not padded[num_rows:].any()
