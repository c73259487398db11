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


def mixture_of(work: Path) -> Mixture:
    return Mixture(work, NEWLINE, np.random.default_rng(0))


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


def epochs(mixture: Mixture, share: float, split: str) -> float:
    """How often those that draw as `mixture` have read `split` over, when all have drawn until `share`."""
    for _ in range(300):
        mixture.batch(8, share)
    return mixture.read[split] * mixture.readers / TOKENS


@pytest.mark.parametrize("split", SHORT_SHARES)
def test_a_small_split_is_read_so_often_and_no_more_over_all_pieces_of_a_run(work: Path, split: str) -> None:
    ends = [0.4, LATE, 1.0]
    pieces = [Mixture(work, NEWLINE, np.random.default_rng(0), start) for start in (0.0, *ends)]
    read = [epochs(mixture, share, split) for mixture, share in zip(pieces, ends, strict=False)]
    one_batch = 8 * 256 / TOKENS
    assert read[0] == 0
    assert (LATE - SHORT_FROM) / (1 - SHORT_FROM) * MOST_EPOCHS <= read[1] < 0.4 * MOST_EPOCHS + one_batch
    assert MOST_EPOCHS <= sum(read) < MOST_EPOCHS + 2 * one_batch


def test_all_that_read_share_what_may_be_read(work: Path) -> None:
    """Those of a machine's workers, each of which may have several."""
    feed = Feed(work, NEWLINE, 8, Schedule(1e9, LATE * 1e9, time.monotonic()), [0], workers=4)
    mixture = feed.mixture()
    assert (mixture.readers, mixture.start) == (4, LATE)
    assert mixture.allowed("exercises", 1.0) == pytest.approx(0.6 * MOST_EPOCHS * TOKENS / 4)


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
