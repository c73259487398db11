"""Experts' gated MLPs over tiles of tokens, whoever gets how many, and what the definition says."""

from itertools import chain
from typing import NamedTuple

import pytest
import torch
from tests.kernels.builds import TARGETS, Build, compile_all
from tests.kernels.tolerance import TOLERANCES, assert_close, poisoned_memory
from torch import Tensor

from midfill.kernels.experts import TILINGS, run_experts, run_experts_reference, tile_rows_for
from midfill.kernels.routing import plan, route


class Layer(NamedTuple):
    """Random weights, scaled so that results are about 1."""

    gate_up: Tensor
    down: Tensor


def layer_of(num_experts: int, hidden: int, size: int, dtype: torch.dtype, device: torch.device) -> Layer:
    draws = torch.Generator(device).manual_seed(hidden + size)
    gate_up = torch.randn(num_experts, 2 * size, hidden, generator=draws, device=device) * hidden**-0.5
    down = torch.randn(num_experts, hidden, size, generator=draws, device=device) * size**-0.5
    return Layer(gate_up.to(dtype), down.to(dtype))


def check(layer: Layer, experts: Tensor, tile_rows: int) -> None:
    """That what the kernels make of random tokens is the definition, nothing being left out."""
    dtype, device = layer.down.dtype, experts.device
    draws = torch.Generator(device).manual_seed(len(experts))
    x = torch.randn(len(experts), layer.down.shape[1], generator=draws, device=device).to(dtype)
    weights = torch.rand(experts.shape, generator=draws, device=device)
    with poisoned_memory():
        out = run_experts(x, weights, plan(experts, len(layer.down), tile_rows), *layer)
    wanted = run_experts_reference(x.double(), weights.double(), experts, *(part.double() for part in layer))
    # Gated values are rounded between the two products, then summed as independent errors are: less than once more.
    assert_close(out, wanted, dtype, times=2)


def drawn(num_tokens: int, num_experts: int, top_k: int, device: torch.device) -> Tensor:
    """[num_tokens, top_k] int32, a token's experts being different."""
    draws = torch.Generator().manual_seed(num_tokens)
    return torch.rand(num_tokens, num_experts, generator=draws).topk(top_k).indices.int().to(device)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("tile_rows", TILINGS)
@pytest.mark.parametrize(("hidden", "size"), [(1, 1), (63, 64), (64, 63), (129, 65)])
def test_they_are_the_definition(
    hidden: int, size: int, tile_rows: int, dtype: torch.dtype, device: torch.device
) -> None:
    check(layer_of(3, hidden, size, dtype, device), drawn(23, 3, 2, device), tile_rows)


@pytest.mark.parametrize("num_tokens", [1, 7, 8, 9])
def test_most_experts_may_get_nothing(num_tokens: int, device: torch.device) -> None:
    experts = 9 + 2 * drawn(num_tokens, 2, 2, device)
    check(layer_of(16, 64, 32, torch.float32, device), experts, 16)


@pytest.mark.parametrize("num_tokens", [15, 16, 17, 33])
def test_one_expert_may_get_all(num_tokens: int, device: torch.device) -> None:
    experts = torch.full([num_tokens, 1], 2, dtype=torch.int32, device=device)
    check(layer_of(4, 64, 32, torch.float32, device), experts, 16)


def test_a_result_far_into_memory_finds_its_place(device: torch.device) -> None:
    layer = layer_of(40, 64, 64, torch.float32, device)
    check(layer, torch.tensor([[39, 0]], dtype=torch.int32, device=device), 16)


def test_tiles_hold_half_as_many_again_as_experts_get_on_average() -> None:
    rows = [tile_rows_for(8 * num_tokens, 128) for num_tokens in (1, 32, 170, 171, 341, 342, 682, 683, 4096)]
    assert rows == [16, 16, 16, 32, 32, 64, 64, 128, 128]


def test_weights_of_another_shape_are_refused(device: torch.device) -> None:
    layer, experts = layer_of(2, 32, 16, torch.float32, device), drawn(3, 2, 1, device)
    with pytest.raises(AssertionError, match=r"\(2, 32, 32\) before \(2, 32, 8\)"):
        run_experts(torch.ones(3, 32), torch.ones(3, 1), plan(experts, 2, 16), layer.gate_up, layer.down[..., :8])


@pytest.mark.gpu
@pytest.mark.parametrize("num_tokens", [1, 32, 64, 129, 512, 1024])
def test_they_are_the_definition_at_real_shapes(num_tokens: int, device: torch.device) -> None:
    layer = layer_of(128, 2816, 704, torch.bfloat16, device)
    check(layer, drawn(num_tokens, 128, 8, device), tile_rows_for(8 * num_tokens, 128))


@pytest.mark.gpu
def test_one_graph_serves_other_routes(device: torch.device) -> None:
    layer, scale = layer_of(16, 128, 64, torch.bfloat16, device), torch.ones(16, device=device)
    x, logits = torch.ones(40, 128, dtype=torch.bfloat16, device=device), torch.zeros(40, 16, device=device)

    def passed() -> Tensor:
        weights, experts = route(logits, scale, 2)
        return run_experts(x, weights, plan(experts, 16, 16), *layer)

    passed()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = passed()
    for seed in range(3):
        draws = torch.Generator(device).manual_seed(seed)
        x.normal_(generator=draws)
        logits.normal_(std=seed, generator=draws)
        graph.replay()
        assert torch.equal(out, passed())


def builds(dtype: torch.dtype, tile_rows: int, targets: tuple[int, ...]) -> list[Build]:
    """Both kernels for tiles of `tile_rows` rows."""
    pointer = {torch.bfloat16: "*bf16", torch.float32: "*fp32"}[dtype]
    tiling = TILINGS[tile_rows]
    constants = {"ROWS": tile_rows, "WEIGHT_ROWS": tiling.weight_rows, "DEPTH": tiling.depth_bytes // dtype.itemsize}
    tiles = dict.fromkeys(("pairs_ptr", "tile_expert_ptr", "num_tiles_ptr"), "*i32")
    sizes, varying = dict.fromkeys(("hidden", "size"), "i32"), {"num_pairs": "i32"}
    first = dict.fromkeys(("x_ptr", "gate_up_ptr", "out_ptr"), pointer) | {"top_k": "i32"}
    second = dict.fromkeys(("gated_ptr", "down_ptr", "out_ptr"), pointer) | {"weights_ptr": "*fp32"}
    return [
        Build(
            "experts",
            name,
            tiles | sizes | varying | own,
            constants,
            tuple(sizes),
            tuple(varying),
            tiling.num_warps,
            tiling.num_stages,
            targets,
        )
        for name, own in (("_gate_up_kernel", first), ("_down_kernel", second))
    ]


def test_they_compile_for_every_card_without_a_spill() -> None:
    # Small tiles have registers to spare.
    tilings = {16: (90,), 32: (90,), 64: TARGETS, 128: TARGETS}
    wanted = [build for rows, targets in tilings.items() for build in builds(torch.bfloat16, rows, targets)]
    for built in chain.from_iterable(compile_all(wanted)):
        assert built.fits
        assert built.spilled_bytes == 0
        assert built.has_mma
        assert built.has_vector_loads
        assert not built.has_narrow_loads


def test_the_largest_tiles_fit_a_small_card_in_float32_too() -> None:
    first, _ = builds(torch.float32, 128, (89,))
    assert compile_all([first])[0][0].fits
