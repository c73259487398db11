"""What a drafter learns from: the teacher's own greedy text behind pieces of the corpus, and all it computed for it.

A round of drafts ends with the first token that the target would not have written, so a draft that counts stands
on greedy text. Reading ahead of it stands some of the corpus, for the teacher alone soon repeats itself.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from examples import PAD, Corpus, Examples
from torch import Tensor

from midfill.engine.causal_gemma import CausalGemma, LayerAttend
from midfill.engine.config import FULL, SLIDING

NUM_LIKELIEST = 16
"""Of the teacher's distribution: all but 5 % of it, and its first token is what is drafted."""


class LessonShape(NamedTuple):
    """Sizes of a lesson."""

    rows: int = 24
    longest: int = 320
    """Tokens before those that the teacher writes."""
    read: int = 48
    """The last so many of them count as well."""
    written: int = 48


class Lesson(NamedTuple):
    """B texts; of each the last N tokens are of interest, of which the first stands at position `start`."""

    start: int
    tokens: Tensor
    """[B, start + N]"""
    hidden: Tensor
    """[B, N, hidden] the teacher's, normed."""
    likeliest: Tensor
    """[B, N, K] the tokens that the teacher expects next, best first."""
    chances: Tensor
    """[B, N, K] their probabilities, which add up to 1."""
    cached: dict[str, tuple[Tensor, Tensor]]
    """K and V [B, KV heads, start + N, D] of the teacher's last layer of each kind."""

    def some(self, rows: Tensor) -> "Lesson":
        """Its texts `rows` alone."""
        cached = {kind: (keys[rows], values[rows]) for kind, (keys, values) in self.cached.items()}
        return Lesson(
            self.start, self.tokens[rows], self.hidden[rows], self.likeliest[rows], self.chances[rows], cached
        )


class _Cache:
    """K and V of B texts of equal length, all layers, float32: what a `KVSlot` is for one text."""

    def __init__(self, teacher: CausalGemma) -> None:
        self.config = teacher.config
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}

    def attend(self, index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Causal attention to what was kept and to itself; nothing is longer than the sliding window."""
        # In bfloat16, attention of one query takes three times as long.
        k, v = k.float(), v.float()
        if index in self.kept:
            k, v = (torch.cat(pair, dim=2) for pair in zip(self.kept[index], (k, v), strict=True))
        self.kept[index] = k, v
        assert k.shape[2] < self.config.sliding_window
        is_first = q.shape[2] > 1
        attended = F.scaled_dot_product_attention(q.float(), k, v, is_causal=is_first, scale=1.0, enable_gqa=True)
        return attended.to(q.dtype)

    def last(self, kind: str) -> tuple[Tensor, Tensor]:
        """K and V of the last layer of `kind`, as a drafter is given them."""
        k, v = self.kept[self.config.last_kv_layer(kind)]
        return k.bfloat16(), v.bfloat16()


def draw_lessons(teacher: CausalGemma, corpus: Corpus, seed: int, shape: LessonShape | None = None) -> Iterator[Lesson]:
    """Lessons without end; `seed` decides everything."""
    examples = Examples(corpus, np.random.default_rng(seed))
    while True:
        yield draw_lesson(teacher, examples, shape or LessonShape())


@torch.no_grad()
def draw_lesson(teacher: CausalGemma, examples: Examples, shape: LessonShape) -> Lesson:
    """The next lesson: streams cut somewhere, and what `teacher` writes after them."""
    tokens, cache = _openings(examples, shape), _Cache(teacher)
    start = tokens.shape[1] - shape.read
    hidden = [_read(teacher, cache.attend, tokens, 0)[:, start:]]
    found = [_likeliest(teacher, hidden[0])]
    for place in range(tokens.shape[1], tokens.shape[1] + shape.written):
        written = found[-1][0][:, -1:, 0]
        tokens = torch.cat((tokens, written), dim=1)
        hidden.append(_read(teacher, cache.attend, written, place))
        found.append(_likeliest(teacher, hidden[-1]))
    likeliest, chances = (torch.cat(columns, dim=1) for columns in zip(*found, strict=True))
    last = {kind: cache.last(kind) for kind in (SLIDING, FULL)}
    return Lesson(start, tokens, torch.cat(hidden, dim=1), likeliest, chances, last)


def _openings(examples: Examples, shape: LessonShape) -> Tensor:
    """Token ids [B, T] of `rows` streams, cut at a place that is drawn for all of them, without padding."""
    length = int(examples.rng.integers(shape.longest // 3, shape.longest + 1))
    rows: list[np.ndarray] = []
    while len(rows) < shape.rows:
        stream = examples.batch(1, shape.longest + 32, canvases=1, canvas=32).stream[0, :length].numpy()
        if PAD not in stream:
            rows.append(stream)
    return torch.from_numpy(np.stack(rows))


def _read(teacher: CausalGemma, attend: LayerAttend, ids: Tensor, place: int) -> Tensor:
    return teacher.encode(ids, torch.arange(place, place + ids.shape[1]), attend)


def _likeliest(teacher: CausalGemma, hidden: Tensor) -> tuple[Tensor, Tensor]:
    # Flat: of three dimensions, the product in bfloat16 takes ten times as long.
    logits = teacher.logits(hidden.flatten(0, 1)).unflatten(0, hidden.shape[:2])
    values, ids = logits.topk(NUM_LIKELIEST, dim=-1)
    return ids, values.softmax(dim=-1)
