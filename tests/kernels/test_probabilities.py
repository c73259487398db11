"""Logits become probabilities where they stand, and pins certain."""

import pytest
import torch
from tests.kernels.builds import Build, compile_all
from tests.kernels.tempered import tempered
from tests.kernels.tolerance import TOLERANCES, assert_close, poisoned_memory
from torch import Tensor

from midfill.kernels.probabilities import (
    BLOCK,
    NUM_WARPS,
    probabilities_in_place,
    probabilities_reference,
    soft_embedding,
)
from midfill.kernels.row_statistics import row_statistics_reference
from midfill.kernels.tempering import Tempering

SCORES_TIMES = {torch.float32: 10.0, torch.bfloat16: 1.0}
"""float32: a score of 60 is rounded at 60 x 2^-24, and the probability by as much of itself."""


def known(logits: Tensor, tempering: Tempering, seed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The log-normaliser in float64, the second row pinned, and to the last token."""
    rows = torch.arange(len(logits), device=logits.device)
    token = torch.full_like(rows, logits.shape[1] - 1)
    return row_statistics_reference(logits.double(), tempering, seed).log_normaliser, rows == 1, token


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("vocab", [1, BLOCK - 1, BLOCK, BLOCK + 1])
def test_it_is_the_definition(vocab: int, dtype: torch.dtype, device: torch.device) -> None:
    logits, tempering, seed = tempered(device, 4, vocab, dtype)
    log_normaliser, *pins = known(logits, tempering, seed)
    wanted = probabilities_reference(logits.double(), tempering, log_normaliser, *pins)
    out = probabilities_in_place(logits, tempering, log_normaliser.float(), *pins)
    assert out is logits
    assert_close(out, wanted, dtype, times=SCORES_TIMES[dtype])
    assert out[1].argmax().item() == vocab - 1
    assert out[1].sum().item() == 1


def test_what_stands_beside_the_rows_is_left_alone(device: torch.device) -> None:
    logits, tempering, seed = tempered(device, 4, 300)
    wide = torch.cat([logits, torch.full_like(logits, 7.0)], dim=1)
    log_normaliser, *pins = known(logits, tempering, seed)
    probabilities_in_place(wide[:, :300], tempering, log_normaliser.float(), *pins)
    assert (wide[:, 300:] == 7.0).all()
    torch.testing.assert_close(wide[:, :300].sum(dim=1), torch.ones(4, device=device))


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_a_soft_embedding_is_the_mean_one(dtype: torch.dtype, device: torch.device) -> None:
    draws = torch.Generator(device).manual_seed(1)
    probabilities = torch.randn(5, 700, generator=draws, device=device).softmax(dim=-1).to(dtype)
    embedding = torch.randn(700, 32, generator=draws, device=device).to(dtype)
    wanted = probabilities.double() @ embedding.double() * 5.25
    with poisoned_memory():
        out = soft_embedding(probabilities, embedding, 5.25)
    assert_close(out, wanted, dtype)


@pytest.mark.gpu
def test_it_is_the_definition_at_the_real_size(device: torch.device) -> None:
    logits, tempering, seed = tempered(device, 64, 262_144, torch.bfloat16)
    log_normaliser, *pins = known(logits, tempering, seed)
    wanted = probabilities_reference(logits.double(), tempering, log_normaliser, *pins)
    out = probabilities_in_place(logits, tempering, log_normaliser.float(), *pins)
    assert_close(out, wanted, torch.bfloat16)


MOST_PARTS = 32
"""Of a row's columns, that the library sums in float32 on their own, and may add in bfloat16. More than it should want
for 132 processors, where 64 rows of 2,816 are 22 blocks of results."""


@pytest.mark.gpu
def test_a_soft_embedding_errs_by_no_more_than_parts_that_are_added_in_bfloat16(device: torch.device) -> None:
    draws = torch.Generator(device).manual_seed(1)
    probabilities = (4 * torch.randn(64, 262_144, generator=draws, device=device)).softmax(dim=-1).bfloat16()
    embedding = torch.randn(262_144, 2816, generator=draws, device=device).bfloat16()
    wanted = torch.zeros(64, 2816, dtype=torch.float64, device=device)
    rounded = torch.zeros_like(wanted)  # the sum of all that is rounded
    for rows, weights in zip(embedding.chunk(MOST_PARTS), probabilities.chunk(MOST_PARTS, dim=1), strict=True):
        part = weights.double() @ rows.double() * 53.0
        wanted += part
        rounded += part.abs() + wanted.abs()
    errors = (soft_embedding(probabilities, embedding, 53.0) - wanted).abs()
    # 8 bits err by 2^-8 at most, each time; float32 within the parts adds far less.
    assert (errors <= 2.0**-8 * (rounded + wanted.abs())).all()
    # Most of that cancels: computed on a host, it was 0.0054 for 32 parts, 0.0016 for one, and 0.015 for 512.
    assert errors.square().mean().sqrt() < 2.0**-7 * wanted.square().mean().sqrt()


def test_it_compiles_for_every_card_without_a_spill() -> None:
    signature = {
        "logits_ptr": "*bf16",
        "step_ptr": "*i64",
        "temperatures_ptr": "*fp32",
        "banned_ptr": "*u8",
        "is_first_ptr": "*i1",
        "log_normaliser_ptr": "*fp32",
        "pinned_ptr": "*i1",
        "pinned_token_ptr": "*i64",
        "row_stride": "i32",
        "vocab": "i32",
        "cap": "fp32",
    }
    constants = {"HAS_CAP": True, "BLOCK": BLOCK}
    divisible = ("row_stride", "vocab")
    build = Build("probabilities", "_probabilities_kernel", signature, constants, divisible, num_warps=NUM_WARPS)
    for built in compile_all([build])[0]:
        assert built.fits
        assert built.spilled_bytes == 0
        assert built.shared_bytes == 0
        assert built.has_vector_loads
