"""How good fills are where the true text is known: shares and means, and how far chance may have moved each."""

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

import msgspec
import numpy as np

RESAMPLES = 1000
INTERVAL = 0.95


class Outcome(NamedTuple):
    """One fill, compared with the text that stood there."""

    group: str
    """Of holes that were drawn together, such as those of one task: they are not independent of each other."""
    exact: bool
    similarity: float
    same_lines: bool
    """Whether it has as many line breaks."""
    tokens_off: int
    """Its tokens less those of the true text, each tokenized by itself."""
    shown: bool
    steps: int
    latency_ms: float


class Estimate(msgspec.Struct, frozen=True):
    """A mean, and the ends of its confidence interval of 95 %."""

    value: float
    low: float
    high: float


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """Of many fills. All but the last three are shares, from 0 to 1."""

    records: int
    exact: Estimate
    similarity: Estimate
    """1 less the edit distance in characters over the longer of the two texts."""
    same_lines: Estimate
    """As many line breaks as the true text."""
    same_tokens: Estimate
    """As many tokens as the true text."""
    about_tokens: Estimate
    """As many, or one more or less."""
    shown: Estimate
    exact_of_shown: Estimate | None
    """None where none is shown."""
    steps: float
    p50_ms: float
    p90_ms: float


def quality(outcomes: Sequence[Outcome]) -> Quality:
    """The figures of at least one outcome. Pure: intervals are drawn with a fixed seed."""
    groups = [each.group for each in outcomes]

    def mean(values: Sequence[float]) -> Estimate:
        found = estimate(values, groups)
        assert found is not None
        return found

    return Quality(
        records=len(outcomes),
        exact=mean([each.exact for each in outcomes]),
        similarity=mean([each.similarity for each in outcomes]),
        same_lines=mean([each.same_lines for each in outcomes]),
        same_tokens=mean([each.tokens_off == 0 for each in outcomes]),
        about_tokens=mean([abs(each.tokens_off) <= 1 for each in outcomes]),
        shown=mean([each.shown for each in outcomes]),
        exact_of_shown=estimate([each.exact for each in outcomes], groups, [each.shown for each in outcomes]),
        steps=round(sum(each.steps for each in outcomes) / len(outcomes), 2),
        p50_ms=percentile([each.latency_ms for each in outcomes], 0.5),
        p90_ms=percentile([each.latency_ms for each in outcomes], 0.9),
    )


def estimate(values: Sequence[float], groups: Sequence[str], counted: Sequence[bool] | None = None) -> Estimate | None:
    """The mean of `values`, or of those `counted`; None where none is. Pure: drawn with a fixed seed.

    The interval holds the middle 95 % of the means of resamples, each of as many groups as there are, drawn whole and
    with replacement: a bootstrap clustered by group.
    """
    weights = np.ones(len(values)) if counted is None else np.asarray(counted, dtype=float)
    _, places = np.unique(np.asarray(groups), return_inverse=True)
    sums, counts = (np.bincount(places, each) for each in (np.asarray(values, dtype=float) * weights, weights))
    if not counts.any():
        return None
    drawn = np.random.default_rng(0).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), RESAMPLES)
    of_each = drawn @ counts
    means = (drawn @ sums)[of_each > 0] / of_each[of_each > 0]
    ends = np.quantile(means, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    return Estimate(*(round(float(each), 6) for each in (sums.sum() / counts.sum(), *ends)))


def percentile(values: Sequence[float], share: float) -> float:
    """The least of `values` that at least `share` of them do not exceed. Pure."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]


def edit_similarity(text: str, other: str) -> float:
    """1 less the edit distance over the longer length; 1 for two empty texts. Pure."""
    longer = max(len(text), len(other))
    return 1 - edit_distance(text, other) / longer if longer else 1.0


def edit_distance(text: str, other: str) -> int:
    """Characters to insert, delete or replace, at the least, to make one of the other (Levenshtein). Pure."""
    shorter, longer = sorted((text, other), key=len)
    codes = np.array([ord(character) for character in longer], dtype=np.int64)
    places = np.arange(len(longer) + 1)
    row = places  # distances of the shorter text's start to each start of the longer one
    for number, character in enumerate(shorter, start=1):
        without_inserts = np.minimum(row[1:] + 1, row[:-1] + (codes != ord(character)))
        # Each insert moves one place on and costs 1, so the best run of them is a running minimum.
        row = np.minimum.accumulate(np.concatenate(([number], without_inserts)) - places) + places
    return int(row[-1])
