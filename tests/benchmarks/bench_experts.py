"""What a layer's experts cost on a card, and the same by torch's grouped products: a JSON line a number of tokens.

The shape is 26B-A4B's; tokens go to experts drawn evenly. Each time is per layer, of a replayed CUDA graph of several
layers, whose weights are more than any cache holds. `floor_us` is the weights of the experts that were drawn at the
bandwidth of a copy, measured first. `--tilings` tries other tile and program sizes instead, a line each. Nothing is
measured where no card is.
"""

import argparse
import json
import logging
import statistics
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from midfill.kernels.experts import TILINGS, Tiling, run_experts, tile_rows_for
from midfill.kernels.gelu import gelu_mul
from midfill.kernels.routing import plan, route

TOKENS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
NUM_EXPERTS, TOP_K, HIDDEN, SIZE = 128, 8, 2816, 704
NUM_LAYERS = 3
"""4.6 GB."""
REPEATS = 20
COPIED_BYTES = 1 << 30

CANDIDATES = {
    1: {16: ((128, 128, 4, 4), (128, 128, 4, 5), (128, 256, 4, 3), (64, 256, 4, 4), (64, 128, 4, 6))},
    64: {
        16: ((128, 128, 4, 4), (128, 128, 4, 3), (128, 256, 4, 2), (64, 256, 4, 4), (256, 128, 8, 3)),
        32: ((128, 128, 4, 3),),
    },
    256: {
        16: ((128, 128, 4, 4),),
        32: ((128, 128, 4, 3), (128, 128, 4, 4), (128, 256, 4, 2), (256, 128, 8, 3)),
        64: ((128, 128, 4, 3),),
    },
    1024: {
        32: ((128, 128, 4, 3),),
        64: ((128, 128, 4, 3), (128, 128, 4, 4), (128, 128, 8, 4), (256, 128, 8, 3)),
        128: ((128, 128, 8, 3), (128, 128, 8, 4), (256, 128, 8, 3)),
    },
}
"""Tokens -> rows of a tile -> programs to try; some want more shared memory than small cards have."""

log = logging.getLogger(__name__)


class Layer(NamedTuple):
    """Random weights, and one pass's tokens."""

    gate_up: Tensor
    down: Tensor
    logits: Tensor
    x: Tensor


def layers_of(num_tokens: int, weights: list[tuple[Tensor, Tensor]]) -> list[Layer]:
    device = weights[0][0].device
    logits = torch.randn(len(weights), num_tokens, NUM_EXPERTS, device=device).bfloat16()
    x = torch.randn(len(weights), num_tokens, HIDDEN, device=device).bfloat16()
    return [Layer(*pair, *tokens) for pair, tokens in zip(weights, zip(logits, x, strict=True), strict=True)]


def microseconds(action: Callable[[], object]) -> float:
    """Median time of a replay of what `action` starts on the card."""
    action()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        action()
    times = []
    for _ in range(REPEATS):
        began, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        began.record()
        graph.replay()
        ended.record()
        ended.synchronize()
        times.append(began.elapsed_time(ended) * 1e3)
    return statistics.median(times)


def bytes_per_microsecond() -> float:
    """What a copy reads and writes."""
    source = torch.ones(COPIED_BYTES, dtype=torch.uint8, device="cuda")
    out = torch.empty_like(source)
    return 2 * COPIED_BYTES / microseconds(lambda: out.copy_(source))


def routes_of(layer: Layer) -> tuple[Tensor, Tensor]:
    return route(layer.logits, torch.ones(NUM_EXPERTS, device=layer.logits.device), TOP_K)


def by_kernels(layer: Layer, weights: Tensor, experts: Tensor, tile_rows: int) -> Tensor:
    """[N, k, hidden]."""
    tiles = plan(experts, NUM_EXPERTS, tile_rows)
    return run_experts(layer.x, weights, tiles, layer.gate_up, layer.down)


def by_torch(layer: Layer, weights: Tensor, experts: Tensor) -> Tensor:
    """The same with `grouped_mm`, which wants tokens sorted and copied, and results put back."""
    flat = experts.flatten().long()
    order = flat.argsort(stable=True)
    counts = torch.zeros(NUM_EXPERTS, dtype=torch.int32, device=flat.device)
    ends = counts.scatter_add_(0, flat, torch.ones_like(flat, dtype=torch.int32)).cumsum(0, dtype=torch.int32)
    multiply = torch.nn.functional.grouped_mm
    gate_up = multiply(layer.x[order // TOP_K], layer.gate_up.transpose(1, 2), offs=ends)
    mixed = multiply(gelu_mul(gate_up), layer.down.transpose(1, 2), offs=ends)
    out = torch.empty_like(mixed)
    out[order] = mixed * weights.flatten()[order, None].to(mixed.dtype)
    return out.view(*experts.shape, HIDDEN)


class Case:
    """Several layers' tokens and routes, and what of them takes how long."""

    def __init__(self, num_tokens: int, weights: list[tuple[Tensor, Tensor]]) -> None:
        self.layers = layers_of(num_tokens, weights)
        self.routes = [routes_of(layer) for layer in self.layers]
        self.distinct = sum(len(experts.unique()) for _, experts in self.routes) / len(self.routes)

    def layer_us(self, action: Callable[[Layer, Tensor, Tensor], object]) -> float:
        everything = list(zip(self.layers, self.routes, strict=True))
        return microseconds(lambda: [action(layer, *routes) for layer, routes in everything]) / len(everything)

    def kernels_us(self, tile_rows: int) -> float:
        return self.layer_us(lambda layer, weights, experts: by_kernels(layer, weights, experts, tile_rows))

    def floor_us(self, speed: float) -> float:
        return self.distinct * 3 * HIDDEN * SIZE * self.layers[0].down.element_size() / speed


def measure(num_tokens: int, weights: list[tuple[Tensor, Tensor]], speed: float) -> dict[str, Any]:
    case = Case(num_tokens, weights)
    rows = tile_rows_for(num_tokens * TOP_K, NUM_EXPERTS)
    router = torch.randn(NUM_EXPERTS, HIDDEN, device="cuda").bfloat16()
    kernels_us, floor_us = case.kernels_us(rows), case.floor_us(speed)
    # Elsewhere than on Hopper, torch takes one expert after the other.
    is_hopper = torch.cuda.get_device_capability() == (9, 0)
    return {
        "bench": "experts",
        "machine": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "triton": triton.__version__,
        "tokens": num_tokens,
        "tile_rows": rows,
        "distinct_experts": round(case.distinct, 1),
        "router_us": round(case.layer_us(lambda layer, *_: torch.nn.functional.linear(layer.x, router)), 2),
        "route_us": round(case.layer_us(lambda layer, *_: routes_of(layer)), 2),
        "plan_us": round(case.layer_us(lambda _, __, experts: plan(experts, NUM_EXPERTS, rows)), 2),
        "plan_and_run_us": round(kernels_us, 1),
        "grouped_mm_us": round(case.layer_us(by_torch), 1) if is_hopper else None,
        "floor_us": round(floor_us, 1),
        "copy_gb_s": round(speed / 1e3, 1),
        "share_of_copy": round(floor_us / kernels_us, 3),
    }


def try_tilings(num_tokens: int, weights: list[tuple[Tensor, Tensor]], speed: float) -> Iterator[dict[str, Any]]:
    """A result a candidate; the share is nothing where it does not fit the card."""
    case = Case(num_tokens, weights)
    for rows, candidates in CANDIDATES[num_tokens].items():
        usual = TILINGS[rows]
        for candidate in candidates:
            TILINGS[rows] = Tiling(*candidate)
            try:
                share = round(case.floor_us(speed) / case.kernels_us(rows), 3)
            except triton.OutOfResources:
                share = None
            finally:
                TILINGS[rows] = usual
            yield {"tokens": num_tokens, "tile_rows": rows, "tiling": candidate, "share_of_copy": share}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tilings", action="store_true", help="try other sizes of tiles and programs")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        log.warning("no card: nothing measured")
        return
    torch.manual_seed(0)
    speed = bytes_per_microsecond()
    shapes = (NUM_EXPERTS, 2 * SIZE, HIDDEN), (NUM_EXPERTS, HIDDEN, SIZE)
    weights = [
        (torch.randn(shapes[0], device="cuda", dtype=torch.bfloat16), torch.randn(shapes[1], device="cuda").bfloat16())
        for _ in range(NUM_LAYERS)
    ]
    if arguments.tilings:
        results = (result for num_tokens in CANDIDATES for result in try_tilings(num_tokens, weights, speed))
    else:
        results = (measure(num_tokens, weights, speed) for num_tokens in TOKENS)
    for result in results:
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
