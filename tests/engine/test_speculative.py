"""`midfill.engine.speculative`: whatever is drafted, the text is the target's own, and so is what is cached."""

import random
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.small_model import WINDOW, small_model
from tests.engine.tiny_gemma4 import DRAFTED
from torch import Tensor

from midfill.engine.choosing import SampleSettings, greedy, sampled
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.draft_length import DraftLength, Round
from midfill.engine.draws import Draws
from midfill.engine.gemma4_checkpoint import load_drafter, load_gemma4
from midfill.engine.kv import GROWTH, KVSlot
from midfill.engine.passes import read
from midfill.engine.prefix_cache import PrefixCache
from midfill.engine.speculative import Draft, drafts_that_pay, no_drafts, speculate
from midfill.engine.verify import Verify, verify_greedy


class Restless(DiffusionGemma):
    """Prefers other tokens than its weights do: at random, those would repeat the last token for ever."""

    def logits(self, hidden: Tensor) -> Tensor:
        return super().logits(hidden).roll(7, dims=-1)


MODEL = small_model()
MODEL.__class__ = Restless
VOCAB = MODEL.config.vocab_size
TOLERANCE = 1e-5
"""Absolute, float32: passes of other lengths add up in another order."""
LENGTH = 24


def slot_of(tokens: Sequence[int]) -> KVSlot:
    prefixes = PrefixCache(MODEL, 1 << 30)
    slot = prefixes._new_slot()
    prefixes.encode(slot, tokens)
    return slot


def prompt_of(seed: int, length: int) -> list[int]:
    rng = random.Random(seed)
    return [rng.randrange(VOCAB) for _ in range(length)]


@cache
def plain(seed: int, length: int) -> tuple[int, ...]:
    """`LENGTH` tokens of plain greedy decoding, one a forward pass."""
    steps = speculate(MODEL, slot_of(prompt_of(seed, length)), no_drafts, verify_greedy)
    return tuple(token for _ in range(LENGTH) for token in next(steps))


def oracle(seed: int, length: int, count: int, wrong: float) -> Draft:
    """Drafts `count` tokens of the plain text, each of them wrong with that probability."""
    rng = random.Random(seed + 1)

    def draft(slot: KVSlot, token: int) -> list[int]:
        done = len(slot.tokens) - length
        right = plain(seed, length)[done + 1 : done + 1 + count]
        return [(each + 1) % VOCAB if rng.random() < wrong else each for each in right]

    return draft


def test_plain_decoding_is_the_argmax_of_whole_sequences():
    prompt, text = prompt_of(0, 5), plain(0, 5)
    whole = slot_of([0])  # only to attend with
    whole.trim(0)
    ids = torch.tensor([[*prompt, *text]])
    hidden = MODEL.encode(ids, torch.arange(ids.shape[1]), whole.attend_causal)
    assert MODEL.logits(hidden)[0, 4:-1].argmax(dim=-1).tolist() == list(text)
    assert len(set(text)) > 10


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 5),
    length=st.sampled_from([1, 2, WINDOW - 1, WINDOW, WINDOW + 1, 4 * WINDOW, GROWTH - 3]),
    count=st.integers(1, 8),
    wrong=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_drafted_text_is_the_plain_text(seed: int, length: int, count: int, wrong: float):
    slot = slot_of(prompt_of(seed, length))
    text: list[int] = []
    steps = speculate(MODEL, slot, oracle(seed, length, count, wrong), verify_greedy)
    passes = 0
    while len(text) < LENGTH:
        text += next(steps)
        passes += 1
        assert slot.tokens == [*prompt_of(seed, length), *text]
    assert tuple(text[:LENGTH]) == plain(seed, length)
    if wrong == 0.0:
        assert passes <= -(-LENGTH // (count + 1)) + count  # the oracle runs out of text at the end
    if wrong == 1.0:
        assert passes >= LENGTH - 1


def written(verify: Verify, draft: Draft, seed: int, length: int) -> list[int]:
    steps, text = speculate(MODEL, slot_of(prompt_of(seed, length)), draft, verify), list[int]()
    while len(text) < LENGTH:
        text += next(steps)
    return text[:LENGTH]


@pytest.mark.parametrize("length", [2, WINDOW, GROWTH - 3])
@pytest.mark.parametrize("wrong", [0.0, 0.3])
def test_a_sampled_text_is_that_of_its_seed_whatever_is_drafted(length: int, wrong: float):
    chosen = SampleSettings(temperature=0.5, top_k=8, top_p=0.9)
    banned = torch.arange(VOCAB) % 9 == 0

    def verify(seed: int) -> Verify:
        return sampled(chosen, Draws(seed, torch.device("cpu")), banned)

    for seed in range(3):
        wanted = written(verify(seed), no_drafts, seed, length)
        assert not any(banned[wanted])
        assert wanted != list(plain(seed, length))
        for count in (1, 3, 8):
            rng = random.Random(seed)

            def draft(slot: KVSlot, token: int, count: int = count, wanted: Sequence[int] = wanted) -> list[int]:
                right = wanted[len(slot.tokens) - length + 1 :][:count]
                return [(each + 1) % VOCAB if rng.random() < wrong else each for each in right]  # noqa: B023

            assert written(verify(seed), draft, seed, length) == wanted


def test_what_is_banned_is_neither_drafted_into_the_text_nor_followed():
    banned = torch.zeros(VOCAB, dtype=torch.bool)
    banned[list(plain(0, 5)[:3])] = True
    wanted = written(greedy(banned), no_drafts, 0, 5)
    assert not any(banned[wanted])
    assert written(greedy(banned), oracle(0, 5, 4, 0.0), 0, 5) == wanted
    assert written(greedy(banned_first=banned), no_drafts, 0, 5)[0] == wanted[0]


def test_each_pass_is_told_of_with_what_it_came_to():
    rounds, slot = list[Round](), slot_of(prompt_of(1, 6))
    steps = speculate(MODEL, slot, oracle(1, 6, 3, 0.3), verify_greedy, rounds.append)
    kept = [next(steps) for _ in range(6)]
    assert [round.num_accepted for round in rounds] == [len(tokens) - 1 for tokens in kept]
    assert [round.num_drafts for round in rounds] == [3] * 6
    assert all(round.draft_s > 0 and round.pass_s > 0 for round in rounds)
    assert 0 < sum(round.num_accepted for round in rounds) < 18


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("length", [1, WINDOW - 1, WINDOW, 3 * WINDOW])
def test_a_rejected_draft_leaves_nothing(length: int, count: int):
    prompt = prompt_of(3, length)
    slot, fresh = slot_of(prompt), slot_of(prompt)
    before = [slot.keys(index).clone() for index in range(len(MODEL.layers))]
    wrong = oracle(3, length, count, 1.0)
    (kept,) = next(speculate(MODEL, slot, wrong, verify_greedy))
    next(speculate(MODEL, fresh, no_drafts, verify_greedy))
    assert slot.tokens == fresh.tokens == [*prompt, kept]
    assert slot.last_hidden is not None
    assert fresh.last_hidden is not None
    torch.testing.assert_close(slot.last_hidden, fresh.last_hidden, atol=TOLERANCE, rtol=0)
    for index in range(len(MODEL.layers)):
        assert torch.equal(slot.keys(index)[:, :length], before[index])
        assert slot.keys(index).shape == fresh.keys(index).shape
        torch.testing.assert_close(slot.keys(index), fresh.keys(index), atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(slot.values(index), fresh.values(index), atol=TOLERANCE, rtol=0)


def test_what_was_read_ahead_does_not_count():
    slot, untouched = slot_of(prompt_of(4, 9)), slot_of(prompt_of(4, 9))
    read(MODEL, slot, [1, 2, 3])
    assert slot.tokens == untouched.tokens
    for index in range(len(MODEL.layers)):
        assert torch.equal(slot.keys(index), untouched.keys(index))
    steps, others = (speculate(MODEL, each, no_drafts, verify_greedy) for each in (slot, untouched))
    assert [next(steps) for _ in range(20)] == [next(others) for _ in range(20)]


@pytest.mark.parametrize("variant", list(DRAFTED))
def test_with_a_real_drafter_every_variant_writes_its_plain_text(
    variant: str, tiny_gemma4: Callable[[str], Path], tiny_drafter: Callable[[str], Path]
):
    cpu = torch.device("cpu")
    loaded = load_gemma4(tiny_gemma4(variant), cpu, torch.float32)
    drafter = load_drafter(tiny_drafter(variant), loaded.config, cpu, torch.float32)

    def text_of(draft: Draft, prompt: list[int]) -> list[int]:
        slot = KVSlot(loaded.config, cpu, torch.float32)
        PrefixCache(loaded.model, 0).encode(slot, prompt)
        steps, text = speculate(loaded.model, slot, draft, verify_greedy), list[int]()
        while len(text) < LENGTH:
            text += next(steps)
        return text[:LENGTH]

    for length in (1, 8, 30):
        prompt = prompt_of(length, length)
        wanted = text_of(no_drafts, prompt)
        for count in (1, 3, 6):

            def draft(slot: KVSlot, token: int, count: int = count) -> list[int]:
                return drafter.draft(loaded.model, slot, token, count)

            assert text_of(draft, prompt) == wanted


def test_drafts_of_the_length_that_pays_change_no_token(
    tiny_gemma4: Callable[[str], Path], tiny_drafter: Callable[[str], Path]
):
    cpu = torch.device("cpu")
    loaded = load_gemma4(tiny_gemma4("E2B"), cpu, torch.float32)
    drafter = load_drafter(tiny_drafter("E2B"), loaded.config, cpu, torch.float32)
    lengths, used = DraftLength(6), set[int]()

    def learn(round: Round) -> None:
        """As if all drafts had been right, and a pass took as long whatever it looks at."""
        used.add(round.num_drafts)
        lengths.learn(Round(round.num_drafts, round.num_drafts, 0.1 * round.num_drafts, 1.0))

    def text_of(draft: Draft, prompt: list[int]) -> list[int]:
        slot = KVSlot(loaded.config, cpu, torch.float32)
        PrefixCache(loaded.model, 0).encode(slot, prompt)
        steps, text = speculate(loaded.model, slot, draft, verify_greedy, learn), list[int]()
        while len(text) < LENGTH:
            text += next(steps)
        return text[:LENGTH]

    for length in (1, 8, 30):
        prompt = prompt_of(length, length)
        assert text_of(drafts_that_pay(drafter, loaded.model, lengths), prompt) == text_of(no_drafts, prompt)
    assert {0, 2, 4, 6} <= used
