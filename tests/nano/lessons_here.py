"""A teacher and a corpus small enough for tests of what drafters learn from."""

import json
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from drafter_lessons import Lesson, LessonShape, draw_lessons
from drafter_shape import drafter_json, new_drafter
from examples import PYTHON, Corpus
from train_drafter import Clock, train

from midfill.engine.checkpoint import load
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.drafter import Drafter
from midfill.engine.installed import embedded_model
from midfill.engine.kv import KVSlot
from midfill.engine.prefix_cache import PrefixCache

SHAPE = LessonShape(rows=2, longest=40, read=6, written=8)


@cache
def teacher() -> DiffusionGemma:
    return load(embedded_model(), torch.device("cpu"), torch.float32).model


def drafter_config() -> dict[str, Any]:
    return drafter_json(json.loads((embedded_model() / "config.json").read_text(encoding="utf-8")))


def trained(taught: list[Lesson], steps: int) -> Drafter:
    """A drafter after some steps on those lessons."""
    torch.manual_seed(0)
    drafter = new_drafter(drafter_config(), teacher())
    train(drafter, teacher(), cycle(taught), Clock(0, steps), seed=0)
    return drafter


def slot_of(tokens: list[int]) -> KVSlot:
    """What the teacher has cached of `tokens`."""
    slot = KVSlot(teacher().config, torch.device("cpu"), torch.float32)
    PrefixCache(teacher(), 0).encode(slot, tokens)
    return slot


def write_corpus(folder: Path) -> Path:
    """Three documents of random tokens, packed as `pack.py` packs them."""
    ids = np.random.default_rng(5).integers(100, 8000, 600).astype(np.uint16)
    for split in ("train", "val"):
        np.save(folder / f"{split}.npy", ids)
        np.save(folder / f"{split}_docs.npy", np.array([0, 200, 400, 600]))
        np.save(folder / f"{split}_lang.npy", np.array([PYTHON, PYTHON, PYTHON], dtype=np.uint8))
    return folder


def lessons(folder: Path, count: int = 1, seed: int = 0) -> list[Lesson]:
    """Of the corpus that is written to `folder`."""
    corpus = Corpus(write_corpus(folder), "train", newline=20)
    return list(islice(draw_lessons(teacher(), corpus, seed, SHAPE), count))
