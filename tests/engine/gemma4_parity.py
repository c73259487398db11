"""What the parity tests of the autoregressive models share: one checkpoint in transformers and in this engine."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from tests.engine.tiny_gemma4 import VARIANTS
from torch import Tensor
from transformers import Gemma4ForCausalLM, Gemma4ForConditionalGeneration, Gemma4UnifiedForConditionalGeneration

from midfill.engine.gemma4_checkpoint import LoadedGemma4, load_gemma4
from midfill.engine.kv import KVSlot
from midfill.engine.prefix_cache import PrefixCache

each_variant = pytest.mark.parametrize("gemma4", VARIANTS, indirect=True)
"""Runs a test on every tiny Gemma 4."""


class Gemma4Pair(NamedTuple):
    """One checkpoint, loaded twice in float32: by transformers, whose types ask for LongTensors, and by us."""

    name: str
    reference: Any
    loaded: LoadedGemma4

    def tokens(self, length: int, seed: int) -> list[int]:
        """Random ones, of those that stand for text."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(4, self.loaded.config.vocab_size - 3, (length,), generator=generator).tolist()

    def slot(self, *pieces: list[int]) -> KVSlot:
        """A slot that holds `pieces`, encoded one after the other."""
        slot = KVSlot(self.loaded.config, torch.device("cpu"), torch.float32)
        cache = PrefixCache(self.loaded.model, max_bytes=0)
        for piece in pieces:
            cache.encode(slot, piece)
        return slot

    def logits(self, tokens: list[int], *cached: list[int]) -> Tensor:
        """Ours after each of `tokens` [T, V], in one pass that follows the pieces `cached`."""
        slot = self.slot(*cached)
        positions = torch.arange(len(slot.tokens), len(slot.tokens) + len(tokens))
        hidden = self.loaded.model.encode(torch.tensor([tokens]), positions, slot.attend_causal)
        return self.loaded.model.logits(hidden)[0]


def load_gemma4_pair(variant: str, directory: Path) -> Gemma4Pair:
    classes: dict[str, Any] = {
        "E2B": Gemma4ForCausalLM,
        "text": Gemma4ForCausalLM,
        "12B": Gemma4UnifiedForConditionalGeneration,
    }
    reference = classes.get(variant, Gemma4ForConditionalGeneration).from_pretrained(
        directory, attn_implementation="sdpa", dtype=torch.float32
    )
    return Gemma4Pair(variant, reference.eval(), load_gemma4(directory, torch.device("cpu"), torch.float32))
