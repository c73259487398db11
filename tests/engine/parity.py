"""What the parity tests share: one checkpoint in transformers and in this engine, and how a difference is told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pytest
import torch
from tests.engine.tiny import SHAPES
from torch import Tensor
from transformers import DiffusionGemmaForBlockDiffusion

from midfill.engine.checkpoint import LoadedCheckpoint, load
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.kv import KVSlot
from midfill.engine.prefix_cache import PrefixCache

TOLERANCE = 1e-4
"""Absolute, float32: two orders of summation through all layers; the largest seen is 3e-5."""

NANO = "nano"
each_checkpoint = pytest.mark.parametrize("pair", [*SHAPES, NANO], indirect=True)
"""Runs a test on every tiny checkpoint and on the embedded model."""

Record = Callable[[str, object], None]
"""pytest's `record_property`."""


class Pair(NamedTuple):
    """One checkpoint, loaded twice in float32: by transformers, whose types ask for LongTensors, and by us."""

    name: str
    reference: Any
    loaded: LoadedCheckpoint

    @property
    def model(self) -> DiffusionGemma:
        return self.loaded.model

    @property
    def window(self) -> int:
        return self.loaded.config.sliding_window

    def random_tokens(self, *shape: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        # The highest id stands for an image in transformers.
        return torch.randint(0, self.loaded.config.vocab_size - 1, shape, generator=generator)

    def prefilled(self, *pieces: Tensor) -> KVSlot:
        """A slot that holds `pieces`, tokens [1, T] each, encoded one after the other."""
        slot = KVSlot(self.loaded.config, torch.device("cpu"), torch.float32)
        cache = PrefixCache(self.model, max_bytes=0)
        for piece in pieces:
            cache.encode(slot, piece[0].tolist())
        return slot


def load_pair(name: str, directory: Path) -> Pair:
    reference = DiffusionGemmaForBlockDiffusion.from_pretrained(
        directory, attn_implementation="sdpa", dtype=torch.float32
    )
    return Pair(name, reference.eval(), load(directory, torch.device("cpu"), torch.float32))


class Named(Protocol):
    """What a difference is recorded for."""

    @property
    def name(self) -> str: ...


def assert_close(record: Record, pair: Named, quantity: str, ours: Tensor, theirs: Tensor) -> None:
    """Asserts that two tensors agree, and records by how much for `parity_table.py`."""
    assert ours.shape == theirs.shape
    difference = (ours - theirs).abs().max().item()
    record(quantity, (pair.name, difference))
    assert difference <= TOLERANCE


def assert_equal(record: Record, pair: Named, quantity: str, ours: Tensor, theirs: Tensor) -> None:
    """Asserts that two tensors of tokens or bools are the same, and records how many are not."""
    assert ours.shape == theirs.shape
    differing = int((ours != theirs).sum())
    record(quantity, (pair.name, differing))
    assert differing == 0
