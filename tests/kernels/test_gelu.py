"""The middle of a gated MLP, and a gelu that no number breaks."""

import pytest
import torch
from tests.kernels.builds import Build, compile_all
from tests.kernels.tolerance import TOLERANCES, assert_close, poisoned_memory

from midfill.kernels.gelu import BLOCK, gelu_mul, gelu_mul_reference


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, BLOCK + 1, 2112])
def test_it_is_the_definition(size: int, dtype: torch.dtype, device: torch.device) -> None:
    draws = torch.Generator(device).manual_seed(size)
    gate_up = (2 * torch.randn(5, 2 * size, generator=draws, device=device)).to(dtype)
    with poisoned_memory():
        out = gelu_mul(gate_up)
    assert_close(out, gelu_mul_reference(gate_up.double()), dtype)


def test_small_gates_keep_their_precision(device: torch.device) -> None:
    gates = torch.linspace(-9, 9, 1001, device=device)
    out = gelu_mul(torch.cat((gates, torch.ones_like(gates)))[None])[0].double()
    gates = gates.double()
    wanted = gates * torch.sigmoid(1.5957691216057308 * (gates + 0.044715 * gates**3))
    # The error of an exponential grows with its argument: 70 of float32's 2^-24, which is 4e-6, at -9.
    torch.testing.assert_close(out, wanted, rtol=3e-5, atol=1e-37)


def test_large_gates_are_themselves_or_nothing(device: torch.device) -> None:
    gates = torch.tensor([-1e12, -1e4, -100.0, 100.0, 1e4, 1e12], device=device)
    out = gelu_mul(torch.cat((gates, torch.ones_like(gates)))[None])[0]
    assert torch.equal(out, gates.clamp(min=0.0))


def test_rows_may_stand_apart(device: torch.device) -> None:
    wide = torch.randn(4, 200, generator=torch.Generator(device).manual_seed(1), device=device)
    gate_up = wide[:, 10:74]
    assert_close(gelu_mul(gate_up), gelu_mul_reference(gate_up.double()), torch.float32)


def test_no_rows_are_no_rows(device: torch.device) -> None:
    assert gelu_mul(torch.empty(0, 64, device=device)).shape == (0, 32)


def test_half_a_pair_is_refused(device: torch.device) -> None:
    with pytest.raises(AssertionError, match="gates and as many more"):
        gelu_mul(torch.ones(2, 63, device=device))


def test_it_compiles_for_every_card_without_a_spill() -> None:
    build = Build(
        "gelu",
        "_gelu_mul_kernel",
        {"gate_up_ptr": "*bf16", "out_ptr": "*bf16", "row_stride": "i32", "size": "i32"},
        {"BLOCK": BLOCK},
        divisible=("row_stride", "size"),
        num_warps=1,
    )
    for built in compile_all([build])[0]:
        assert built.fits
        assert built.spilled_bytes == 0
        assert built.has_vector_loads
        assert not built.has_narrow_loads
