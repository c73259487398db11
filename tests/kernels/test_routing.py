"""Tokens go to their likeliest experts, and their pairs stand in tiles of one expert each."""

from itertools import product

import pytest
import torch
from tests.kernels.builds import Build, compile_all
from tests.kernels.tolerance import assert_close, poisoned_memory
from torch import Tensor

from midfill.kernels.routing import CHUNK, Plan, most_tiles, plan, plan_reference, route, route_reference


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("num_experts", "top_k"), [(1, 1), (5, 5), (31, 3), (128, 8), (129, 2)])
def test_routes_are_the_definition(num_experts: int, top_k: int, dtype: torch.dtype, device: torch.device) -> None:
    draws = torch.Generator(device).manual_seed(num_experts)
    logits = (3 * torch.randn(7, num_experts, generator=draws, device=device)).to(dtype)
    scale = torch.rand(num_experts, generator=draws, device=device).to(dtype)
    with poisoned_memory():
        weights, experts = route(logits, scale, top_k)
    wanted, wanted_experts = route_reference(logits.double(), scale.double(), top_k)
    assert torch.equal(experts, wanted_experts)
    assert weights.dtype == torch.float32
    assert_close(weights, wanted, torch.float32)


def test_the_lower_id_comes_first_of_equals(device: torch.device) -> None:
    logits = torch.tensor([[0.0, 1, -0.0, 1, 0, -1], [2.0, 2, 2, 2, 2, 2]], device=device)
    _, experts = route(logits, torch.ones(6, device=device), 4)
    assert experts.tolist() == [[1, 3, 0, 2], [0, 1, 2, 3]]


def test_far_logits_give_finite_weights(device: torch.device) -> None:
    logits = torch.tensor([[-1e30, 1e30, -3e38, 0.0]], device=device)
    weights, experts = route(logits, torch.ones(4, device=device), 3)
    assert experts.tolist() == [[1, 3, 0]]
    assert weights.tolist() == [[1.0, 0.0, 0.0]]


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # the interpreter's, of the weights
def test_what_is_no_number_still_goes_to_experts_that_there_are(device: torch.device) -> None:
    bits = torch.tensor([0x7FC00000, -1, -0x400000], dtype=torch.int32, device=device)
    logits = bits.view(torch.float32)[:, None].repeat(1, 6)
    _, experts = route(logits, torch.ones(6, device=device), 6)
    assert experts.sort(dim=1).values.tolist() == [list(range(6))] * 3


def test_rows_of_logits_may_stand_apart(device: torch.device) -> None:
    wide = torch.randn(4, 40, generator=torch.Generator(device).manual_seed(1), device=device)
    weights, experts = route(wide[:, 3:19], torch.ones(16, device=device), 2)
    wanted, wanted_experts = route_reference(wide[:, 3:19].double(), torch.ones(16, device=device), 2)
    assert torch.equal(experts, wanted_experts)
    assert_close(weights, wanted, torch.float32)


def same_plan(got: Plan, wanted: Plan) -> bool:
    """Whether tiles in use are the same: what others hold is undefined."""
    used = int(wanted.num_tiles)
    assert [field.shape for field in got] == [field.shape for field in wanted]
    return got.num_tiles.tolist() == [used] and all(
        torch.equal(mine[:used].cpu(), its[:used]) for mine, its in zip(got[:2], wanted[:2], strict=True)
    )


def routes(num_tokens: int, num_experts: int, top_k: int, device: torch.device) -> Tensor:
    """[num_tokens, top_k] int32: each token's experts differ, the first ones being liked by most."""
    draws = torch.Generator().manual_seed(num_tokens)
    liked = torch.randn(num_tokens, num_experts, generator=draws) - torch.arange(num_experts) / 4
    return liked.topk(top_k).indices.int().to(device)


@pytest.mark.parametrize("num_tokens", [1, 7, 8, 9, 40, 513])
@pytest.mark.parametrize(("num_experts", "tile_rows"), [(2, 16), (11, 16), (19, 4)])
def test_plans_are_the_definition(num_tokens: int, num_experts: int, tile_rows: int, device: torch.device) -> None:
    experts = routes(num_tokens, num_experts, 2, device)
    with poisoned_memory():
        got = plan(experts, num_experts, tile_rows)
    assert same_plan(got, plan_reference(experts, num_experts, tile_rows))


@pytest.mark.parametrize("num_pairs", [15, 16, 17, CHUNK - 1, CHUNK, CHUNK + 1])
def test_one_expert_may_get_all(num_pairs: int, device: torch.device) -> None:
    experts = torch.full([num_pairs, 1], 3, dtype=torch.int32, device=device)
    got = plan(experts, 5, 16)
    assert same_plan(got, plan_reference(experts, 5, 16))
    assert int(got.num_tiles) == -(-num_pairs // 16)


def test_there_is_room_for_the_tiles_of_any_counts_and_no_more() -> None:
    needed: dict[int, int] = {}
    for counts in product(range(10), repeat=3):
        tiles = sum(-(-count // 4) for count in counts)
        needed[sum(counts)] = max(tiles, needed.get(sum(counts), 0))
    assert all(most_tiles(num_pairs, 3, 4) == needed[num_pairs] for num_pairs in range(10))


@pytest.mark.gpu
@pytest.mark.parametrize("num_tokens", [1, 64, 1024, 2048])
def test_routes_and_plans_are_the_definition_at_real_shapes(num_tokens: int, device: torch.device) -> None:
    logits = torch.randn(num_tokens, 128, generator=torch.Generator(device).manual_seed(1), device=device).bfloat16()
    weights, experts = route(logits, torch.ones(128, device=device), 8)
    wanted, wanted_experts = route_reference(logits.double(), torch.ones(128, device=device), 8)
    assert torch.equal(experts, wanted_experts)
    assert_close(weights, wanted, torch.float32)
    for tile_rows in (16, 128):
        assert same_plan(plan(experts, 128, tile_rows), plan_reference(experts, 128, tile_rows))


def test_they_compile_for_every_card_without_a_spill() -> None:
    pointers = {"logits_ptr": "*bf16", "scale_ptr": "*bf16", "weights_ptr": "*fp32", "experts_ptr": "*i32"}
    sizes = {"row_stride": "i32", "num_experts": "i32"}
    constants = {"TOP_K": 8, "SLOTS": 8, "BLOCK": 128}
    routing = Build("routing", "_route_kernel", pointers | sizes, constants, divisible=tuple(sizes), num_warps=1)
    written = {"pairs_ptr": "*i32", "tile_expert_ptr": "*i32", "num_tiles_ptr": "*i32", "num_tokens": "i32"}
    constants = {"TOP_K": 8, "EXPERTS": 128, "TILE_ROWS": 64, "CHUNK": CHUNK}
    planning = Build("routing", "_plan_kernel", {"experts_ptr": "*i32"} | written, constants, varying=("num_tokens",))
    for built in [built for results in compile_all([routing, planning]) for built in results]:
        assert built.fits
        assert built.spilled_bytes == 0
