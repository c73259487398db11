"""A model directory in Hugging Face's form, an autoregressive Gemma 4, as a model ready to run.

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
from midfill.engine.gemma4_config import read_gemma4_config
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
