"""One read of each row, and what the definition says."""

import pytest
import torch
from tests.kernels.builds import Build, compile_all
from tests.kernels.tolerance import TOLERANCES, assert_close, poisoned_memory

from midfill.kernels.rms_norm import rms_norm, rms_norm_reference

EPS = 1e-6


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("size", [1, 63, 64, 65, 2816])
@pytest.mark.parametrize("has_weight", [True, False])
def test_it_is_the_definition(size: int, has_weight: bool, dtype: torch.dtype, device: torch.device) -> None:
    draws = torch.Generator(device).manual_seed(size)
    x = torch.randn(5, size, generator=draws, device=device).to(dtype)
    weight = torch.randn(size, generator=draws, device=device).to(dtype) if has_weight else None
    with poisoned_memory():
        out = rms_norm(x, weight, EPS)
    wanted = rms_norm_reference(x.double(), None if weight is None else weight.double(), EPS)
    assert_close(out, wanted, dtype)


def test_rows_may_stand_apart(device: torch.device) -> None:
    wide = torch.randn(4, 200, generator=torch.Generator(device).manual_seed(1), device=device)
    x = wide[:, 10:74]
    assert_close(rms_norm(x, None, EPS), rms_norm_reference(x.double(), None, EPS), torch.float32)


def test_no_rows_are_no_rows(device: torch.device) -> None:
    assert rms_norm(torch.empty(0, 64, device=device), None, EPS).shape == (0, 64)


def test_a_weight_of_another_size_is_refused(device: torch.device) -> None:
    with pytest.raises(AssertionError, match="weight"):
        rms_norm(torch.ones(2, 64, device=device), torch.ones(32, device=device), EPS)


def test_it_compiles_for_every_card_without_a_spill() -> None:
    pointers = {"x_ptr": "*bf16", "weight_ptr": "*bf16", "out_ptr": "*bf16"}
    sizes = {"row_stride": "i32", "size": "i32", "eps": "fp32"}
    build = Build(
        "rms_norm",
        "_rms_norm_kernel",
        pointers | sizes,
        {"HAS_WEIGHT": True, "BLOCK": 4096},
        divisible=("row_stride", "size"),
        num_warps=8,
    )
    for built in compile_all([build])[0]:
        assert built.fits
        assert built.spilled_bytes == 0
        assert built.has_vector_loads
