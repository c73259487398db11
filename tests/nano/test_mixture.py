"""`engine/nano/mixture.py`: what is learned when, and by whom it is read."""

import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from mixture import LONG_FROM, MOST_EPOCHS, SHORT_FROM, SHORT_SHARES, Feed, Mixture, fed
from schedule import Schedule

NEWLINE = 20
TOKENS = 3200
LATE = 0.7
"""A share of the run at which definitions are learned, and streams are not yet long."""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """All splits, of a document each, whose tokens tell them apart."""
    return packed(tmp_path, ("train", *SHORT_SHARES))


def packed(folder: Path, splits: tuple[str, ...]) -> Path:
    for place, split in enumerate(splits):
        np.save(folder / f"{split}.npy", np.tile(np.array([NEWLINE, 100 + place] * 8, dtype=np.uint16), TOKENS // 16))
        np.save(folder / f"{split}_docs.npy", np.array([0, TOKENS]))
        np.save(folder / f"{split}_lang.npy", np.array([7], dtype=np.uint8))
    return folder


def mixture_of(work: Path, readers: int = 1) -> Mixture:
    return Mixture(work, NEWLINE, np.random.default_rng(0), readers)


def test_batches_come_from_the_splits_by_their_shares(work: Path) -> None:
    mixture = mixture_of(work)
    drawn = [mixture.draw(LATE) for _ in range(2000)]
    for split, share in SHORT_SHARES.items():
        assert drawn.count(split) / 2000 == pytest.approx(share, abs=0.04)


def test_a_split_that_is_missing_is_not_drawn_from(tmp_path: Path) -> None:
    mixture = mixture_of(packed(tmp_path, ("train", "exercises")))
    assert {mixture.draw(LATE) for _ in range(200)} == {"train", "exercises"}


def test_definitions_wait_until_half_of_the_run_is_over(work: Path) -> None:
    mixture = mixture_of(work)
    assert {mixture.draw(SHORT_FROM) for _ in range(200)} == {"train"}


@pytest.mark.parametrize("readers", [1, 4])
def test_a_small_split_is_not_read_over_and_over(work: Path, readers: int) -> None:
    mixture = mixture_of(work, readers)
    late = (LATE - SHORT_FROM) / (1 - SHORT_FROM)
    for _ in range(400):
        mixture.batch(8, LATE)
    for split in SHORT_SHARES:
        epochs = mixture.read[split] * readers / TOKENS
        one_batch = 8 * 256 * readers / TOKENS
        assert late * MOST_EPOCHS <= epochs < late * MOST_EPOCHS + one_batch
        assert mixture.allowed(split, 1.0) * readers == MOST_EPOCHS * TOKENS


def test_late_in_a_run_all_streams_are_longer_but_those_of_definitions(tmp_path: Path) -> None:
    mixture = mixture_of(packed(tmp_path, ("train", "functions")))
    early = {mixture.batch(8, 0.1).stream.shape for _ in range(20)}
    late = [mixture.batch(8, LONG_FROM + 0.1).stream for _ in range(60)]
    assert early == {(8, 256)}
    assert {(tuple(stream.shape), 101 in stream) for stream in late} == {((8, 256), True), ((4, 512), False)}


def test_processes_ahead_feed_batches_of_their_own(work: Path) -> None:
    feed = Feed(work, NEWLINE, 2, Schedule(1e9, 0.0, time.monotonic()), [5, 0])
    here = list(islice(fed(feed, 0, pinned=False), 2))
    ahead = list(islice(fed(feed, 2, pinned=False), 4))
    # Processes take turns; the first has the seed of the one that has none beside it.
    for ours, theirs in zip(here, ahead[::2], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert not any(torch.equal(ours.anchor, theirs.anchor) for ours, theirs in zip(here, ahead[1::2], strict=True))
