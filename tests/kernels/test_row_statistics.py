"""One read of the logits, and the token, the draw, the entropy and the sum that the definition says."""

import pytest
import torch
from tests.kernels.builds import Build, compile_all
from tests.kernels.tempered import tempered
from tests.kernels.tolerance import assert_close, poisoned_memory
from torch import Tensor

from midfill.kernels import row_statistics as module
from midfill.kernels.row_statistics import (
    GROUP,
    LANES,
    TURN,
    RowStatistics,
    row_statistics,
    row_statistics_reference,
    splits_for,
)
from midfill.kernels.tempering import Tempering

ENTROPY_ERROR = 3e-5
"""Nats. Scores of up to 60 are rounded at 60 x 2^-24, also by the exponential in tanh, and an entropy sums them. What
it decides, whether a canvas is sure, is a matter of 5e-3."""


def untempered(device: torch.device, rows: int, vocab: int) -> Tempering:
    return Tempering(
        None,
        torch.zeros(1, dtype=torch.int64, device=device),
        torch.ones(1, device=device),
        torch.zeros(2, vocab, dtype=torch.uint8, device=device),
        torch.zeros(rows, dtype=torch.bool, device=device),
    )


def assert_same(out: RowStatistics, logits: Tensor, tempering: Tempering, seed: Tensor) -> None:
    assert torch.equal(out.argmax, row_statistics_reference(logits, tempering, seed).argmax)
    wanted = row_statistics_reference(logits.double(), tempering, seed)
    assert torch.equal(out.drawn, wanted.drawn)
    assert (out.entropy >= 0).all()
    assert (out.entropy - wanted.entropy).abs().max() < ENTROPY_ERROR
    assert_close(out.log_normaliser, wanted.log_normaliser, torch.float32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("vocab", [1, 63, LANES + 1, TURN - 1, TURN, TURN + 1])
def test_it_is_the_definition(vocab: int, dtype: torch.dtype, device: torch.device) -> None:
    logits, tempering, seed = tempered(device, 3, vocab, dtype)
    with poisoned_memory():
        out = row_statistics(logits, tempering, seed)
    assert_same(out, logits, tempering, seed)


def test_logits_without_a_cap_stay_as_they_are(device: torch.device) -> None:
    logits, tempering, seed = tempered(device, 1, 100, cap=None)
    assert_same(row_statistics(logits, tempering, seed), logits, tempering, seed)


def test_rows_may_stand_apart(device: torch.device) -> None:
    logits, tempering, seed = tempered(device, 4, 300)
    wide = torch.cat([logits, torch.full_like(logits, torch.nan)], dim=1)
    assert_same(row_statistics(wide[:, :300], tempering, seed), logits, tempering, seed)


def test_a_flat_row_has_the_greatest_entropy_and_its_first_token(device: torch.device) -> None:
    out = row_statistics(
        torch.zeros(1, 5000, device=device), untempered(device, 1, 5000), torch.tensor([1], device=device)
    )
    assert out.argmax.tolist() == [0]
    assert out.entropy.item() == pytest.approx(torch.tensor(5000.0).log().item(), rel=1e-6)


def test_a_peaked_row_has_no_entropy_and_one_token(device: torch.device) -> None:
    logits = torch.full((1, 5000), -200.0, device=device)
    logits[0, 4321] = 200.0
    out = row_statistics(logits, untempered(device, 1, 5000), torch.tensor([1], device=device))
    assert (out.argmax.item(), out.drawn.item()) == (4321, 4321)
    assert out.entropy.item() == 0.0
    assert out.log_normaliser.item() == 200.0


@pytest.mark.parametrize("columns", [(1, 5), (5, 5 + LANES), (LANES - 1, LANES), (7, TURN + 6)])
def test_the_lowest_of_equal_tokens_is_the_best(columns: tuple[int, int], device: torch.device) -> None:
    logits = torch.zeros(1, TURN + 10, device=device)
    logits[0, list(columns)] = 3.0
    tempering, seed = untempered(device, 1, TURN + 10), torch.tensor([1], device=device)
    assert row_statistics(logits, tempering, seed).argmax.item() == columns[0]


@pytest.mark.parametrize("programs", [1, 3, 1024])
def test_it_is_the_same_however_rows_are_split(
    programs: int, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROGRAMS", programs)
    logits, tempering, seed = tempered(device, 2, 2 * TURN + 5)
    assert splits_for(2, logits.shape[1]) == {1: (1, 6), 3: (2, 2), 1024: (3, 1)}[programs]
    assert_same(row_statistics(logits, tempering, seed), logits, tempering, seed)


@pytest.mark.parametrize(("rows", "programs"), [(1, 16), (64, 1024), (100, 1600), (256, 1024), (2048, 2048)])
def test_the_real_vocabulary_gives_programs_enough(rows: int, programs: int) -> None:
    splits, turns_per_split = splits_for(rows, 262_144)
    assert rows * splits == programs
    assert (splits - 1) * turns_per_split * TURN < 262_144 <= splits * turns_per_split * TURN


def test_banned_tokens_are_never_drawn_nor_best(device: torch.device) -> None:
    logits, tempering, seed = tempered(device, 8, 40)
    tempering.banned.fill_(1)[0, [3, 20]] = 0
    tempering.banned[1, 3] = 0
    out = row_statistics(logits, tempering, seed)
    for tokens in (out.argmax, out.drawn):
        assert (tokens[tempering.is_first] == 3).all()
        assert torch.isin(tokens, torch.tensor([3, 20], device=device)).all()


def test_draws_have_the_softmaxs_distribution() -> None:
    rows, spread = 200, torch.tensor([0, 1, LANES, 5 * LANES + 3, TURN - LANES + 2, TURN - 1])
    logits = torch.full((rows, TURN), -100.0)
    logits[:, spread] = torch.tensor([0.0, 1.0, 2.0, 0.5, -1.0, 1.5])
    tempering = untempered(logits.device, rows, TURN)
    seeds = torch.arange(20)[:, None]
    drawn = torch.cat([row_statistics_reference(logits, tempering, seed).drawn for seed in seeds])
    wanted = logits[0, spread].softmax(dim=-1) * len(drawn)
    counts = (drawn[:, None] == spread).sum(dim=0)
    assert counts.sum() == len(drawn)
    assert ((counts - wanted) ** 2 / wanted).sum().item() < 20.5  # 5 degrees of freedom: one in 1,000


def test_other_steps_draw_others(device: torch.device) -> None:
    logits = torch.zeros(8, 4000, device=device)
    tempering, seed = untempered(device, 8, 4000), torch.tensor([1], device=device)
    other = tempering._replace(step=tempering.step + 1, temperatures=torch.ones(2, device=device))
    drawn = row_statistics(logits, tempering, seed).drawn
    assert len(drawn.unique()) == 8
    assert (row_statistics(logits, other, seed).drawn != drawn).all()


@pytest.mark.gpu
@pytest.mark.parametrize("rows", [1, 64, 256])
def test_it_is_the_definition_at_the_real_size(rows: int, device: torch.device) -> None:
    logits, tempering, seed = tempered(device, rows, 262_144, torch.bfloat16)
    out = row_statistics(logits, tempering, seed)
    for row in range(0, rows, 37):
        alone = tempering._replace(is_first=tempering.is_first[row : row + 1])
        wanted = row_statistics_reference(logits[row : row + 1].double(), alone, seed)
        assert out.argmax[row] == wanted.argmax[0]
        assert (out.entropy[row] - wanted.entropy[0]).abs() < ENTROPY_ERROR
        assert_close(out.log_normaliser[row : row + 1], wanted.log_normaliser, torch.float32)
        if row == 0:  # the definition draws for row 0
            assert out.drawn[row] == wanted.drawn[0]


PARTIAL = {
    "logits_ptr": "*bf16",
    "step_ptr": "*i64",
    "temperatures_ptr": "*fp32",
    "banned_ptr": "*u8",
    "is_first_ptr": "*i1",
    "seed_ptr": "*i64",
    "sums_ptr": "*fp32",
    "places_ptr": "*i32",
    "row_stride": "i32",
    "vocab": "i32",
    "turns_per_split": "i32",
    "cap": "fp32",
}
RESULTS = {"argmax_ptr": "*i64", "drawn_ptr": "*i64", "entropy_ptr": "*fp32", "log_normaliser_ptr": "*fp32"}


def test_it_compiles_for_every_card_without_a_spill() -> None:
    constants = {"HAS_CAP": True, "STREAM": 0, "GROUP": GROUP, "LANES": LANES}
    divisible = ("row_stride", "vocab")
    combined = {name: kind for name, kind in PARTIAL.items() if name != "turns_per_split"} | RESULTS | {"splits": "i32"}
    partial = Build("row_statistics", "_partial_kernel", PARTIAL, constants, divisible, ("turns_per_split",))
    constants = constants | {"BLOCK": 16}
    combine = Build("row_statistics", "_combine_kernel", combined, constants, divisible, ("splits",), num_warps=1)
    partials, combines = compile_all([partial, combine])
    for built in partials + combines:
        assert built.fits
        assert built.spilled_bytes == 0
    for built in partials:
        assert built.has_vector_loads
        assert built.registers <= 128, "four programs of 128 threads want to stand on a processor at once"
