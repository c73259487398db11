"""`midfill.engine.verify`: the exact rules, and that the test would notice transformers' biased one."""

import itertools
import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers.generation.utils import _speculative_sampling

from midfill.engine.verify import Verdict, verify_greedy, verify_sampled

TARGET = torch.tensor([[0.5, 0.3, 0.15, 0.05], [0.1, 0.2, 0.3, 0.4], [0.25, 0.05, 0.6, 0.1]])
"""Probabilities of the first token, of the second and of the third, whatever came before: V = 4."""
DRAFTS = [[0, 3, 2], [1, 0], [3], []]
ROUNDS = 8000
SURE = 1e-4
"""A fair rule's p-value is below this once in ten thousand seeds; the biased rule's is below 1e-100."""


def chi_squared(counts: Counter[int], expected: Tensor) -> float:
    """p-value of `counts` being drawn from `expected` [4]: Pearson's test with 3 degrees of freedom."""
    total = sum(counts.values())
    statistic = sum((counts[token] - total * p) ** 2 / (total * p) for token, p in enumerate(expected.tolist()))
    # The upper tail of chi-squared with 3 degrees of freedom in closed form.
    tail = math.exp(-statistic / 2) * math.sqrt(2 * statistic / math.pi)
    return math.erfc(math.sqrt(statistic / 2)) + tail


def test_the_p_value_is_the_tables():
    """0.05 at 7.815: with four equal chances and 100 draws, 15, 15, 35, 35 are at 16, which is 0.001134."""
    counts = Counter({0: 15, 1: 15, 2: 35, 3: 35})
    assert chi_squared(counts, torch.full((4,), 0.25)) == pytest.approx(0.0011340, abs=1e-6)


@pytest.mark.parametrize("drafts", DRAFTS, ids=str)
def test_the_exact_rule_samples_the_target(drafts: list[int]):
    uniform = torch.rand(ROUNDS, 4, generator=torch.Generator().manual_seed(1))
    target = torch.cat((TARGET, TARGET[:1]))[: len(drafts) + 1]
    places = [Counter[int]() for _ in target]
    for round in range(ROUNDS):
        verdict = verify_sampled(drafts, target, uniform[round, : len(target)])
        for place, token in enumerate([*drafts[: verdict.accepted], verdict.follow]):
            places[place][token] += 1
    for place, counts in enumerate(places):
        assert chi_squared(counts, target[place]) > SURE, (place, counts)


def test_transformers_biased_rule_would_be_noticed():
    """It takes an argmax draft for a sample of the drafter's distribution, so far too often."""
    torch.manual_seed(1)
    target = TARGET[:2].log()[None]
    counts = Counter[int]()
    for _ in range(ROUNDS // 4):
        kept, _ = _speculative_sampling(torch.tensor([[3, 0]]), TARGET[:1].log()[None], 1, target)
        counts[int(kept[0, 0])] += 1
    assert chi_squared(counts, TARGET[0]) < SURE**2


def test_greedy_keeps_the_longest_start_that_agrees():
    logits = torch.eye(4)[[2, 0, 3]]
    assert verify_greedy([2, 0], logits) == Verdict(2, 3)
    assert verify_greedy([2, 1], logits) == Verdict(1, 0)
    assert verify_greedy([1, 0], logits) == Verdict(0, 2)
    assert verify_greedy([], logits[:1]) == Verdict(0, 2)


@given(
    weights=st.lists(st.lists(st.sampled_from([0.0, 0.1, 1.0]), min_size=4, max_size=4), min_size=4, max_size=4).filter(
        lambda rows: all(sum(weight > 0 for weight in row) > 1 for row in rows)
    ),
    drafts=st.lists(st.integers(0, 3), max_size=3),
    uniform=st.lists(st.floats(0, 1, exclude_max=True), min_size=4, max_size=4),
)
def test_drafts_change_no_token_none_is_impossible_and_inputs_stay(
    weights: list[list[float]], drafts: list[int], uniform: list[float]
):
    chances = torch.tensor(weights)
    chances = chances / chances.sum(dim=-1, keepdim=True)
    before = chances.clone()
    draws = torch.tensor(uniform, dtype=torch.float64)[: len(drafts) + 1]
    verdict = verify_sampled(drafts, chances[: len(drafts) + 1], draws)
    for place, token in enumerate([*drafts[: verdict.accepted], verdict.follow]):
        assert chances[place, token] > 0
    if verdict.accepted < len(drafts):
        assert verdict.follow != drafts[verdict.accepted]
    assert torch.equal(chances, before)
    assert verdict == verify_sampled(drafts, chances[: len(drafts) + 1], draws)
    own = [verify_sampled([], chances[[place]], draws[[place]]).follow for place in range(len(drafts) + 1)]
    assert [*drafts[: verdict.accepted], verdict.follow] == own[: verdict.accepted + 1]  # as without drafts


@pytest.mark.parametrize("draft", range(4))
def test_a_certain_token_is_always_kept(draft: int):
    certain = torch.eye(4)[[draft, draft]]
    for first, second in itertools.product((0.0, 0.5, 1 - 2**-53), repeat=2):
        uniform = torch.tensor([first, second], dtype=torch.float64)
        assert verify_sampled([draft], certain, uniform) == Verdict(1, draft)
