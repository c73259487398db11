"""`midfill.engine.cpu_products` against `F.linear`."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from midfill.engine.cpu_products import CPUProduct, pad_rows, padded_rows

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2**-7}
"""Relative: float32 sums in another order; bfloat16 rounds once, and its definition after each operation."""


def drawn(*shape: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).to(dtype)


@pytest.fixture(params=[True, False], ids=["oneDNN", "without"])
def product_of(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    if not request.param:
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    return CPUProduct


@torch.inference_mode()
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("num_rows", [1, 8, 9, 64, 96])
def test_a_product_is_what_linear_is(product_of: type[CPUProduct], num_rows: int, dtype: torch.dtype):
    weights, x = drawn(40, 24, dtype=dtype) / 5, drawn(num_rows, 24, dtype=dtype)
    other, product = drawn(num_rows, 40, dtype=dtype), product_of(weights)
    expected = F.linear(x.double(), weights.double())
    gelu = F.gelu(expected, approximate="tanh")
    for found, wanted in (
        (product(x), expected),
        (product.gelu(x), gelu),
        (product.times(x, other), expected * other.double()),
    ):
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), wanted, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


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
