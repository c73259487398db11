"""The mixture of data that nano learns from: which split of the corpus has what share of the batches, and when.

Where a card trains, processes of their own make the batches ahead (`Feed`): a stream takes a core of an EPYC 0.4 ms.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from examples import Corpus, Examples
from losses import Batch
from schedule import Schedule
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

LONG_FROM = 0.75
"""Share of the run after which streams are twice as long."""
SHORT_FROM = 0.5
"""Share of the run after which definitions that stand alone are learned, too."""
SHORT_SHARES = {"functions": 0.2, "exercises": 0.3}
"""Shares of the batches, from then on, that are of those, one a stream, by split; the rest is of documents."""
MOST_EPOCHS = 16
"""How often a run may read a split of `SHORT_SHARES` over: on a card, a small one would be read hundreds of times."""


class Mixture:
    """Batches drawn from the splits in `work`; those of `SHORT_SHARES` may be missing.

    `readers` processes draw as this one does, from the share `start` of the run on: each may read its part of what
    `MOST_EPOCHS` allows from there on.
    """

    def __init__(
        self, work: Path, newline: int, rng: np.random.Generator, start: float = 0.0, readers: int = 1
    ) -> None:
        self.documents = Examples(Corpus(work, "train", newline), rng)
        there = [split for split in SHORT_SHARES if (work / f"{split}.npy").exists()]
        self.short = {split: Examples(Corpus(work, split, newline), rng) for split in there}
        self.start, self.readers = start, readers
        self.read = Counter[str]()
        """Tokens of each split of `short` that were targets of the causal loss."""

    def batch(self, streams: int, share: float) -> Batch:
        """The next batch, after `share` of the run: longer streams late in it, but of definitions, which are short."""
        split = self.draw(share)
        if split not in self.short:
            return batches(self.documents, streams, 512 if share > LONG_FROM else 256)
        drawn = batches(self.short[split], streams, 256)
        self.read[split] += len(drawn.targets)
        return drawn

    def draw(self, share: float) -> str:
        """The split of the next batch."""
        drawn = self.documents.rng.random()
        for split in self.short:
            drawn -= SHORT_SHARES[split]
            if drawn < 0:
                return split if self.read[split] < self.allowed(split, share) else "train"
        return "train"

    def allowed(self, split: str, share: float) -> float:
        """Tokens of `split` that this process may have read after `share` of the run, ever more in its second half."""
        late = max(share, SHORT_FROM) - max(self.start, SHORT_FROM)
        return late / (1 - SHORT_FROM) * MOST_EPOCHS * len(self.short[split].corpus.ids) / self.readers


def batches(examples: Examples, streams: int, length: int) -> Batch:
    """A batch of as many tokens as `streams` of 256 have, in streams of `length`; canvases of 32 or 64 positions."""
    canvas = 64 if examples.rng.random() < 0.35 else 32
    rows = max(1, streams * 256 // length)
    return examples.batch(rows, length, canvases=128 * length // 256 // canvas, canvas=canvas)


class Feed(IterableDataset[Batch]):
    """A `Mixture` without end: one for each process that reads this, with a seed of its own below `seed`.

    `workers` train together, each on a feed that as many processes read.
    """

    def __init__(
        self, work: Path, newline: int, streams: int, schedule: Schedule, seed: list[int], workers: int = 1
    ) -> None:
        super().__init__()
        self.work, self.newline, self.streams, self.schedule = work, newline, streams, schedule
        self.seed, self.workers = seed, workers

    def __iter__(self) -> Iterator[Batch]:
        mixture = self.mixture()
        while True:
            yield mixture.batch(self.streams, self.schedule.share())

    def mixture(self) -> Mixture:
        """Of this process."""
        reader = get_worker_info()
        number, readers = (0, 1) if reader is None else (reader.id, reader.num_workers)
        rng = np.random.default_rng([*self.seed, number])
        return Mixture(self.work, self.newline, rng, self.schedule.start(), readers * self.workers)


def fed(feed: Feed, readers: int, pinned: bool) -> Iterator[Batch]:
    """The batches of `feed`, drawn here or ahead by as many `readers`; `pinned` for copies that nothing waits for."""
    # Two ahead, as shared memory may be small. Spawned: what has touched a card is not to be forked.
    ahead = {"num_workers": readers, "prefetch_factor": 2, "multiprocessing_context": "spawn"} if readers else {}
    return iter(DataLoader(feed, batch_size=None, pin_memory=pinned, **ahead))  # pyright: ignore[reportArgumentType]
