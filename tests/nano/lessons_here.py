"""A teacher and a corpus small enough for tests of what drafters learn from."""

from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from drafter_lessons import Lesson, LessonShape, draw_lessons
from examples import PYTHON, Corpus

from midfill.engine.checkpoint import load
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.installed import embedded_model

SHAPE = LessonShape(rows=2, longest=40, read=6, written=8)


@cache
def teacher() -> DiffusionGemma:
    return load(embedded_model(), torch.device("cpu"), torch.float32).model


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
