"""What a denoise step wants to know of each position's distribution, in one read of its logits.

The most probable token, one drawn token, the entropy, and the log of the softmax's sum, which `probabilities.py` goes
on from. Bytes moved: the logits once (2 bytes each: 33.5 MB for 64 rows of 262,144), a byte of bans each from L2, and
some KB of partial results.

How a token is drawn, with no sum known before: `GROUP` columns that stand `LANES` apart are a group. Each group has an
exponential number of its own, the one with the largest probability / number wins, and a uniform number picks one of its
columns. That is the softmax's distribution, as the Gumbel-max trick is, with one logarithm and one call of Philox where
that has 32 and 4: they, not the bytes, would be the larger part of the time. Group `place` is the columns
`place // LANES * LANES * GROUP + place % LANES` and so on; its words 0 and 1 of Philox are for the race and for the
pick. So what is drawn does not depend on how a row is split.

A lane keeps its own running maximum and sums and meets the others only at its split's end: the loop has no barrier.
Built for sm_90 it takes 36 instructions a logit, and 6 more for the draw. That is 25 us for 64 rows on 132 processors,
by counting; the read alone is 8 us.

Source: the running sums are Milakov and Gimelshein's (https://arxiv.org/abs/1805.02867), with a third for the entropy;
exponential races: Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from midfill.kernels.launch import block_of, launch
from midfill.kernels.philox import (
    SAMPLES,
    exponential,
    exponential_reference,
    philox,
    philox_reference,
    uniform,
    uniform_reference,
)
from midfill.kernels.tempering import NO_SCORE, Tempering, load_scores, scores_reference

LANES = 1024
"""8 columns a thread, which are a load of 16 bytes in bfloat16."""
GROUP = 16
TURN = GROUP * LANES
"""Columns that one turn of a program's loop takes: a group a lane."""
PROGRAMS = 1024
"""Wanted at least: some 8 for each of 132 processors, where 4 run at once with 128 registers a thread."""


class RowStatistics(NamedTuple):
    """Of N rows of scores."""

    argmax: Tensor
    """[N] int64, the lowest id of the best."""
    drawn: Tensor
    """[N] int64, from the softmax."""
    entropy: Tensor
    """[N] float32, nats."""
    log_normaliser: Tensor
    """[N] float32: log of the sum of e^score."""


def row_statistics_reference(logits: Tensor, tempering: Tempering, seed: Tensor) -> RowStatistics:
    """Logits [N, V] -> four times [N]; `seed` [1] int64."""
    scores = scores_reference(logits, tempering)
    log_normaliser = scores.logsumexp(dim=-1)
    log_probabilities = scores - log_normaliser[:, None]
    entropy = -torch.linalg.vecdot(log_probabilities.exp(), log_probabilities)
    drawn = _drawn_reference(scores, tempering.step, seed)
    return RowStatistics(scores.argmax(dim=-1), drawn, entropy, log_normaliser)


def _drawn_reference(scores: Tensor, step: Tensor, seed: Tensor) -> Tensor:
    """One token of each row of scores [N, V] -> [N]."""
    num_rows, vocab = scores.shape
    turns = -(-vocab // TURN)
    padded = torch.nn.functional.pad(scores.softmax(dim=-1), (0, turns * TURN - vocab))
    groups = padded.view(num_rows, turns, GROUP, LANES).transpose(2, 3).flatten(1, 2)
    rows, places = (torch.arange(size, device=scores.device) for size in (num_rows, turns * LANES))
    race_words, pick_words, *_ = philox_reference(seed, places, rows[:, None], step, SAMPLES)
    winner = (groups.sum(dim=-1) / exponential_reference(race_words)).argmax(dim=-1)
    sums = groups[rows, winner].cumsum(dim=-1)
    picks = uniform_reference(pick_words)[rows, winner, None]
    member = (picks * sums[:, -1:] >= sums).sum(dim=-1)
    return (winner // LANES * GROUP + member) * LANES + winner % LANES


@triton.jit
def _ahead(best, best_column, value, columns):
    # The later of two equals stays behind, so that the lowest column wins.
    is_ahead = value > best
    return tl.where(is_ahead, value, best), tl.where(is_ahead, columns, best_column)


@triton.jit
def _gathered(top, total, moment, best, race, place):
    # What several hold, as one. Sums and races are of e^(score - top), moments of that times (score - top).
    highest = tl.max(top, 0)
    weight = tl.exp(top - highest)
    race *= weight
    first = tl.max(race, 0)
    return (
        highest,
        tl.sum(weight * total, 0),
        tl.sum(weight * (moment + total * (top - highest)), 0),
        tl.min(tl.where(top == highest, best, 0x7FFFFFFF), 0),
        first,
        tl.min(tl.where(race == first, place, 0x7FFFFFFF), 0),
    )


@triton.jit(do_not_specialize=["turns_per_split"])
def _partial_kernel(
    logits_ptr,
    step_ptr,
    temperatures_ptr,
    banned_ptr,
    is_first_ptr,
    seed_ptr,
    sums_ptr,
    places_ptr,
    row_stride,
    vocab,
    turns_per_split,
    cap,
    HAS_CAP: tl.constexpr,
    STREAM: tl.constexpr,
    GROUP: tl.constexpr,
    LANES: tl.constexpr,
):
    # One program a row and split of its columns; results [4 or 2, splits, N].
    row, split = tl.program_id(0), tl.program_id(1)
    row_ptr = logits_ptr + row.to(tl.int64) * row_stride
    step, seed = tl.load(step_ptr), tl.load(seed_ptr)
    temperature = tl.load(temperatures_ptr + step)
    is_first = tl.load(is_first_ptr + row) != 0
    lanes = tl.arange(0, LANES)
    top = tl.full((LANES,), NO_SCORE, tl.float32)
    total = tl.zeros((LANES,), tl.float32)
    moment = tl.zeros((LANES,), tl.float32)
    best = lanes
    race = tl.zeros((LANES,), tl.float32)
    place = lanes
    last = tl.minimum((split + 1) * turns_per_split, tl.cdiv(vocab, GROUP * LANES))
    for turn in range(split * turns_per_split, last):
        here = tl.zeros((LANES,), tl.float32)
        start = turn * GROUP * LANES
        for ahead in range(start, tl.minimum(start + GROUP * LANES, vocab), 4 * LANES):
            c0 = ahead + lanes
            c1, c2, c3 = c0 + LANES, c0 + 2 * LANES, c0 + 3 * LANES
            z0 = load_scores(row_ptr, c0, banned_ptr, is_first, temperature, cap, vocab, HAS_CAP)
            z1 = load_scores(row_ptr, c1, banned_ptr, is_first, temperature, cap, vocab, HAS_CAP)
            z2 = load_scores(row_ptr, c2, banned_ptr, is_first, temperature, cap, vocab, HAS_CAP)
            z3 = load_scores(row_ptr, c3, banned_ptr, is_first, temperature, cap, vocab, HAS_CAP)

            before = top
            top, best = _ahead(top, best, z0, c0)
            top, best = _ahead(top, best, z1, c1)
            top, best = _ahead(top, best, z2, c2)
            top, best = _ahead(top, best, z3, c3)
            rescale = tl.exp(before - top)
            e0, e1, e2, e3 = tl.exp(z0 - top), tl.exp(z1 - top), tl.exp(z2 - top), tl.exp(z3 - top)
            moment = rescale * (moment + total * (before - top))
            moment += e0 * (z0 - top) + e1 * (z1 - top) + e2 * (z2 - top) + e3 * (z3 - top)
            four = (e0 + e1) + (e2 + e3)
            total = rescale * total + four
            here = rescale * here + four
            race *= rescale
        places = turn * LANES + lanes
        word = philox(seed, places, row, step, STREAM)[0]
        race, place = _ahead(race, place, here / exponential(word), places)

    top, total, moment, best, race, place = _gathered(top, total, moment, best, race, place)
    rows = tl.num_programs(0)
    each = tl.num_programs(1) * rows
    at = split * rows + row
    tl.store(sums_ptr + at, top)
    tl.store(sums_ptr + each + at, total)
    tl.store(sums_ptr + 2 * each + at, moment)
    tl.store(sums_ptr + 3 * each + at, race)
    tl.store(places_ptr + at, best)
    tl.store(places_ptr + each + at, place)


@triton.jit(do_not_specialize=["splits"])
def _combine_kernel(
    logits_ptr,
    step_ptr,
    temperatures_ptr,
    banned_ptr,
    is_first_ptr,
    seed_ptr,
    sums_ptr,
    places_ptr,
    argmax_ptr,
    drawn_ptr,
    entropy_ptr,
    log_normaliser_ptr,
    row_stride,
    vocab,
    splits,
    cap,
    HAS_CAP: tl.constexpr,
    STREAM: tl.constexpr,
    GROUP: tl.constexpr,
    LANES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # One program a row.
    row, rows = tl.program_id(0), tl.num_programs(0)
    split = tl.arange(0, BLOCK)
    inside = split < splits
    each = splits * rows
    at = split * rows + row
    whole = _gathered(
        tl.load(sums_ptr + at, mask=inside, other=NO_SCORE),
        tl.load(sums_ptr + each + at, mask=inside, other=0.0),
        tl.load(sums_ptr + 2 * each + at, mask=inside, other=0.0),
        tl.load(places_ptr + at, mask=inside, other=0),
        tl.load(sums_ptr + 3 * each + at, mask=inside, other=0.0),
        tl.load(places_ptr + each + at, mask=inside, other=0),
    )
    top, total, moment, best, place = whole[0], whole[1], whole[2], whole[3], whole[5]
    tl.store(argmax_ptr + row, best.to(tl.int64))
    tl.store(entropy_ptr + row, tl.log(total) - moment / total)
    tl.store(log_normaliser_ptr + row, top + tl.log(total))

    # The group that won is read again, from its place in a cache, and one of its columns picked.
    step = tl.load(step_ptr)
    temperature = tl.load(temperatures_ptr + step)
    is_first = tl.load(is_first_ptr + row) != 0
    columns = (place // LANES * GROUP + tl.arange(0, GROUP)) * LANES + place % LANES
    row_ptr = logits_ptr + row.to(tl.int64) * row_stride
    z = load_scores(row_ptr, columns, banned_ptr, is_first, temperature, cap, vocab, HAS_CAP)
    sums = tl.cumsum(tl.exp(z - tl.max(z, 0)), 0)
    word = philox(tl.load(seed_ptr), place, row, step, STREAM)[1]
    member = tl.sum((uniform(word) * tl.max(sums, 0) >= sums).to(tl.int32), 0)
    tl.store(drawn_ptr + row, ((place // LANES * GROUP + member) * LANES + place % LANES).to(tl.int64))


def splits_for(num_rows: int, vocab: int) -> tuple[int, int]:
    """Into how many splits a row goes, and how many turns each has but the last: enough programs, and none idle."""
    turns = -(-vocab // TURN)
    turns_per_split = max(1, turns * num_rows // PROGRAMS)
    return -(-turns // turns_per_split), turns_per_split


def row_statistics(logits: Tensor, tempering: Tempering, seed: Tensor) -> RowStatistics:
    """`row_statistics_reference` by two kernels: splits of rows, then rows."""
    tempering.check(logits)
    assert seed.shape == (1,), f"seed {tuple(seed.shape)}"
    assert seed.dtype == torch.int64, f"seed in {seed.dtype}"
    num_rows, vocab = logits.shape
    assert 1 <= vocab < 2**30, f"{vocab} tokens"
    splits, turns_per_split = splits_for(num_rows, vocab)
    sums = torch.empty(4, splits, num_rows, dtype=torch.float32, device=logits.device)
    places = torch.empty(2, splits, num_rows, dtype=torch.int32, device=logits.device)
    tokens = (torch.empty(num_rows, dtype=torch.int64, device=logits.device) for _ in range(2))
    nats = (torch.empty(num_rows, dtype=torch.float32, device=logits.device) for _ in range(2))
    statistics = RowStatistics(*tokens, *nats)
    cap, step, temperatures, banned, is_first = tempering
    inputs = logits, step, temperatures, banned, is_first, seed, sums, places
    sizes, cap_given = (logits.stride(0), vocab), (cap or 1.0, cap is not None)
    drawing = SAMPLES, GROUP, LANES
    launch(_partial_kernel, [num_rows, splits], *inputs, *sizes, turns_per_split, *cap_given, *drawing)
    # As many as a row of one turn a split has: one kernel for all numbers of rows.
    arguments = *inputs, *statistics, *sizes, splits, *cap_given, *drawing, block_of(-(-vocab // TURN))
    launch(_combine_kernel, [num_rows], *arguments, num_warps=1)
    return statistics
