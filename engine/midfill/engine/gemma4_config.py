"""What `config.json` of an autoregressive Gemma 4 and of its drafter says, as far as the text path needs it."""

from pathlib import Path
from typing import Any

from midfill.engine.config import Count, TextConfig, convert_text
from midfill.engine.errors import CheckpointError
from midfill.engine.json_files import read_json

TARGETS = ("gemma4", "gemma4_text", "gemma4_unified", "gemma4_unified_text")
DRAFTERS = ("gemma4_assistant", "gemma4_unified_assistant")
EXPERT_KEYS = ("num_experts", "top_k_experts", "moe_intermediate_size")

DEFAULTS = {
    "attention_k_eq_v": False,
    "num_kv_shared_layers": 0,
    "use_double_wide_mlp": False,
    "hidden_size_per_layer_input": 256,
    "final_logit_softcapping": None,
    "sliding_window": 512,
}
"""What transformers takes a missing key for, so what it leaves out when it saves."""
UNIFIED_DEFAULTS = {**DEFAULTS, "sliding_window": 1024, "max_position_embeddings": 262_144}
UNIFIED_ALWAYS = {"hidden_size_per_layer_input": 0, "enable_moe_block": False}
DRAFTER_ALWAYS = {"hidden_size_per_layer_input": 0, "enable_moe_block": False, "use_double_wide_mlp": False}
"""Keys that a kind of model has no choice in."""


class DrafterConfig(TextConfig, frozen=True, kw_only=True):
    """Shape of a drafter: its layers, of which none has K and V, and what ties them to a target."""

    backbone_hidden_size: Count
    """Hidden size of the target."""
    use_ordered_embeddings: bool
    num_centroids: Count
    centroid_intermediate_top_k: Count


def read_gemma4_config(path: Path) -> TextConfig:
    """The text model's shape in `path`, a `config.json`. Raises `CheckpointError` if this engine cannot run it."""
    return parse_gemma4_config(read_json(path, dict[str, Any]), path)


def parse_gemma4_config(raw: dict[str, Any], path: Path) -> TextConfig:
    """`read_gemma4_config` for a config already read; `path` only names it in errors."""
    kind = _kind(raw, TARGETS, path)
    text = raw if kind.endswith("_text") else _text_part(raw, path)
    text = {**_defaults(kind, text), **text, **(UNIFIED_ALWAYS if "unified" in kind else {})}
    config = convert_text(TextConfig, raw, text, _experts(text, path), path)
    shared = {layer.kind for layer in config.layers[config.num_kv_layers :]}
    if missing := shared - {layer.kind for layer in config.layers[: config.num_kv_layers]}:
        raise CheckpointError(path, f"a layer of its own K and V for {missing.pop()}", "none to share with")
    if config.hidden_size_per_layer_input and text.get("vocab_size_per_layer_input") not in (None, config.vocab_size):
        wanted = f"vocab_size_per_layer_input {config.vocab_size}"
        raise CheckpointError(path, wanted, text["vocab_size_per_layer_input"])
    return config


def read_drafter_config(path: Path) -> DrafterConfig:
    """The drafter's shape in `path`, a `config.json`. Raises `CheckpointError` if this engine cannot run it."""
    return parse_drafter_config(read_json(path, dict[str, Any]), path)


def parse_drafter_config(raw: dict[str, Any], path: Path) -> DrafterConfig:
    """`read_drafter_config` for a config already read; `path` only names it in errors."""
    kind = _kind(raw, DRAFTERS, path)
    text = _text_part(raw, path)
    text = {**_defaults(kind, text), **text, **DRAFTER_ALWAYS}
    own = {
        **_experts(text, path),
        "num_kv_shared_layers": text.get("num_hidden_layers"),
        "backbone_hidden_size": raw.get("backbone_hidden_size", 1536),
        "use_ordered_embeddings": raw.get("use_ordered_embeddings", False),
        "num_centroids": raw.get("num_centroids", 2048),
        "centroid_intermediate_top_k": raw.get("centroid_intermediate_top_k", 32),
    }
    config = convert_text(DrafterConfig, raw, text, own, path)
    if config.use_ordered_embeddings and config.vocab_size % config.num_centroids:
        raise CheckpointError(path, f"num_centroids that divides {config.vocab_size}", config.num_centroids)
    return config


def _kind(raw: dict[str, Any], kinds: tuple[str, ...], path: Path) -> str:
    kind = raw.get("model_type")
    if kind not in kinds:
        raise CheckpointError(path, f"model_type {' or '.join(map(repr, kinds))}", repr(kind))
    return kind


def _text_part(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    text = raw.get("text_config")
    if not isinstance(text, dict):
        raise CheckpointError(path, "a text_config object", repr(text))
    return text


def _defaults(kind: str, text: dict[str, Any]) -> dict[str, Any]:
    """What the missing keys of `text` stand for. Where full layers are spelled one by one, no key says their size."""
    sizes = {} if "per_layer_config" in text else {"global_head_dim": 512}
    return {**(UNIFIED_DEFAULTS if "unified" in kind else DEFAULTS), **sizes}


def _experts(text: dict[str, Any], path: Path) -> dict[str, Any]:
    """The sizes of the experts, none where the model is dense."""
    if not text.get("enable_moe_block", False):
        return dict.fromkeys(EXPERT_KEYS, 0)
    sizes = {key: text.get(key) for key in EXPERT_KEYS}
    for key, size in sizes.items():
        if not size:
            raise CheckpointError(path, f"{key}, as enable_moe_block is true", repr(size))
    return sizes
