"""A model directory in Hugging Face's form, an autoregressive Gemma 4 or a drafter for one, as a model ready to run.

Text-only checkpoints name their tensors `model.` and what they are in `CausalGemma`, those that also see or hear
`model.language_model.`; their other parts are skipped.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.checkpoint import Naming, check_directory, check_vocabulary, load_weights
from midfill.engine.config import TextConfig
from midfill.engine.drafter import Drafter
from midfill.engine.errors import CheckpointError
from midfill.engine.gemma4_config import DrafterConfig, read_drafter_config, read_gemma4_config
from midfill.engine.generation_defaults import GenerationDefaults, read_generation_defaults
from midfill.engine.weight_files import StoredTensor, list_tensors

PREFIXES = ("model.language_model.", "model.")
KV_TENSOR = re.compile(r"layers\.(\d+)\.self_attn\.[kv]_(proj|norm)\.weight")


class LoadedGemma4(NamedTuple):
    """A model in evaluation mode, without gradients, and what its directory says about its use."""

    model: CausalGemma
    config: TextConfig
    generation: GenerationDefaults
    """Of which only `eos_token_ids` is of use here."""
    tokenizer_path: Path


def load_gemma4(
    path: Path, device: torch.device, dtype: torch.dtype, on_share: Callable[[float], None] = lambda share: None
) -> LoadedGemma4:
    """The checkpoint in directory `path`, its weights on `device` in `dtype`; as `checkpoint.load` in all else."""
    check_directory(path)
    config = read_gemma4_config(path / "config.json")
    generation = read_generation_defaults(path / "generation_config.json", config)
    tokenizer_path = path / "tokenizer.json"
    check_vocabulary(tokenizer_path, config.vocab_size)
    with torch.device("meta"):
        model = CausalGemma(config)
    stored = list_tensors(path)
    load_weights(model, path, stored, _naming(config, stored), device, dtype, on_share)
    return LoadedGemma4(model, config, generation, tokenizer_path)


def _naming(config: TextConfig, stored: dict[str, StoredTensor]) -> Naming:
    prefix = next((prefix for prefix in PREFIXES if f"{prefix}embed_tokens.weight" in stored), PREFIXES[0])

    def must_be_known(name: str) -> bool:
        # Released models keep K and V projections in layers that use another's.
        kv_tensor = KV_TENSOR.fullmatch(name.removeprefix(prefix))
        is_unused = kv_tensor is not None and int(kv_tensor[1]) >= config.num_kv_layers
        return name.startswith(prefix) and not is_unused

    return Naming(lambda name: [prefix + name.removeprefix("per_layer.")], must_be_known)


def load_drafter(
    path: Path,
    target: TextConfig,
    device: torch.device,
    dtype: torch.dtype,
    on_share: Callable[[float], None] = lambda share: None,
) -> Drafter:
    """The drafter in directory `path` for a target of that shape, its weights on `device` in `dtype`.

    Raises `CheckpointError`, also where it is another target's drafter.
    """
    check_directory(path)
    config = read_drafter_config(path / "config.json")
    _check_fits(config, target, path / "config.json")
    with torch.device("meta"):
        drafter = Drafter(config)

    def official(name: str) -> list[str]:
        return [name, "lm_head.weight"] if name == "model.embed_tokens.weight" else [name]

    def must_be_known(name: str) -> bool:
        return name.startswith("model.") and not KV_TENSOR.fullmatch(name.removeprefix("model."))

    load_weights(drafter, path, list_tensors(path), Naming(official, must_be_known), device, dtype, on_share)
    return drafter


def _check_fits(config: DrafterConfig, target: TextConfig, path: Path) -> None:
    """Raises unless a drafter of that shape can read the target's hidden states, K and V, and writes its tokens."""
    for what, wanted, got in (
        ("backbone_hidden_size", target.hidden_size, config.backbone_hidden_size),
        ("vocab_size", target.vocab_size, config.vocab_size),
    ):
        if wanted != got:
            raise CheckpointError(path, f"{what} {wanted}, as the target has", got)
    theirs = {layer.kind: (layer.num_kv_heads, layer.head_dim) for layer in target.layers[: target.num_kv_layers]}
    for layer in config.layers:
        wanted, got = theirs.get(layer.kind), (layer.num_kv_heads, layer.head_dim)
        if wanted != got:
            raise CheckpointError(path, f"KV heads and their size {wanted} in {layer.kind}, as the target has", got)
