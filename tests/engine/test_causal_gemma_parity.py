"""`midfill.engine.causal_gemma` against transformers: every variant of Gemma 4, in and past the sliding window."""

from typing import Any

import pytest
import torch
from tests.engine.gemma4_parity import Gemma4Pair, each_variant
from tests.engine.parity import TOLERANCE, Record, assert_close, assert_equal
from transformers import DynamicCache

from midfill.engine.best_first import SearchSettings, best_first_search
from midfill.engine.causal_gemma import soft_capped
from midfill.engine.continuations import Continuations
from midfill.engine.prefix_cache import PrefixCache
from midfill.engine.reading import Reading
from midfill.engine.scoring import continuation_log_probabilities
from midfill.engine.tree_kv import TreeKV
from midfill.engine.writable import AnyText

each_length = pytest.mark.parametrize("length", [1, 4, 8, 9, 40])
"""Tokens: one, fewer than a window, a window, one more, many windows."""


@each_variant
@each_length
@torch.no_grad()
def test_logits_of_every_token(gemma4: Gemma4Pair, length: int, record_property: Record) -> None:
    tokens = gemma4.tokens(length, seed=3)
    theirs = gemma4.reference(input_ids=torch.tensor([tokens])).logits[0]
    assert_close(record_property, gemma4, "causal logits", gemma4.logits(tokens), theirs)


@each_variant
@torch.no_grad()
def test_keys_and_values_of_every_layer(gemma4: Gemma4Pair, record_property: Record) -> None:
    tokens = gemma4.tokens(40, seed=4)
    whole: Any = DynamicCache()  # made without the config, it keeps all of the sliding layers' prefix, too
    gemma4.reference(input_ids=torch.tensor([tokens]), past_key_values=whole)
    slot = gemma4.slot(tokens)
    assert len(list(whole)) == gemma4.loaded.config.num_kv_layers
    for index, (keys, values, _) in enumerate(whole):
        assert_close(record_property, gemma4, "causal keys", slot.keys(index), keys[0])
        assert_close(record_property, gemma4, "causal values", slot.values(index), values[0])


@each_variant
@pytest.mark.parametrize("sizes", [[1] * 30, [7, 1, 1, 21], [20, 10]], ids=["by_one", "mixed", "two_chunks"])
@torch.no_grad()
def test_incremental_equals_whole(gemma4: Gemma4Pair, sizes: list[int]) -> None:
    tokens = gemma4.tokens(30, seed=5)
    pieces, start = [], 0
    for size in sizes:
        pieces.append(tokens[start : start + size])
        start += size
    whole, slot = gemma4.slot(tokens), gemma4.slot(*pieces)
    assert whole.last_hidden is not None
    assert slot.last_hidden is not None
    torch.testing.assert_close(slot.last_hidden, whole.last_hidden, atol=TOLERANCE, rtol=0)
    for index in range(len(gemma4.loaded.config.layers)):
        torch.testing.assert_close(slot.keys(index), whole.keys(index), atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(slot.values(index), whole.values(index), atol=TOLERANCE, rtol=0)


@each_variant
@pytest.mark.parametrize("ngram", [0, 1], ids=["plain", "no_token_twice"])
@torch.no_grad()
def test_greedy_text_is_that_of_generate(gemma4: Gemma4Pair, ngram: int, record_property: Record) -> None:
    """Random models like to repeat themselves, so once more without any token that was there before."""
    image = gemma4.loaded.config.vocab_size - 1  # stands for an image in transformers
    for length in (3, 21):
        prompt = gemma4.tokens(length, seed=length)
        theirs = gemma4.reference.generate(
            torch.tensor([prompt]),
            max_new_tokens=40,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
            no_repeat_ngram_size=ngram,
            suppress_tokens=[image],
        )[0, length:]
        slot, cache = gemma4.slot(prompt), PrefixCache(gemma4.loaded.model, max_bytes=0)
        for _ in theirs:
            assert slot.last_hidden is not None
            logits = gemma4.loaded.model.logits(slot.last_hidden)
            logits[image] = -torch.inf
            if ngram:
                logits[slot.tokens] = -torch.inf
            cache.encode(slot, [int(logits.argmax())])
        assert_equal(record_property, gemma4, "greedy tokens", torch.tensor(slot.tokens[length:]), theirs)


@each_variant
@torch.no_grad()
def test_scores_trees_and_searches_see_what_whole_sequences_show(gemma4: Gemma4Pair) -> None:
    prompt, ends = gemma4.tokens(20, seed=6), [gemma4.tokens(12, seed=7), gemma4.tokens(12, seed=8)]
    slot = gemma4.slot(prompt)
    whole = [gemma4.logits(prompt + tokens).log_softmax(dim=-1) for tokens in ends]
    scores = continuation_log_probabilities(gemma4.loaded.model, slot, ends)
    tree, nodes = TreeKV(gemma4.loaded.model, slot), [None, None]
    for step in range(12):
        hidden = tree.grow(nodes, [tokens[step] for tokens in ends])
        nodes = [2 * step, 2 * step + 1]
        for row, tokens in enumerate(ends):
            found = gemma4.loaded.model.logits(hidden[row]).log_softmax(dim=-1)
            torch.testing.assert_close(found, whole[row][20 + step], atol=TOLERANCE, rtol=0)
            torch.testing.assert_close(scores[row][step], whole[row][19 + step, tokens[step]], atol=TOLERANCE, rtol=0)
    banned = torch.zeros(gemma4.loaded.config.vocab_size, dtype=torch.bool)
    known = Continuations(Reading(gemma4.loaded.model, slot))
    settings = SearchSettings(width=3, longest=4, kept=2, most=9, ahead=1)
    *_, fills = best_first_search(known, ends, 5, AnyText(banned), settings)
    found = gemma4.logits(prompt + fills[0] + [5]).log_softmax(dim=-1)
    wanted = [float(found[19 + place, token]) for place, token in enumerate([*fills[0], 5])]
    assert known.log_probabilities([[*fills[0], 5]])[0] == pytest.approx(wanted, abs=TOLERANCE)


def test_logits_are_capped_as_tanh_does_it() -> None:
    logits = torch.linspace(-300, 300, 6001)
    expected = torch.tanh(logits / 30) * 30
    torch.testing.assert_close(soft_capped(logits, 30.0), expected, atol=1e-5, rtol=0)
