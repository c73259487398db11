"""Attention to a past somewhere in memory and to the new tokens themselves is what the definition says."""

from collections.abc import Mapping
from itertools import chain, product

import pytest
import torch
from tests.kernels.builds import SHARED_LIMITS, Build, compile_all
from tests.kernels.tolerance import assert_close, poisoned_memory
from torch import Tensor

from midfill.kernels.attention import (
    Past,
    addresses_of,
    attend,
    attend_reference,
    splits_for,
    visible_keys,
)
from midfill.kernels.attention_tiles import LEAST_KEYS, tile_for

SPARE = 9
"""Tokens that a slot has room for behind its past; they hold NaN."""

# A window of 40 is shorter than some pasts and than 65 tokens. Rows, tokens and pasts stand around the sizes of tiles
# (16 and 64 rows, 16, 32 and 64 keys) and of the least split (128 keys).
BATCHES = [  # B, H, KV heads, T, past
    (1, 1, 1, 1, 0),
    (1, 4, 2, 8, 1),
    (3, 2, 1, 3, 127),
    (5, 2, 2, 3, 129),
    (1, 8, 1, 8, 31),
    (2, 2, 2, 65, 33),
    (1, 2, 1, 32, 300),
]


@pytest.mark.parametrize(("batch", "heads", "kv_heads", "tokens", "past"), BATCHES)
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [None, 40])
def test_it_is_the_definition(
    batch: int,
    heads: int,
    kv_heads: int,
    tokens: int,
    past: int,
    causal: bool,
    window: int | None,
    device: torch.device,
) -> None:
    inputs = Inputs(batch, heads, kv_heads, tokens, past, 32, torch.float32, device)
    assert_close(inputs.attended(window, causal, 2), inputs.wanted(window, causal), torch.float32)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("tokens", [8, 33])
def test_it_is_the_definition_in_half_the_bits(tokens: int, causal: bool, device: torch.device) -> None:
    inputs = Inputs(2, 2, 1, tokens, 200, 32, torch.bfloat16, device)
    assert_close(inputs.attended(100, causal, 3), inputs.wanted(100, causal), torch.bfloat16)


@pytest.mark.parametrize("splits", [1, 2, 3, 7])
def test_splits_change_nothing(splits: int, device: torch.device) -> None:
    inputs = Inputs(1, 2, 1, 2, 3 * LEAST_KEYS + 1, 16, torch.float32, device)
    assert_close(inputs.attended(None, False, splits), inputs.wanted(None, False), torch.float32)


@pytest.mark.parametrize("window", [1, 2])
@pytest.mark.parametrize("causal", [True, False])
def test_the_shortest_windows(window: int, causal: bool, device: torch.device) -> None:
    inputs = Inputs(1, 2, 1, 5, 20, 16, torch.float32, device)
    assert_close(inputs.attended(window, causal, 1), inputs.wanted(window, causal), torch.float32)


@pytest.mark.parametrize("scale", [0.0, 100.0, 3000.0])
def test_flat_and_peaked_scores_stay_finite(scale: float, device: torch.device) -> None:
    inputs = Inputs(1, 2, 1, 4, 150, 16, torch.float32, device)
    inputs.q *= scale
    # A product of some thousands is off by its last bits, which the exponential makes as many times larger.
    times = max(1.0, scale)
    assert_close(inputs.attended(None, True, 2), inputs.wanted(None, True), torch.float32, times)


def test_one_past_after_another_needs_no_other_call(device: torch.device) -> None:
    first, second = (Inputs(1, 2, 1, 3, past, 16, torch.float32, device) for past in (5, 150))
    past = Past(first.past.addresses.clone(), first.past.length.clone())
    for inputs in (first, second):
        past.addresses.copy_(inputs.past.addresses)
        past.length.copy_(inputs.past.length)
        out = attend(inputs.q, inputs.k, inputs.v, past, None, False, 2)
        assert_close(out, inputs.wanted(None, False), torch.float32)


def test_a_canvas_sees_itself_and_the_end_of_the_past() -> None:
    visible = visible_keys(2, 4, 3, causal=False)
    assert visible.tolist() == [[False, False, True, True, True, True]] * 2


def test_a_token_sees_its_window_up_to_itself() -> None:
    visible = visible_keys(2, 4, 3, causal=True)
    assert visible.tolist() == [[False, False, True, True, True, False], [False, False, False, True, True, True]]


def test_memory_off_its_boundary_is_refused(device: torch.device) -> None:
    memory = torch.zeros(2 * 4 * 16 + 1, device=device)[1:].view(2, 4, 16)
    with pytest.raises(AssertionError, match="16 bytes"):
        addresses_of(memory, memory)


def test_splits_give_each_multiprocessor_one_program() -> None:
    assert splits_for(16, 65_536) == 8
    assert splits_for(2, 65_536) == 66


def test_a_short_past_is_cut_less_and_many_programs_not_at_all() -> None:
    assert splits_for(8, 1023) == 8
    assert splits_for(8, 0) == splits_for(500, 65_536) == 1


def test_it_compiles_for_every_card_without_a_spill() -> None:
    canvas, causal = {"CAUSAL": False}, {"CAUSAL": True}
    sliding, full = {"GROUPS": 2, "D": 256, "HAS_WINDOW": True}, {"GROUPS": 8, "D": 512, "HAS_WINDOW": False}
    nano = {"GROUPS": 2, "D": 64, "HAS_WINDOW": True}
    builds = [_build(a | b, 64, (90,)) for a, b in product((sliding, full), (canvas, causal))]
    builds += [_build(sliding | causal, 64, (80, 89, 120)), _build(full | canvas, 64, (80, 89, 120))]
    builds += [_build(sliding | causal, 16, (80, 90)), _build(full | causal, 16, (89, 120))]
    builds += [_build(nano | causal, 64, (89, 90))]
    for build, compiled in zip(builds, compile_all(builds), strict=True):
        for built in compiled:
            assert built.fits, (build, built)
            assert built.spilled_bytes == 0, (build, built)
            assert built.has_mma, (build, built)
            assert built.has_vector_loads, (build, built)
            assert not built.has_narrow_loads, (build, built)


def test_joining_parts_compiles_for_every_card_without_a_spill() -> None:
    pointers = {"partial_ptr": "*fp32", "maxima_ptr": "*fp32", "sums_ptr": "*fp32", "out_ptr": "*bf16"}
    sizes = dict.fromkeys(("rows", "heads", "tokens", "num_parts"), "i32")
    constants = [
        {"D": 512, "BLOCK_PARTS": parts, "BLOCK_SIZE": size} for parts, size in [(2, 512), (16, 512), (128, 64)]
    ]
    builds = [Build("attention", "_combine_kernel", pointers | sizes, each) for each in constants]
    for built in chain(*compile_all(builds)):
        assert built.fits
        assert built.spilled_bytes == 0
        assert built.has_vector_loads


def _build(constants: Mapping[str, int], rows: int, targets: tuple[int, ...]) -> Build:
    shared = min(SHARED_LIMITS[target] for target in targets)
    tile = tile_for(rows, constants["D"], 2, shared)
    pointers = dict.fromkeys(("q_ptr", "k_ptr", "v_ptr"), "*bf16")
    pointers |= dict.fromkeys(("partial_ptr", "maxima_ptr", "sums_ptr"), "*fp32")
    sizes = dict.fromkeys(("batch", "tokens", "kv_heads", "splits", "window"), "i32")
    blocks = {"BLOCK_ROWS": tile.rows, "BLOCK_KEYS": tile.keys, "LEAST_KEYS": LEAST_KEYS}
    return Build(
        "attention",
        "_partial_kernel",
        pointers | {"addresses_ptr": "*i64", "length_ptr": "*i64"} | sizes,
        {**constants, **blocks},
        divisible=("window",),
        num_warps=tile.num_warps,
        num_stages=tile.num_stages,
        targets=targets,
    )


class Inputs:
    """Random Q, K and V, in which a row's scores differ by a few units, behind a past of random length."""

    def __init__(
        self,
        batch: int,
        heads: int,
        kv_heads: int,
        tokens: int,
        past: int,
        size: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        draws = torch.Generator(device).manual_seed(past + tokens)

        def drawn(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=draws, device=device).to(dtype)

        self.q = drawn(batch, heads, tokens, size) * size**-0.5
        self.k, self.v = drawn(batch, kv_heads, tokens, size), drawn(batch, kv_heads, tokens, size)
        self.slot = drawn(2, kv_heads, past + SPARE, size)
        self.slot[:, :, past:] = torch.nan
        self.past_k, self.past_v = self.slot[:, :, :past]
        addresses = torch.tensor(addresses_of(*self.slot), device=device)
        self.past = Past(addresses, torch.tensor([past], device=device))

    def attended(self, window: int | None, causal: bool, splits: int) -> Tensor:
        with poisoned_memory():
            return attend(self.q, self.k, self.v, self.past, window, causal, splits)

    def wanted(self, window: int | None, causal: bool) -> Tensor:
        q, k, v, past_k, past_v = (x.double() for x in (self.q, self.k, self.v, self.past_k, self.past_v))
        return attend_reference(q, k, v, past_k, past_v, window, causal)
