"""`midfill.engine.choosing`: samples are the target's whatever is drafted, and what is banned is never written."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from midfill.engine.choosing import BLOCK, SampleSettings, greedy, probabilities, sampled
from midfill.engine.draws import Draws
from midfill.engine.verify import Verdict, Verify

CPU = torch.device("cpu")
VOCAB = 6
LOGITS = torch.tensor(
    [
        [1.0, 0.4, -0.3, -1.1, 0.1, -2.0],
        [-0.7, 0.2, 1.3, 0.9, -0.4, 0.0],
        [0.3, -0.9, 0.8, -0.1, 1.2, 0.5],
        [2.0, 0.0, -1.0, 0.7, 0.2, 1.1],
        [-0.2, 1.6, 0.3, -1.4, 0.9, 0.1],
        [0.6, -0.6, 0.0, 1.4, -1.0, 0.8],
    ]
)
"""Of the token after each of six: a language with a memory of one token."""
ROUNDS = 4000
SURE = 1e-4
"""A fair rule's p-value is below this once in ten thousand seeds."""
SETTINGS = SampleSettings(temperature=0.8, top_k=5, top_p=0.9)


def texts(verify: Verify, draft: int | None, rounds: int = ROUNDS) -> Iterator[int]:
    """Tokens of one decode from token 0, as `speculate` has them written: `draft` is proposed twice after each."""
    token = verify([], LOGITS[[0]]).follow
    for _ in range(rounds):
        drafts = [] if draft is None else [draft, (draft + 1) % VOCAB]
        accepted, follow = verify(drafts, LOGITS[[token, *drafts]])
        yield from [token, *drafts[:accepted]]
        token = follow


def p_value(statistic: float, freedom: int) -> float:
    """Upper tail of chi-squared, of an even number of degrees of freedom: a finite sum."""
    assert freedom % 2 == 0
    half, term, total = statistic / 2, 1.0, 0.0
    for index in range(freedom // 2):
        total += term
        term *= half / (index + 1)
    return math.exp(-half) * total


def fit(tokens: list[int], settings: SampleSettings) -> float:
    """The least p-value, over what came before, of `tokens` being samples of `LOGITS`; impossible ones give 0."""
    pairs, worst = Counter(pairwise(tokens)), 1.0
    for before, chances in enumerate(probabilities(LOGITS, settings).tolist()):
        counts = [pairs[before, after] for after in range(VOCAB)]
        if any(count and not chance for count, chance in zip(counts, chances, strict=True)):
            return 0.0
        expected = [chance * sum(counts) for chance in chances]
        parts = [(count - want) ** 2 / want for count, want in zip(counts, expected, strict=True) if want]
        # One degree more than there is where their number is odd: the p-value is then a little too large.
        worst = min(worst, p_value(sum(parts), (len(parts) - 1) + (len(parts) - 1) % 2) if sum(parts) else 1.0)
    return worst


def test_the_p_value_is_the_tables():
    assert p_value(9.488, 4) == pytest.approx(0.05, abs=1e-5)


@pytest.mark.parametrize("settings", [SampleSettings(), SETTINGS], ids=["plain", "cut"])
@pytest.mark.parametrize("draft", [None, 0, 3, 5])
def test_samples_are_the_targets_whatever_is_drafted(settings: SampleSettings, draft: int | None):
    tokens = list(texts(sampled(settings, Draws(3, CPU)), draft))
    assert fit(tokens, settings) > SURE


def test_a_rule_that_takes_drafts_for_samples_of_the_drafter_would_be_noticed():
    """Acceptance with min(1, p(x) / q(x)), x being the drafter's likeliest token and q(x) = 2/3."""
    generator = torch.Generator().manual_seed(3)

    def biased(drafts: Sequence[int], logits: Tensor) -> Verdict:
        own = logits.softmax(dim=-1)
        for place, draft in enumerate(drafts):
            if float(torch.rand(1, generator=generator)) >= 1.5 * float(own[place, draft]):
                others = own[place].index_fill(0, torch.tensor(draft), 0)
                return Verdict(place, int(torch.multinomial(others, 1, generator=generator)))
        return Verdict(len(drafts), int(torch.multinomial(own[-1], 1, generator=generator)))

    assert fit(list(texts(biased, None)), SampleSettings()) > SURE
    assert fit(list(texts(biased, 5)), SampleSettings()) < SURE**2


def test_the_same_seed_writes_the_same_text_whatever_is_drafted_or_decoded_meanwhile():
    plain = list(texts(sampled(SETTINGS, Draws(7, CPU)), None, 3 * BLOCK))
    for draft in range(VOCAB):
        draws = Draws(7, CPU)
        steps, other = texts(sampled(SETTINGS, draws), draft), texts(sampled(SETTINGS, draws), None)
        both = [next(steps) for _ in plain if next(other) >= 0]
        assert both == plain
    assert plain != list(texts(sampled(SETTINGS, Draws(8, CPU)), None, 3 * BLOCK))


def test_decodes_of_the_same_draws_differ():
    draws = Draws(7, CPU)
    one, other = (list(texts(sampled(SETTINGS, draws), None, 50)) for _ in range(2))
    assert one != other


@given(
    logits=st.lists(st.integers(-400, 400), min_size=9, max_size=9, unique=True),
    temperature=st.sampled_from([0.3, 1.0, 1.7]),
    top_k=st.sampled_from([None, 1, 3, 9, 50]),
    top_p=st.sampled_from([None, 0.01, 0.5, 0.93, 1.0]),
)
def test_probabilities_are_those_of_transformers(
    logits: list[int], temperature: float, top_k: int | None, top_p: float | None
):
    scores: Tensor = torch.tensor([logits]) / 100
    before = scores.clone()
    ours = probabilities(scores, SampleSettings(temperature, top_k, top_p))
    ids: torch.LongTensor = torch.zeros(1, 1, dtype=torch.long)  # pyright: ignore[reportAssignmentType]
    warpers = [TemperatureLogitsWarper(temperature)]
    warpers += [TopKLogitsWarper(top_k)] if top_k else []
    warpers += [TopPLogitsWarper(top_p)] if top_p else []
    theirs = scores
    for warper in warpers:
        theirs = warper(ids, theirs)  # pyright: ignore[reportArgumentType]
    torch.testing.assert_close(ours, theirs.softmax(dim=-1), atol=1e-6, rtol=0)
    assert torch.equal(scores, before)
    assert ours[0, scores.argmax()] > 0


def mask(*tokens: int) -> Tensor:
    return torch.zeros(VOCAB, dtype=torch.bool).index_fill(0, torch.tensor(tokens, dtype=torch.long), True)


@pytest.mark.parametrize("settings", [None, SampleSettings(), SETTINGS, SampleSettings(top_k=2)], ids=str)
@pytest.mark.parametrize("draft", [None, 2, 3])
def test_what_is_banned_is_never_written(settings: SampleSettings | None, draft: int | None):
    firsts = set[int]()
    for seed in range(40):
        masks = mask(2, 3), mask(0, 1)
        verify = greedy(*masks) if settings is None else sampled(settings, Draws(seed, CPU), *masks)
        first, *others = texts(verify, draft, 20)
        firsts.add(first)
        assert first in (4, 5)
        assert not {2, 3} & set(others)
        assert {0, 1} & set(others)  # which were banned for the first token alone
    if settings == SampleSettings():
        assert firsts == {4, 5}


def test_greedy_is_the_likeliest_of_what_may_be_written():
    verify = greedy(mask(2), mask(0))
    assert verify([], LOGITS[[0]]) == (0, 1)
    assert verify([3, 0], LOGITS[[1, 3, 0]]) == (2, 0)
    assert verify([2, 0], LOGITS[[1, 2, 0]]) == (0, 3)


def test_without_a_mask_of_its_own_the_first_token_obeys_the_common_one():
    verify = greedy(mask(0))
    assert [verify([], LOGITS[[0]]).follow for _ in range(2)] == [1, 1]
    verify = greedy(banned_first=mask(0))
    assert [verify([], LOGITS[[0]]).follow for _ in range(2)] == [1, 0]


def test_masks_that_leave_no_token_are_our_own_bug():
    with pytest.raises(AssertionError):
        greedy(mask(0, 1, 2), mask(3, 4, 5))
