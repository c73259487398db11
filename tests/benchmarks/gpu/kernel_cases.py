"""What each kernel is timed on: inputs of a model's own shapes, what must be moved, and what else can do the same."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from midfill.engine.config import FULL, SLIDING, LayerConfig, ModelConfig
from midfill.engine.device_canvas import MOST_STEPS
from midfill.kernels.attention import Past, addresses_of, attend, splits_of
from midfill.kernels.experts import run_experts, tile_rows_for
from midfill.kernels.gelu import gelu_mul, gelu_mul_reference
from midfill.kernels.probabilities import probabilities_in_place, probabilities_reference, soft_embedding
from midfill.kernels.qkv import qkv_norm_rope, qkv_norm_rope_reference
from midfill.kernels.residual import (
    FeedForwardNorms,
    attention_residual,
    attention_residual_reference,
    feed_forward_residual,
    feed_forward_residual_reference,
)
from midfill.kernels.rms_norm import rms_norm, rms_norm_reference
from midfill.kernels.routing import Plan, plan, route, route_reference
from midfill.kernels.row_statistics import row_statistics, row_statistics_reference
from midfill.kernels.settle import Canvases, Predicted, Rules, settle, settle_reference
from midfill.kernels.store import store
from midfill.kernels.tempering import Tempering

EPS = 1e-6


class Case(NamedTuple):
    """A kernel on inputs of one shape."""

    kernel: str
    shape: str
    draw: Callable[[], tuple[Any, ...]]
    """A fresh set of inputs, what does not vary from layer to layer excepted."""
    ours: Callable[..., Any]
    """Takes a set."""
    num_bytes: int | None = None
    """That it must move; None is each number of inputs and results once."""
    flops: int = 0
    library: dict[str, Callable[..., Any]] = {}  # noqa: RUF012
    """What others do the same with, by their names."""
    compiled: dict[str, Callable[..., Any]] = {}  # noqa: RUF012
    """The same, to be compiled first."""
    by: str = "midfill"
    """Whose `ours` is."""


class Place(NamedTuple):
    """Of which model the shapes are, and where inputs are drawn."""

    config: ModelConfig
    device: torch.device
    dtype: torch.dtype

    def numbers(self, *shape: int) -> Tensor:
        return torch.randn(shape, device=self.device, dtype=self.dtype)

    def integers(self, below: int, *shape: int) -> Tensor:
        return torch.randint(0, below, shape, device=self.device)

    def layer(self, kind: str) -> LayerConfig:
        return next(layer for layer in self.config.layers if layer.kind == kind)


def moved_bytes(case: Case, inputs: tuple[Any, ...]) -> int:
    """What `case` must move for a set of inputs."""
    return case.num_bytes or _size(inputs) + _size(case.ours(*inputs))


def _size(values: Any) -> int:
    if isinstance(values, Tensor):
        return values.numel() * values.element_size()
    return sum(map(_size, values)) if isinstance(values, (tuple, list)) else 0


def cases(place: Place, rows: int) -> Iterator[Case]:
    """All that runs in a pass over so many tokens, but attention."""
    yield from _norms(place, rows)
    yield from (_projected(place, rows, kind) for kind in (SLIDING, FULL))
    yield from _routes(place, rows)
    yield from _products(place, rows)


def _norms(place: Place, rows: int) -> Iterator[Case]:
    hidden, top_k = place.config.hidden_size, place.config.top_k_experts
    weight, scalar = place.numbers(hidden), torch.ones(1, device=place.device, dtype=place.dtype)
    norms = FeedForwardNorms(weight, weight, weight)
    x = partial(place.numbers, rows, hidden)
    shape = f"{rows} rows"

    def case(name: str, fast: Any, reference: Any, draw: Callable[[], tuple[Any, ...]]) -> Case:
        return Case(name, shape, draw, fast, compiled={"definition": reference})

    yield case("rms_norm", rms_norm, rms_norm_reference, lambda: (x(), weight, EPS))
    yield case(
        "attention_residual",
        attention_residual,
        attention_residual_reference,
        lambda: (x(), x(), weight, weight, weight, weight, EPS),
    )
    yield case(
        "feed_forward_residual",
        feed_forward_residual,
        feed_forward_residual_reference,
        lambda: (x(), x(), place.numbers(rows, top_k, hidden), norms, scalar, weight, EPS),
    )
    wide = 2 * place.config.intermediate_size
    yield case("gelu_mul", gelu_mul, gelu_mul_reference, lambda: (place.numbers(rows, wide),))


def _projected(place: Place, rows: int, kind: str) -> Case:
    layer = place.layer(kind)
    heads, kv_heads, size = layer.num_heads, layer.num_kv_heads, layer.head_dim
    width = (heads + kv_heads * (2 if layer.is_sliding else 1)) * size
    weight = place.numbers(size)
    frequencies = torch.rand(layer.rotary_dims // 2, device=place.device)
    start = torch.tensor([4000], device=place.device)
    k_out, v_out = torch.empty(2, 1, kv_heads, rows, size, device=place.device, dtype=place.dtype)

    def ours(projected: Tensor) -> Tensor:
        return qkv_norm_rope(projected, weight, weight, frequencies, start, k_out, v_out, heads, EPS)

    def definition(projected: Tensor) -> tuple[Tensor, ...]:
        return qkv_norm_rope_reference(projected, weight, weight, frequencies, start, heads, kv_heads, EPS)

    num_bytes = rows * (width + (heads + 2 * kv_heads) * size) * place.dtype.itemsize
    return Case(
        "qkv_norm_rope",
        f"{rows} rows, {kind}",
        lambda: (place.numbers(1, rows, width),),
        ours,
        num_bytes,
        compiled={"definition": definition},
    )


def _routes(place: Place, rows: int) -> Iterator[Case]:
    experts, top_k = place.config.num_experts, place.config.top_k_experts
    scale = torch.ones(experts, device=place.device)
    yield Case(
        "route",
        f"{rows} rows",
        lambda: (place.numbers(rows, experts), scale, top_k),
        route,
        compiled={"definition": route_reference},
    )

    def draw() -> tuple[Any, ...]:
        chosen = route(place.numbers(rows, experts), scale, top_k)[1]
        return chosen, experts, tile_rows_for(chosen.numel(), experts)

    yield Case("plan", f"{rows} rows", draw, plan)


def _products(place: Place, rows: int) -> Iterator[Case]:
    """The library's own, which our kernels stand between."""
    config, kinds = place.config, {kind: place.layer(kind) for kind in (SLIDING, FULL)}
    sizes = {
        "gate_up": (2 * config.intermediate_size, config.hidden_size),
        "down": (config.hidden_size, config.intermediate_size),
        "router": (config.num_experts, config.hidden_size),
        "lm_head": (config.vocab_size, config.hidden_size),
    }
    for kind, layer in kinds.items():
        kv_kinds = 2 if layer.is_sliding else 1
        sizes[f"qkv {kind}"] = (layer.num_heads + kv_kinds * layer.num_kv_heads) * layer.head_dim, config.hidden_size
        sizes[f"out {kind}"] = config.hidden_size, layer.num_heads * layer.head_dim
    for name, (out, size) in sizes.items():
        yield Case(
            "product",
            f"{rows} rows, {name}",
            lambda out=out, size=size: (place.numbers(rows, size), place.numbers(out, size).T),
            torch.mm,
            flops=2 * rows * out * size,
            by="torch",
        )


def attention_case(place: Place, kind: str, batch: int, tokens: int, past: int, causal: bool) -> Case:
    """New tokens behind a cached prompt: canvases that share it, or a prompt's next part."""
    layer, window = place.layer(kind), place.config.sliding_window if kind == SLIDING else None
    heads, kv_heads, size = layer.num_heads, layer.num_kv_heads, layer.head_dim
    seen = past if window is None else min(past, window - 1)
    length = torch.tensor([past], device=place.device)

    def draw() -> tuple[Tensor, ...]:
        q = place.numbers(batch, heads, tokens, size)
        k, v = place.numbers(2, batch, kv_heads, tokens, size)
        past_k, past_v = place.numbers(2, kv_heads, past, size)
        addresses = torch.tensor(addresses_of(past_k, past_v), device=place.device)
        return q, k, v, past_k, past_v, addresses

    def ours(q: Tensor, k: Tensor, v: Tensor, past_k: Tensor, past_v: Tensor, addresses: Tensor) -> Tensor:
        splits = splits_of(q, kv_heads, window, place.config.max_position_embeddings)
        return attend(q, k, v, Past(addresses, length), window, causal, splits)

    def joined(k: Tensor, past_k: Tensor) -> Tensor:
        return torch.cat((past_k[:, past - seen :].expand(batch, -1, -1, -1), k), dim=2)

    def by_sdpa(q: Tensor, k: Tensor, v: Tensor, past_k: Tensor, past_v: Tensor, _: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, joined(k, past_k), joined(v, past_v), scale=1.0, enable_gqa=True)

    def by_flex(q: Tensor, k: Tensor, v: Tensor, past_k: Tensor, past_v: Tensor, _: Tensor) -> Any:
        from torch.nn.attention.flex_attention import flex_attention  # here: it takes a second

        return flex_attention(q, joined(k, past_k), joined(v, past_v), scale=1.0, enable_gqa=True)

    kv_rows = seen + batch * tokens
    own_keys = (tokens + 1) / 2 if causal else tokens
    return Case(
        "attend",
        f"{batch} x {tokens} {'causal' if causal else 'canvas'}, past {past}, {kind}",
        draw,
        ours,
        place.dtype.itemsize * size * (2 * kv_heads * kv_rows + 2 * batch * heads * tokens),
        int(4 * batch * tokens * heads * size * (seen + own_keys)),
        # As others can be used: with the prompt's part joined to the canvas's own.
        library={} if causal else {"SDPA with cat": by_sdpa},
        compiled={} if causal else {"FlexAttention with cat": by_flex},
    )


def expert_cases(place: Place, token_counts: tuple[int, ...]) -> Iterator[Case]:
    """One layer's experts over so many tokens each."""
    config = place.config
    experts, hidden, size = config.num_experts, config.hidden_size, config.moe_intermediate_size
    gate_up, down = place.numbers(experts, 2 * size, hidden), place.numbers(experts, hidden, size)
    scale = torch.ones(experts, device=place.device)
    for tokens in token_counts:
        pairs = tokens * config.top_k_experts

        def draw(tokens: int = tokens, pairs: int = pairs) -> tuple[Any, ...]:
            weights, chosen = route(place.numbers(tokens, experts), scale, config.top_k_experts)
            return place.numbers(tokens, hidden), weights, chosen, plan(chosen, experts, tile_rows_for(pairs, experts))

        def ours(x: Tensor, weights: Tensor, _: Tensor, tiles: Plan) -> Tensor:
            return run_experts(x, weights, tiles, gate_up, down)

        def grouped(x: Tensor, weights: Tensor, chosen: Tensor, _: Plan) -> Tensor:
            return _by_grouped_mm(x, weights, chosen, gate_up, down)

        distinct = len(draw()[2].unique())
        num_bytes = place.dtype.itemsize * (distinct * 3 * hidden * size + (tokens + pairs) * hidden)
        library = {"grouped_mm with sort": grouped}
        yield Case("run_experts", f"{tokens} tokens", draw, ours, num_bytes, 6 * pairs * hidden * size, library)


def _by_grouped_mm(x: Tensor, weights: Tensor, chosen: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
    """`run_experts` with the library's grouped product, which wants tokens sorted and copied, and results put back."""
    flat = chosen.flatten().long()
    order = flat.argsort(stable=True)
    counts = torch.zeros(len(down), dtype=torch.int32, device=x.device)
    ends = counts.scatter_add_(0, flat, torch.ones_like(flat, dtype=torch.int32)).cumsum(0, dtype=torch.int32)
    gates = F.grouped_mm(x[order // chosen.shape[1]], gate_up.transpose(1, 2), offs=ends)
    mixed = F.grouped_mm(gelu_mul(gates), down.transpose(1, 2), offs=ends)
    out = torch.empty_like(mixed)
    out[order] = mixed * weights.flatten()[order, None].to(mixed.dtype)
    return out.view(*chosen.shape, x.shape[1])


def vocabulary_cases(place: Place, rows: int) -> Iterator[Case]:
    """From the logits of so many positions to what the next step is conditioned on."""
    vocab, hidden = place.config.vocab_size, place.config.hidden_size
    tempering = Tempering(
        place.config.final_logit_softcapping,
        torch.zeros(1, dtype=torch.int64, device=place.device),
        torch.full((MOST_STEPS,), 0.8, device=place.device),
        torch.zeros(2, vocab, dtype=torch.uint8, device=place.device),
        torch.zeros(rows, dtype=torch.bool, device=place.device),
    )
    seed, pinned = torch.zeros(1, dtype=torch.int64, device=place.device), tempering.is_first
    tokens, shape = torch.zeros(rows, dtype=torch.int64, device=place.device), f"{rows} rows"
    logits_bytes = rows * vocab * place.dtype.itemsize

    def logits() -> Tensor:
        return place.numbers(rows, vocab)

    yield Case(
        "row_statistics",
        shape,
        lambda: (logits(), tempering, seed),
        row_statistics,
        logits_bytes,
        compiled={"definition": row_statistics_reference},
    )

    def tempered() -> tuple[Any, ...]:
        drawn = logits()
        return drawn, tempering, drawn.float().logsumexp(dim=-1), pinned, tokens

    reference = {"definition": probabilities_reference}
    yield Case("probabilities_in_place", shape, tempered, probabilities_in_place, 2 * logits_bytes, compiled=reference)
    embedding = place.numbers(vocab, hidden)
    yield Case(
        "soft_embedding",
        shape,
        lambda: (logits().softmax(dim=-1), embedding, hidden**0.5),
        soft_embedding,
        flops=2 * rows * vocab * hidden,
    )


def settle_case(place: Place, batch: int, canvas: int) -> Case:
    """The end of a step over so many canvases."""
    vocab, device = place.config.vocab_size, place.device
    step = torch.ones(1, dtype=torch.int64, device=device)
    hole = torch.ones(batch, canvas, dtype=torch.bool, device=device)

    def draw() -> tuple[Any, ...]:
        ids = partial(place.integers, vocab, batch, canvas)
        entropies = torch.rand(batch, canvas, device=device)
        stable = torch.zeros(batch, dtype=torch.int64, device=device)
        canvases = Canvases(ids(), ids(), entropies, stable, stable.bool())
        return canvases, Predicted(ids(), ids(), torch.rand_like(entropies)), ids(), hole

    rest = {"rules": Rules(0.1, 1, -1.0), "vocab": vocab, "step": step, "seed": step}
    reference = {"definition": partial(settle_reference, **rest)}
    return Case("settle", f"{batch} x {canvas}", draw, partial(settle, **rest), compiled=reference)


def store_case(place: Place, tokens: int) -> Case:
    """K and V of a pass over so many tokens, on all sliding layers."""
    layer, count = place.layer(SLIDING), sum(layer.is_sliding for layer in place.config.layers)
    rows, length = torch.arange(count, device=place.device), torch.zeros(1, dtype=torch.int64, device=place.device)

    def draw() -> tuple[Tensor, ...]:
        slots = place.numbers(count, 2, layer.num_kv_heads, tokens, layer.head_dim)
        table = torch.tensor([(*addresses_of(*slot), 0) for slot in slots], device=place.device)
        return torch.randn_like(slots), table, slots

    def ours(own: Tensor, table: Tensor, _slots: Tensor) -> None:
        store(own, table, rows, length)

    return Case("store", f"{tokens} tokens, {count} layers", draw, ours)
