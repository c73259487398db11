"""`midfill.engine.prefix_cache`: what is cached and extended equals what is computed afresh."""

import random
from collections.abc import Generator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.small_model import WINDOW, small_model

from midfill.engine.kv import KVSlot
from midfill.engine.prefix_cache import PrefixCache

VOCAB = 64
TOLERANCE = 1e-5
"""Absolute, float32: chunks of other sizes add up in another order."""
MODEL = small_model(VOCAB)


def finished(chunks: Generator[None, None, KVSlot]) -> KVSlot:
    """The slot after a whole prefill, in use."""
    while True:
        try:
            next(chunks)
        except StopIteration as end:
            return end.value


def prefilled(cache: PrefixCache, document: str, tokens: list[int]) -> KVSlot:
    """The slot after a whole prefill, no longer in use."""
    slot = finished(cache.prefill(document, tokens))
    cache.release(document)
    return slot


def fresh_slot(tokens: list[int]) -> KVSlot:
    """The slot of a new cache, prefilled in one pass."""
    return prefilled(PrefixCache(MODEL, 1 << 30, chunk_tokens=len(tokens)), "fresh", tokens)


def predicted(slot: KVSlot) -> torch.Tensor:
    """Canvas logits [C, V] over `slot`."""
    canvas = torch.arange(7)[None] % VOCAB
    positions = torch.arange(len(slot.tokens), len(slot.tokens) + 7)
    return MODEL.logits(MODEL.denoise(canvas, positions, None, slot.attend_canvas))[0]


def assert_equal_slots(slot: KVSlot, fresh: KVSlot) -> None:
    assert slot.tokens == fresh.tokens
    for index in range(len(MODEL.layers)):
        torch.testing.assert_close(slot.keys(index), fresh.keys(index), atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(slot.values(index), fresh.values(index), atol=TOLERANCE, rtol=0)
    assert slot.last_hidden is not None
    assert fresh.last_hidden is not None
    torch.testing.assert_close(slot.last_hidden, fresh.last_hidden, atol=TOLERANCE, rtol=0)
    with torch.inference_mode():
        ours, theirs = predicted(slot), predicted(fresh)
    torch.testing.assert_close(ours, theirs, atol=10 * TOLERANCE, rtol=0)  # logits are sums of 32 products
    assert torch.equal(ours.argmax(dim=-1), theirs.argmax(dim=-1))


def edited(tokens: list[int], rng: random.Random) -> list[int]:
    """`tokens` after an insertion, a deletion or a replacement at any place."""
    at = rng.randrange(len(tokens) + 1)
    removed = rng.choice((0, 0, 1, 2, WINDOW, len(tokens)))
    added = [rng.randrange(VOCAB) for _ in range(rng.choice((0, 1, 1, 3, WINDOW + 5)))]
    return (tokens[:at] + added + tokens[at + removed :]) or [2]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), chunk=st.integers(1, 50), num_edits=st.integers(1, 6))
def test_cached_and_extended_equals_fresh_after_random_edits(seed: int, chunk: int, num_edits: int):
    rng = random.Random(seed)
    cache = PrefixCache(MODEL, 1 << 30, chunk_tokens=chunk)
    tokens = [rng.randrange(VOCAB) for _ in range(rng.randrange(1, 4 * WINDOW))]
    for _ in range(num_edits):
        assert_equal_slots(prefilled(cache, "a", tokens), fresh_slot(tokens))
        tokens = edited(tokens, rng)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), kilobytes=st.integers(0, 120))
def test_documents_with_evictions_equal_fresh_and_keep_the_budget(seed: int, kilobytes: int):
    rng = random.Random(seed)
    cache = PrefixCache(MODEL, kilobytes << 10, chunk_tokens=rng.randrange(1, 40))
    documents = {name: [rng.randrange(VOCAB) for _ in range(rng.randrange(1, 40))] for name in "abcd"}
    for _ in range(8):
        name = rng.choice("abcd")
        documents[name] = edited(documents[name], rng)
        assert_equal_slots(prefilled(cache, name, documents[name]), fresh_slot(documents[name]))
        assert cache.num_bytes <= kilobytes << 10


@pytest.mark.parametrize("length", [WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW])
def test_every_chunk_size_gives_the_same_slot(length: int):
    tokens = [(7 * index) % VOCAB for index in range(length)]
    for chunk in (1, 2, WINDOW - 1, WINDOW, WINDOW + 1, length):
        slot = prefilled(PrefixCache(MODEL, 1 << 30, chunk_tokens=chunk), "a", tokens)
        assert_equal_slots(slot, fresh_slot(tokens))


def test_only_changed_tokens_are_encoded_again(monkeypatch: pytest.MonkeyPatch):
    cache, encoded = PrefixCache(MODEL, 1 << 30), []
    encode = cache.encode
    monkeypatch.setattr(cache, "encode", lambda slot, tokens: (encoded.append(len(tokens)), encode(slot, tokens)))
    prefilled(cache, "a", [3] * 40)
    prefilled(cache, "a", [3] * 40 + [4, 5])
    prefilled(cache, "a", [3] * 40 + [4, 5])
    prefilled(cache, "a", [3] * 30 + [9] * 12)
    assert encoded == [40, 2, 12]


def test_the_least_recently_used_document_goes_first():
    one = fresh_slot([3] * 10).num_bytes
    cache = PrefixCache(MODEL, 2 * one)
    for document in ("a", "b", "a", "c"):
        prefilled(cache, document, [3] * 10)
    assert cache.documents == ["a", "c"]


def test_a_document_in_use_is_not_evicted():
    one = fresh_slot([3] * 10).num_bytes
    cache = PrefixCache(MODEL, one)
    used = finished(cache.prefill("a", [3] * 10))
    prefilled(cache, "b", [4] * 10)
    assert "a" in cache.documents
    assert_equal_slots(used, fresh_slot([3] * 10))
    cache.release("a")
    assert cache.num_bytes <= one


@pytest.mark.parametrize(("length", "passes"), [(1, 1), (8, 1), (9, 2), (40, 5)])
def test_a_chunk_is_one_next_and_a_cached_prompt_none(length: int, passes: int):
    cache, tokens = PrefixCache(MODEL, 1 << 30, chunk_tokens=8), [3] * length
    assert len(list(cache.prefill("a", tokens))) == passes
    cache.release("a")
    assert list(cache.prefill("a", tokens)) == []


def test_a_slot_keeps_no_more_of_the_models_output_than_the_last_token():
    last_hidden = fresh_slot([3] * 40).last_hidden
    assert last_hidden is not None
    assert last_hidden.untyped_storage().nbytes() == last_hidden.nbytes


def test_closing_a_prefill_keeps_the_chunks_that_are_done():
    cache = PrefixCache(MODEL, 1 << 30, chunk_tokens=8)
    tokens = [index % VOCAB for index in range(40)]
    chunks = cache.prefill("a", tokens)
    next(chunks)
    next(chunks)
    chunks.close()
    assert cache.cached_tokens("a", tokens) == 16
    assert_equal_slots(prefilled(cache, "a", tokens), fresh_slot(tokens))


def test_a_forgotten_document_frees_its_bytes():
    cache = PrefixCache(MODEL, 1 << 30)
    prefilled(cache, "a", [3] * 10)
    cache.forget("a")
    assert cache.num_bytes == 0
