"""transformers' DiffusionGemma on the weights of a model of ours, not copies of them: both fit on one card."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from tests.benchmarks.gpu.large_model import CANVAS_LENGTH
from torch import Tensor, nn
from transformers import DiffusionGemmaConfig, DiffusionGemmaForBlockDiffusion

from midfill.engine.diffusion_gemma import DiffusionGemma

VISION = {
    "model_type": "gemma4_vision",
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "position_embedding_size": 16,
}
"""It wants a vision tower; this one is never used."""
SCALAR = "encoder_layer_scalar"


def same_in_transformers(model: DiffusionGemma, text: dict[str, Any]) -> Any:
    """The model with text_config `text` that shares the tensors of `model`."""
    vocab_size, weight = text["vocab_size"], model.embed_tokens.weight
    attention: Any = {"attn_implementation": "sdpa"}
    config = DiffusionGemmaConfig(
        text_config={"model_type": "diffusion_gemma_text", **text},
        vision_config=VISION,
        canvas_length=CANVAS_LENGTH,
        boi_token_id=vocab_size - 3,
        eoi_token_id=vocab_size - 2,
        image_token_id=vocab_size - 1,
        **attention,
    )
    with _parameters_on_meta():
        theirs = DiffusionGemmaForBlockDiffusion(config)
    missing = theirs.load_state_dict(_renamed(model), assign=True, strict=False).missing_keys
    assert all("vision" in name for name in missing), missing
    for module in theirs.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if not buffer.is_meta:
                module.register_buffer(name, buffer.to(weight.device), name not in module._non_persistent_buffers_set)
    return theirs.eval().requires_grad_(False)


def _renamed(model: DiffusionGemma) -> dict[str, Tensor]:
    """The tensors of `model` by transformers' names: in the decoder, in the encoder, and before the vocabulary."""
    named = {"lm_head.weight": model.embed_tokens.weight.detach()}
    for name, tensor in model.state_dict().items():
        if SCALAR in name:
            named[f"model.encoder.language_model.{name.replace(SCALAR, 'layer_scalar')}"] = tensor
            continue
        named[f"model.decoder.{name}"] = tensor
        if "self_conditioning" not in name and not name.endswith("layer_scalar"):
            named[f"model.encoder.language_model.{name}"] = tensor
    return named


@contextmanager
def _parameters_on_meta() -> Generator[None]:
    """Modules made meanwhile have parameters without memory. Buffers are made as ever: some are in no checkpoint."""
    register = nn.Module.register_parameter

    def register_on_meta(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        register(self, name, None if param is None else nn.Parameter(param.to("meta"), requires_grad=False))

    nn.Module.register_parameter = register_on_meta
    try:
        yield
    finally:
        nn.Module.register_parameter = register
