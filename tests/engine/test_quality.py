"""Figures on fills: distances are Levenshtein's, intervals come from whole groups, shares are what they say."""

from functools import cache
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midfill.engine.quality import (
    Estimate,
    Outcome,
    edit_distance,
    edit_similarity,
    estimate,
    percentile,
    quality,
)

OUTCOME = Outcome(
    group="a", exact=True, similarity=1.0, same_lines=True, tokens_off=0, shown=True, steps=4, latency_ms=10.0
)


def defined_distance(text: str, other: str) -> int:
    """By the recursion that defines it."""

    @cache
    def upto(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        replaced = upto(i - 1, j - 1) + (text[i - 1] != other[j - 1])
        return min(upto(i - 1, j) + 1, upto(i, j - 1) + 1, replaced)

    return upto(len(text), len(other))


@given(st.text("abé🙂\n", max_size=9), st.text("abé🙂\n", max_size=9))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_the_edit_distance_is_what_defines_it(text: str, other: str) -> None:
    assert edit_distance(text, other) == edit_distance(other, text) == defined_distance(text, other)


def test_similarity_is_the_distance_over_the_longer_text() -> None:
    assert edit_similarity("return", "retrun x") == 1 - 4 / 8
    assert (edit_similarity("", ""), edit_similarity("", "x"), edit_similarity("x", "x")) == (1.0, 0.0, 1.0)


def test_each_figure_counts_what_it_says() -> None:
    found = quality(
        [
            OUTCOME,
            OUTCOME._replace(group="b", exact=False, similarity=0.5, tokens_off=1, latency_ms=30.0),
            OUTCOME._replace(group="c", exact=False, similarity=0.0, same_lines=False, tokens_off=-2, shown=False),
            OUTCOME._replace(group="d", shown=False, steps=8, latency_ms=20.0),
        ]
    )
    shares = found.exact, found.similarity, found.same_lines, found.same_tokens, found.about_tokens, found.shown
    assert [each.value for each in shares] == [0.5, 0.625, 0.75, 0.5, 0.75, 0.5]
    assert found.exact_of_shown is not None
    assert found.exact_of_shown.value == 0.5
    assert (found.records, found.steps, found.p50_ms, found.p90_ms) == (4, 5.0, 10.0, 30.0)


def test_nothing_is_said_of_what_is_shown_where_nothing_is() -> None:
    assert quality([OUTCOME._replace(shown=False)]).exact_of_shown is None


def test_an_interval_holds_the_true_mean_nineteen_times_in_twenty() -> None:
    chance = Random(0)
    names = [str(number) for number in range(60)]
    held = 0
    for _ in range(200):
        found = estimate([chance.random() < 0.3 for _ in names], names)
        assert found is not None
        held += found.low <= 0.3 <= found.high
    assert 0.90 <= held / 200 <= 0.98


def test_an_interval_does_not_shrink_where_records_of_a_group_repeat_each_other() -> None:
    values = [number % 3 == 0 for number in range(30)]
    once = estimate(values, [str(number) for number in range(30)])
    tenfold = estimate([value for value in values for _ in range(10)], [str(n) for n in range(30) for _ in range(10)])
    assert once == tenfold


def test_only_what_is_counted_counts() -> None:
    assert estimate([1, 1, 0, 0], ["a", "b", "c", "d"], [True, True, False, False]) == Estimate(1.0, 1.0, 1.0)


def test_the_same_outcomes_have_the_same_figures() -> None:
    outcomes = [OUTCOME._replace(group=str(number), exact=number % 2 == 0) for number in range(20)]
    first, second = quality(outcomes), quality(outcomes)
    assert first == second
    assert first.exact.low < first.exact.value < first.exact.high


@pytest.mark.parametrize(("share", "expected"), [(0.5, 2), (0.75, 3), (0.9, 4), (0.0, 1), (1.0, 4)])
def test_a_percentile_is_one_of_the_values(share: float, expected: int) -> None:
    assert percentile([3, 1, 4, 2], share) == expected


def test_percentiles_never_fall() -> None:
    values = [float(Random(7).random()) for _ in range(9)]
    found = [percentile(values, share / 10) for share in range(11)]
    assert all(one <= other for one, other in pairwise(found))
