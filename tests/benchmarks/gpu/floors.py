"""The least that a pass must move and multiply: each weight that it uses read once, what it cannot keep moved once.

Bytes are those of the weights, of experts as many as the tokens chose distinct ones; of the cached prompt what each
layer sees; and twenty rows of hidden size a token and layer for what lies between kernels. Operations are two a token
and weight that it uses, and four a number of each head's query and key that it sees.
"""

from typing import NamedTuple

from midfill.engine.config import LayerConfig, ModelConfig
from midfill.engine.gemma4_config import DrafterConfig

WEIGHT_BYTES = 2
"""bfloat16, as are K, V and all that lies between kernels."""
ROWS_BETWEEN = 20


class Cost(NamedTuple):
    """Of one pass."""

    num_bytes: float
    flops: float

    def plus(self, num_bytes: float, flops: float) -> "Cost":
        return Cost(self.num_bytes + num_bytes, self.flops + flops)

    def times(self, count: int) -> "Cost":
        return Cost(count * self.num_bytes, count * self.flops)


def read_cost(config: ModelConfig, tokens: int, context: int, distinct: float, with_logits: bool) -> Cost:
    """Causal: so many tokens behind a prompt of `context`. `distinct` experts a layer were chosen, on average."""
    keys = {layer: _causal_keys(config, layer, tokens, context) for layer in config.layers}
    cost = _layers_cost(config, tokens, context, distinct, keys)
    if not with_logits:
        return cost
    embedding = config.vocab_size * config.hidden_size
    # Logits written, and read where the likeliest is looked for.
    return cost.plus(WEIGHT_BYTES * (embedding + 2 * tokens * config.vocab_size), 2 * tokens * embedding)


def draft_cost(drafter: DrafterConfig, target: ModelConfig, context: int) -> Cost:
    """A draft: all weights of the drafter, whose embedding is its head, and what each layer sees of the target's KV."""
    hidden, backbone = drafter.hidden_size, drafter.backbone_hidden_size
    weights = hidden * (drafter.vocab_size + 3 * backbone)
    cached, keys = {}, 0
    for layer in drafter.layers:
        weights += 2 * hidden * layer.num_heads * layer.head_dim + 3 * hidden * drafter.intermediate_size
        seen = min(context, target.sliding_window + 1) if layer.is_sliding else context
        keys += seen * layer.num_heads * layer.head_dim
        # Layers of a kind read the same of the target's, which stays in the card's cache from one to the next.
        cached[layer.kind] = 2 * layer.num_kv_heads * layer.head_dim * seen
    return Cost(WEIGHT_BYTES * (weights + sum(cached.values())), 2 * weights + 4 * keys)


def step_cost(config: ModelConfig, canvas: int, canvases: int, context: int, distinct: float) -> Cost:
    """A denoise step, self-conditioned, of canvases that share a prompt."""
    tokens = canvas * canvases
    keys = {layer: tokens * (_seen(config, layer, context) + canvas) for layer in config.layers}
    cost = _layers_cost(config, tokens, context, distinct, keys)
    embedding = config.vocab_size * config.hidden_size
    mixing = 3 * config.hidden_size * config.intermediate_size
    # The embedding is read for the logits and for the soft embedding; logits and probabilities each written and read.
    moved = 2 * embedding + mixing + 4 * tokens * config.vocab_size
    return cost.plus(WEIGHT_BYTES * moved, 2 * tokens * (2 * embedding + mixing))


def _layers_cost(config: ModelConfig, tokens: int, context: int, distinct: float, keys: dict[LayerConfig, int]) -> Cost:
    """Of all layers; `keys` are how many keys all tokens see together."""
    expert = 3 * config.hidden_size * config.moe_intermediate_size
    router = config.hidden_size * config.num_experts
    dense = 3 * config.hidden_size * config.intermediate_size
    total = Cost(0.0, 0.0)
    for layer in config.layers:
        always = _attention_weights(config, layer) + dense + router
        cached = 2 * layer.num_kv_heads * layer.head_dim * _seen(config, layer, context)
        between = ROWS_BETWEEN * tokens * config.hidden_size
        used = always + config.top_k_experts * expert
        flops = 2 * tokens * used + 4 * layer.num_heads * layer.head_dim * keys[layer]
        total = total.plus(WEIGHT_BYTES * (always + distinct * expert + cached + between), flops)
    return total


def _attention_weights(config: ModelConfig, layer: LayerConfig) -> int:
    kinds_of_kv = 2 if layer.is_sliding else 1  # full layers take V from K
    heads = 2 * layer.num_heads + kinds_of_kv * layer.num_kv_heads
    return config.hidden_size * layer.head_dim * heads


def _seen(config: ModelConfig, layer: LayerConfig, context: int) -> int:
    """Cached tokens that a canvas sees."""
    return min(context, config.sliding_window - 1) if layer.is_sliding else context


def _causal_keys(config: ModelConfig, layer: LayerConfig, tokens: int, context: int) -> int:
    most = config.sliding_window if layer.is_sliding else context + tokens
    return sum(min(context + token + 1, most) for token in range(tokens))
