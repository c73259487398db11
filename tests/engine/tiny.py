"""Tiny random DiffusionGemma checkpoints, made by transformers from the shapes in `fixtures/checkpoints/`."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from transformers import DiffusionGemmaConfig, DiffusionGemmaForBlockDiffusion
from transformers.models.diffusion_gemma.generation_diffusion_gemma import (
    DiffusionGemmaGenerationConfig,
    EntropyBoundSamplerConfig,
)
from transformers.utils import logging

logging.disable_progress_bar()

FIXTURES = Path(__file__).parents[2] / "fixtures" / "checkpoints"
SHAPES = sorted(path.stem for path in FIXTURES.glob("*.json"))
MAX_STEPS = 6
SPECIAL_TOKENS = ["<pad>", "<eos>", "<bos>", "<unk>"]

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


def read_shape(name: str) -> dict[str, Any]:
    """The description of a shape: `text_config`, `canvas_length`, `seed` and `embedding_std`."""
    return json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))


def build_checkpoint(name: str, directory: Path, tokenizer: Tokenizer | None = None) -> Path:
    """Writes a random checkpoint of shape `name` into `directory`, in one file; equal for equal seeds.

    With a `tokenizer` its vocabulary is that one's, which has no gap in its ids.
    """
    shape = read_shape(name)
    vocab_size = shape["text_config"]["vocab_size"] if tokenizer is None else tokenizer.get_vocab_size()
    config = DiffusionGemmaConfig(
        text_config={"use_bidirectional_attention": "vision", **shape["text_config"], "vocab_size": vocab_size},
        vision_config=VISION,
        canvas_length=shape["canvas_length"],
        boi_token_id=vocab_size - 3,
        eoi_token_id=vocab_size - 2,
        image_token_id=vocab_size - 1,
    )
    model = DiffusionGemmaForBlockDiffusion(config).eval()
    draw_weights(model, torch.Generator().manual_seed(shape["seed"]), shape["embedding_std"])
    model.generation_config = DiffusionGemmaGenerationConfig(
        max_new_tokens=shape["canvas_length"],
        max_denoising_steps=MAX_STEPS,
        sampler_config=EntropyBoundSamplerConfig(entropy_bound=0.1),
        t_min=0.4,
        t_max=0.8,
        stability_threshold=1,
        confidence_threshold=0.005,
        eos_token_id=[1, 3],
        pad_token_id=0,
    )
    model.save_pretrained(directory)
    (tokenizer or build_tokenizer(vocab_size)).save(str(directory / "tokenizer.json"))
    return directory


@torch.no_grad()
def draw_weights(model: nn.Module, generator: torch.Generator, embedding_std: float) -> None:
    """Gives every parameter a value that shows when it is left out: no norm of ones, no two equal scalars."""
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if "post_" in name and "norm" in name:
            # As after training: branches that outweigh the residual amplify rounding, 1e-7 at the start to 1e-4.
            parameter.copy_(0.3 + 0.06 * noise)
        elif "norm" in name or name.endswith("scale"):
            parameter.copy_(1 + 0.2 * noise)
        elif "embed_tokens" in name:
            parameter.copy_(embedding_std * noise)
        else:
            parameter.copy_(0.5 * parameter.shape[-1] ** -0.5 * noise)
    for index, (name, scalar) in enumerate(sorted(model.named_buffers())):
        if name.endswith("layer_scalar"):
            scalar.fill_(0.8 + 0.02 * index)


def build_tokenizer(vocab_size: int) -> Tokenizer:
    """A byte-level BPE of exactly `vocab_size` ids: special tokens, bytes, then pairs of letters."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters = "etaoinshrdlucmfgypwbvk"
    merges = [(first, second) for first in letters for second in letters]
    merges = merges[: vocab_size - len(SPECIAL_TOKENS) - len(alphabet)]
    pieces = [*SPECIAL_TOKENS, *alphabet, *(first + second for first, second in merges)]
    assert len(pieces) == vocab_size
    tokenizer = Tokenizer(models.BPE({piece: id for id, piece in enumerate(pieces)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL_TOKENS])
    return tokenizer


def respell_config(directory: Path) -> None:
    """Rewrites `config.json` as Google publishes it: `global_*` keys in place of `per_layer_config`."""
    path = directory / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    text = config["text_config"]
    overrides = text.pop("per_layer_config", {})
    full = next(iter(overrides.values()), {})
    text["global_head_dim"] = full.get("head_dim", text["head_dim"])
    text["num_global_key_value_heads"] = full.get("num_key_value_heads", text["num_key_value_heads"])
    path.write_text(json.dumps(config), encoding="utf-8")


def shard_weights(directory: Path, num_shards: int) -> None:
    """Splits `model.safetensors` into `num_shards` files with an index, as large checkpoints come."""
    single = directory / "model.safetensors"
    tensors = sorted(load_file(single).items())
    weight_map: dict[str, str] = {}
    for shard in range(num_shards):
        file = f"model-{shard + 1:05}-of-{num_shards:05}.safetensors"
        part = dict(tensors[shard::num_shards])
        save_file(part, directory / file)
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": weight_map}
    (directory / f"{single.name}.index.json").write_text(json.dumps(index), encoding="utf-8")
    single.unlink()
