"""Attention to a past somewhere in memory and to the new tokens themselves is what the definition says."""

from collections.abc import Mapping
from functools import partial
from itertools import product

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
    splits_of,
    visible_keys,
)
from midfill.kernels.attention_tiles import LEAST_KEYS, tile_for

SPARE = 9
"""Tokens that a slot has room for behind its past; they hold NaN."""

# A window of 40 is shorter than some pasts and than 65 tokens. Rows, tokens and pasts stand around the sizes of tiles
# (16 rows and keys in float32) and of the least split (64 keys); tiles hold rows of one of B, or of several.
BATCHES = [  # B, H, KV heads, T, past
    (1, 1, 1, 1, 0),
    (1, 4, 2, 8, 1),
    (3, 2, 1, 3, 63),
    (5, 2, 2, 3, 129),
    (1, 8, 1, 8, 31),
    (1, 1, 1, 65, 33),
    (2, 2, 1, 17, 300),
    (2, 2, 1, 16, 63),
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
    inputs = Inputs(2, 2, 1, 8, 3 * LEAST_KEYS + 1, 16, torch.float32, device)
    assert_close(inputs.attended(None, False, splits), inputs.wanted(None, False), torch.float32)


@pytest.mark.parametrize(("batch", "tokens", "past"), [(1, 1, 1), (1, 1, 40), (3, 2, 150), (2, 16, 63)])
@pytest.mark.parametrize("window", [None, 40])
def test_a_past_alone(batch: int, tokens: int, past: int, window: int | None, device: torch.device) -> None:
    inputs = Inputs(batch, 4, 2, tokens, past, 16, torch.float32, device).without_own_keys()
    for splits in (1, 3):
        assert_close(inputs.attended(window, False, splits), inputs.wanted(window, False), torch.float32)


def test_tokens_see_themselves_or_a_past_alone(device: torch.device) -> None:
    inputs = Inputs(1, 2, 1, 3, 5, 16, torch.float32, device).without_own_keys()
    with pytest.raises(AssertionError, match="0 keys for 3 tokens"):
        inputs.attended(None, True, 1)


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
    assert splits_for(8, 320) == 6
    assert splits_for(8, 0) == splits_for(500, 65_536) == 1


REAL = [  # window, H, KV heads, D: sliding and full layers of 26B-A4B
    (1024, 16, 8, 256),
    (None, 16, 2, 512),
]


@pytest.mark.gpu
@pytest.mark.parametrize(("window", "heads", "kv_heads", "size"), REAL)
@pytest.mark.parametrize(("batch", "tokens"), [(1, 1), (20, 1), (4, 5), (1, 64), (8, 64), (1, 256)])
@pytest.mark.parametrize("causal", [True, False])
def test_real_shapes_on_a_card(
    window: int | None, heads: int, kv_heads: int, size: int, batch: int, tokens: int, causal: bool
) -> None:
    inputs = Inputs(batch, heads, kv_heads, tokens, 3001, size, torch.bfloat16, torch.device("cuda"))
    splits = splits_of(inputs.q, kv_heads, window, 65_536)
    assert_close(inputs.attended(window, causal, splits), inputs.wanted(window, causal), torch.bfloat16)


@pytest.mark.gpu
@pytest.mark.parametrize(("window", "heads", "kv_heads", "size"), [(1026, 16, 8, 256), (None, 16, 2, 512)])
def test_drafts_of_a_real_shape_on_a_card(window: int | None, heads: int, kv_heads: int, size: int) -> None:
    inputs = Inputs(1, heads, kv_heads, 1, 3001, size, torch.bfloat16, torch.device("cuda")).without_own_keys()
    splits = splits_of(inputs.q, kv_heads, window, 65_536)
    assert_close(inputs.attended(window, False, splits), inputs.wanted(window, False), torch.bfloat16)


@pytest.mark.gpu
def test_one_graph_serves_every_past() -> None:
    first, second = (Inputs(2, 16, 8, 32, past, 256, torch.bfloat16, torch.device("cuda")) for past in (0, 2000))
    q, k, v = first.q.clone(), first.k.clone(), first.v.clone()
    past = Past(first.past.addresses.clone(), first.past.length.clone())
    attend(q, k, v, past, 1024, False, 8)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = attend(q, k, v, past, 1024, False, 8)
    for inputs in (first, second):
        for target, source in zip((q, k, v, *past), (inputs.q, inputs.k, inputs.v, *inputs.past), strict=True):
            target.copy_(source)
        graph.replay()
        assert_close(out, inputs.wanted(1024, False), torch.bfloat16)


JOINED = {"JOINED": True, "ALONE": False, "HAS_OWN": True}
CANVAS, CAUSAL = JOINED | {"CAUSAL": False}, JOINED | {"CAUSAL": True}
SLIDING, FULL = {"GROUPS": 2, "D": 256, "HAS_WINDOW": True}, {"GROUPS": 8, "D": 512, "HAS_WINDOW": False}
NANO = {"GROUPS": 2, "D": 64, "HAS_WINDOW": True}
APART, ALONE = {"JOINED": False}, {"ALONE": True}
DRAFT = CANVAS | {"HAS_OWN": False}


def test_it_compiles_for_every_card_and_spills_nothing_that_matters() -> None:
    builds = [_build(layer | use, 64, (90,)) for layer, use in product((SLIDING, FULL), (CANVAS, CAUSAL))]
    builds += [_build(SLIDING | CAUSAL | APART, 64, (80, 89, 120)), _build(FULL | CANVAS, 64, (89, 120))]
    builds += [_build(SLIDING | CANVAS | ALONE, 64, (89, 90)), _build(SLIDING | CAUSAL | ALONE, 64, (90,))]
    builds += [_build(SLIDING | CAUSAL, 16, (80, 90)), _build(FULL | CAUSAL | APART, 16, (89, 120))]
    builds += [_build(SLIDING | DRAFT, 16, (90,)), _build(FULL | DRAFT, 16, (89,))]
    nano, apart = _build(NANO | CAUSAL, 64, (89, 90)), _build(FULL | CAUSAL | APART, 64, (90,))
    builds += [nano, apart, *_combine_builds()]
    for build, compiled in zip(builds, compile_all(builds), strict=True):
        for built in compiled:
            # Eight words where 64 rows of 512 belong to several of B, as drafts to verify do; two in nano's layers.
            allowed = 32 if build is apart else 8 if build is nano else 0
            assert built.fits, (build, built)
            assert built.spilled_bytes <= allowed, (build, built)
            assert built.has_mma == (build.kernel == "_partial_kernel"), (build, built)
            assert built.has_vector_loads, (build, built)
            assert not built.has_narrow_loads, (build, built)


def _combine_builds() -> list[Build]:
    pointers = {"partial_ptr": "*fp32", "maxima_ptr": "*fp32", "sums_ptr": "*fp32", "out_ptr": "*bf16"}
    sizes = dict.fromkeys(("rows", "heads", "tokens", "num_parts"), "i32")
    constants = [
        {"D": 512, "BLOCK_PARTS": parts, "BLOCK_SIZE": size} for parts, size in [(1, 512), (8, 512), (128, 64)]
    ]
    varying = "rows", "tokens", "num_parts"
    build = partial(Build, "attention", "_combine_kernel", pointers | sizes, varying=varying, targets=(90,))
    return [build(constants=each) for each in constants]


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
        varying=("batch", "tokens", "splits"),
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

    def without_own_keys(self) -> "Inputs":
        """The same, but the new tokens attend to the past alone."""
        self.k, self.v = self.k[:, :, :0].contiguous(), self.v[:, :, :0].contiguous()
        return self

    def attended(self, window: int | None, causal: bool, splits: int) -> Tensor:
        with poisoned_memory():
            return attend(self.q, self.k, self.v, self.past, window, causal, splits)

    def wanted(self, window: int | None, causal: bool) -> Tensor:
        q, k, v, past_k, past_v = (x.double() for x in (self.q, self.k, self.v, self.past_k, self.past_v))
        return attend_reference(q, k, v, past_k, past_v, window, causal)
