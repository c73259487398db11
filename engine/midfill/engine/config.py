"""What `config.json` of a `diffusion_gemma` checkpoint says, as far as the text path needs it.

What its text_config has in common with those of the autoregressive models, `gemma4_config.py` reads here too.
"""

from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec

from midfill.engine.errors import CheckpointError
from midfill.engine.json_files import read_json

SLIDING: Final = "sliding_attention"
FULL: Final = "full_attention"

SUPPORTED = {
    "hidden_activation": ("gelu_pytorch_tanh",),
    "attention_bias": (False,),
    "use_bidirectional_attention": ("vision", None),
    "tie_word_embeddings": (True,),
}
"""Keys of text_config that change the computation, and the values that this engine computes."""

AS_DIFFUSION_GEMMA = {
    "attention_k_eq_v": True,
    "num_kv_shared_layers": 0,
    "use_double_wide_mlp": False,
    "hidden_size_per_layer_input": 0,
}
"""Keys that autoregressive models choose by; DiffusionGemma has no choice, whatever its config says."""

Count = Annotated[int, msgspec.Meta(gt=0)]
CountOrNone = Annotated[int, msgspec.Meta(ge=0)]


class LayerConfig(msgspec.Struct, frozen=True):
    """The attention shape of one layer. An even number `rotary_dims` of the `head_dim` dimensions rotate."""

    kind: Literal["sliding_attention", "full_attention"]
    num_heads: Count
    num_kv_heads: Count
    head_dim: Annotated[int, msgspec.Meta(gt=0, multiple_of=2)]
    rope_theta: float
    rotary_dims: Annotated[int, msgspec.Meta(ge=0)]

    @property
    def is_sliding(self) -> bool:
        return self.kind == SLIDING


class TextConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Shape of a Gemma 4 text model; names are those of the official `config.json`."""

    vocab_size: Count
    hidden_size: Count
    intermediate_size: Count
    moe_intermediate_size: CountOrNone
    num_experts: CountOrNone
    """0 in a dense model."""
    top_k_experts: CountOrNone
    attention_k_eq_v: bool = True
    """Full layers take V from the K projection."""
    num_kv_shared_layers: CountOrNone = 0
    """So many last layers use the K and V of layers before them."""
    use_double_wide_mlp: bool = False
    """Those layers have an MLP of twice the width."""
    hidden_size_per_layer_input: CountOrNone = 0
    """Size of the embedding that each token has for each layer."""
    sliding_window: Count
    rms_norm_eps: float
    final_logit_softcapping: float | None
    max_position_embeddings: Count
    layers: tuple[LayerConfig, ...]
    pad_token_id: int
    bos_token_id: int | None
    eos_token_ids: tuple[int, ...]

    @property
    def num_kv_layers(self) -> int:
        """The first so many layers have K and V of their own."""
        return len(self.layers) - self.num_kv_shared_layers

    def last_kv_layer(self, kind: str) -> int:
        """The last layer of `kind` that has K and V of its own. Raises `ValueError` if none has."""
        return max(index for index in range(self.num_kv_layers) if self.layers[index].kind == kind)

    def kv_layer(self, index: int) -> int:
        """The layer whose K and V layer `index` attends to, mostly its own."""
        return index if index < self.num_kv_layers else self.last_kv_layer(self.layers[index].kind)

    @property
    def kv_values_per_token(self) -> int:
        """Numbers that one cached token keeps: K and V over all layers that have them."""
        return sum(2 * layer.num_kv_heads * layer.head_dim for layer in self.layers[: self.num_kv_layers])


class ModelConfig(TextConfig, frozen=True, kw_only=True):
    """Shape of a DiffusionGemma text model."""

    moe_intermediate_size: Count
    num_experts: Count
    top_k_experts: Count
    canvas_length: Annotated[int, msgspec.Meta(ge=4)]


Shape = TypeVar("Shape", bound=TextConfig)


def read_config(path: Path) -> ModelConfig:
    """The model shape in `path`, a `config.json`. Raises `CheckpointError` if this engine cannot run it."""
    return parse_config(read_json(path, dict[str, Any]), path)


def parse_config(raw: dict[str, Any], path: Path) -> ModelConfig:
    """`read_config` for a config already read; `path` only names it in errors."""
    if raw.get("model_type") != "diffusion_gemma":
        raise CheckpointError(path, "model_type 'diffusion_gemma'", repr(raw.get("model_type")))
    text = raw.get("text_config")
    if not isinstance(text, dict):
        raise CheckpointError(path, "a text_config object", repr(text))
    own = {"canvas_length": _first(raw.get("canvas_length"), 256)}
    return convert_text(ModelConfig, raw, {**text, **AS_DIFFUSION_GEMMA}, own, path)


def convert_text(
    shape: type[Shape], raw: dict[str, Any], text: dict[str, Any], own: dict[str, Any], path: Path
) -> Shape:
    """A config of type `shape` from the whole config, its text part, and fields `own` that neither says as it is.

    Raises `CheckpointError`.
    """
    _check_supported(raw, text, path)
    try:
        config = msgspec.convert({**_text_fields(shape, raw, text), **own}, shape)
        _check_consistent(config, text)
    except KeyError as error:
        raise CheckpointError(path, f"text_config to have {error}", "no such key") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise CheckpointError(path, "a valid text_config", str(error)) from None
    return config


def _check_supported(raw: dict[str, Any], text: dict[str, Any], path: Path) -> None:
    if quantisation := raw.get("quantization_config") or text.get("quantization_config"):
        method = quantisation.get("quant_method") if isinstance(quantisation, dict) else quantisation
        wanted = "an unquantised checkpoint (float32, bfloat16 or float16)"
        raise CheckpointError(path, wanted, f"quantisation {method!r}")
    for key, values in SUPPORTED.items():
        if text.get(key, values[0]) not in values:
            raise CheckpointError(path, f"{key} {' or '.join(map(repr, values))}", repr(text[key]))


def _text_fields(shape: type[TextConfig], raw: dict[str, Any], text: dict[str, Any]) -> dict[str, Any]:
    """The fields of `shape` that the text part says, their types not yet checked."""
    copied = {name: text[name] for name in shape.__struct_fields__ if name in text}
    eos = _first(raw.get("eos_token_id"), text.get("eos_token_id"), 1)
    return {
        "rms_norm_eps": 1e-6,
        "final_logit_softcapping": 30.0,
        "max_position_embeddings": 131_072,
        "bos_token_id": 2,
        **copied,
        "layers": [_layer_config(text, index) for index in range(len(text["layer_types"]))],
        "pad_token_id": _first(text.get("pad_token_id"), raw.get("pad_token_id"), 0),
        "eos_token_ids": eos if isinstance(eos, list) else [eos],
    }


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)


def _layer_config(text: dict[str, Any], index: int) -> dict[str, Any]:
    """Layer `index` in either spelling: `global_*` keys for full layers, or `per_layer_config` overrides."""
    kind = text["layer_types"][index]
    overrides = dict((text.get("per_layer_config") or {}).get(str(index), {}))
    head_dim, num_kv_heads = text["head_dim"], text["num_key_value_heads"]
    if kind == FULL:
        head_dim = text.get("global_head_dim") or head_dim
        if text["attention_k_eq_v"]:
            num_kv_heads = text.get("num_global_key_value_heads") or num_kv_heads
    head_dim = overrides.pop("head_dim", head_dim)
    num_kv_heads = overrides.pop("num_key_value_heads", num_kv_heads)
    if overrides:
        raise ValueError(f"per_layer_config of layer {index} sets {', '.join(overrides)}")
    rope_theta, rotary_fraction = _rope(text["rope_parameters"][kind], kind)
    return {
        "kind": kind,
        "num_heads": text["num_attention_heads"],
        "num_kv_heads": num_kv_heads,
        "head_dim": head_dim,
        "rope_theta": rope_theta,
        "rotary_dims": 2 * int(rotary_fraction * head_dim // 2),
    }


def _rope(rope: dict[str, Any], kind: str) -> tuple[float, float]:
    """(theta, fraction of the head that rotates)."""
    rope_type = rope.get("rope_type", "default")
    if rope_type not in ("default", "proportional") or rope.get("factor", 1.0) != 1.0:
        raise ValueError(f"rope_parameters of {kind} ask for {rope_type}, factor {rope.get('factor', 1.0)}")
    return rope["rope_theta"], rope.get("partial_rotary_factor", 1.0) if rope_type == "proportional" else 1.0


def _check_consistent(config: TextConfig, text: dict[str, Any]) -> None:
    """Raises `ValueError` where two keys contradict each other."""
    layers = config.layers
    if len(layers) != text["num_hidden_layers"]:
        raise ValueError(f"num_hidden_layers is {text['num_hidden_layers']}, but {len(layers)} layer_types")
    if len(set(layers)) != len({layer.kind for layer in layers}):
        raise ValueError("layers of the same kind differ in shape")
    for layer in layers:
        if layer.rotary_dims > layer.head_dim:
            raise ValueError(f"{layer.rotary_dims} of {layer.head_dim} dimensions rotate")
        if layer.num_heads % layer.num_kv_heads:
            raise ValueError(f"{layer.num_heads} attention heads over {layer.num_kv_heads} KV heads")
    if config.num_kv_layers < 0:
        raise ValueError(f"num_kv_shared_layers is {config.num_kv_shared_layers}, but {len(layers)} layers")
    if config.top_k_experts > config.num_experts:
        raise ValueError(f"top_k_experts is {config.top_k_experts}, but {config.num_experts} num_experts")
    if not config.eos_token_ids:
        raise ValueError("eos_token_id names no token")
    for token in (config.pad_token_id, *config.eos_token_ids):
        if not 0 <= token < config.vocab_size:
            raise ValueError(f"pad_token_id or eos_token_id is {token}, but vocab_size {config.vocab_size}")
