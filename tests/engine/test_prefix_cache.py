"""`midfill.engine.prefix_cache`: what is cached and extended equals what is computed afresh."""

import random
from collections.abc import Generator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.small_model import WINDOW, small_model

from midfill.engine.kv import KVSlot
from midfill.engine.prefix_cache import PLACES, PrefixCache

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
def test_jumps_between_places_and_documents_equal_fresh_and_keep_the_budget(seed: int, kilobytes: int):
    rng = random.Random(seed)
    cache = PrefixCache(MODEL, kilobytes << 10, chunk_tokens=rng.randrange(1, 40))
    places = {
        (document, place): [rng.randrange(VOCAB) for _ in range(rng.randrange(1, 40))]
        for document in "abcd"
        for place in range(1 + PLACES)
    }
    for _ in range(12):
        at = rng.choice("aabcd"), rng.randrange(1 + PLACES)
        places[at] = edited(places[at], rng)
        assert_equal_slots(prefilled(cache, at[0], places[at]), fresh_slot(places[at]))
        assert cache.num_bytes <= kilobytes << 10
        assert max(len(cache.slots(document)) for document in "abcd") <= PLACES


@pytest.mark.parametrize("length", [WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW])
def test_every_chunk_size_gives_the_same_slot(length: int):
    tokens = [(7 * index) % VOCAB for index in range(length)]
    for chunk in (1, 2, WINDOW - 1, WINDOW, WINDOW + 1, length):
        slot = prefilled(PrefixCache(MODEL, 1 << 30, chunk_tokens=chunk), "a", tokens)
        assert_equal_slots(slot, fresh_slot(tokens))


def counted(cache: PrefixCache, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens each pass of `cache` encodes, from now on."""
    encoded, encode = list[int](), cache.encode
    monkeypatch.setattr(cache, "encode", lambda slot, tokens: (encoded.append(len(tokens)), encode(slot, tokens)))
    return encoded


def test_only_changed_tokens_are_encoded_again(monkeypatch: pytest.MonkeyPatch):
    cache = PrefixCache(MODEL, 1 << 30)
    encoded = counted(cache, monkeypatch)
    prefilled(cache, "a", [3] * 40)
    prefilled(cache, "a", [3] * 40 + [4, 5])
    prefilled(cache, "a", [3] * 40 + [4, 5])
    prefilled(cache, "a", [3] * 30 + [9] * 12)
    assert encoded == [40, 2, 12]


def test_jumping_back_finds_the_first_places_kv_again(monkeypatch: pytest.MonkeyPatch):
    cache = PrefixCache(MODEL, 1 << 30)
    encoded = counted(cache, monkeypatch)
    for _ in range(2):
        for place in range(PLACES):
            assert_equal_slots(prefilled(cache, "a", [place] * 40), fresh_slot([place] * 40))
    assert encoded == [40] * PLACES


def test_one_place_more_takes_the_least_recently_used_slot():
    cache = PrefixCache(MODEL, 1 << 30)
    for place in (0, *range(PLACES)):
        prefilled(cache, "a", [place] * 40)
    prefilled(cache, "a", [0] * 40)
    oldest, *others = cache.slots("a")
    assert_equal_slots(prefilled(cache, "a", [PLACES] * 20), fresh_slot([PLACES] * 20))
    assert cache.slots("a") == [*others, oldest]
    assert [cache.cached_tokens("a", [place] * 40) for place in range(PLACES)] == [40, 0, 40, 40]


@pytest.mark.parametrize("places", [1, PLACES])
def test_another_place_begins_with_what_it_shares_with_the_nearest(places: int, monkeypatch: pytest.MonkeyPatch):
    cache = PrefixCache(MODEL, 1 << 30)
    for place in range(places):
        prefilled(cache, "a", [place] * 40)
    encoded = counted(cache, monkeypatch)
    near = [places - 1] * 10 + [9] * 30
    assert cache.cached_tokens("a", near) == 10
    assert_equal_slots(prefilled(cache, "a", near), fresh_slot(near))
    assert encoded == [30]
    assert cache.cached_tokens("a", [places - 1] * 40) == 40  # which still has a slot of its own


def test_an_edit_that_leaves_half_of_the_prompt_begins_no_place():
    cache = PrefixCache(MODEL, 1 << 30)
    prefilled(cache, "a", [3] * 40)
    prefilled(cache, "a", [3] * 20 + [4] * 20)
    assert len(cache.slots("a")) == 1
    prefilled(cache, "a", [3] * 19 + [5] * 21)
    assert len(cache.slots("a")) == 2


def test_a_prefill_closed_after_its_first_chunk_is_gone_on_with_in_its_slot():
    cache = PrefixCache(MODEL, 1 << 30, chunk_tokens=8)
    for typed in range(1, 4):
        chunks = cache.prefill("a", [3] * 40 + [4] * typed)
        next(chunks)
        chunks.close()
    assert [len(slot.tokens) for slot in cache.slots("a")] == [24]


def test_the_least_recently_used_document_goes_first():
    one = fresh_slot([3] * 10).num_bytes
    cache = PrefixCache(MODEL, 2 * one)
    for document in ("a", "b", "a", "c"):
        prefilled(cache, document, [3] * 10)
    assert cache.documents == ["a", "c"]


def test_a_documents_old_places_go_before_newer_ones_of_others():
    one = fresh_slot([3] * 10).num_bytes
    cache = PrefixCache(MODEL, 3 * one)
    for document, place in (("a", 1), ("b", 1), ("a", 2), ("c", 1), ("b", 2)):
        prefilled(cache, document, [place] * 10)
    assert cache.documents == ["a", "c", "b"]
    assert [slot.tokens[0] for document in "acb" for slot in cache.slots(document)] == [2, 1, 2]


def test_other_places_of_a_document_in_use_may_be_evicted():
    one = fresh_slot([3] * 10).num_bytes
    cache = PrefixCache(MODEL, one)
    prefilled(cache, "a", [3] * 10)
    used = finished(cache.prefill("a", [4] * 10))
    prefilled(cache, "b", [5] * 10)
    assert cache.slots("a") == [used]
    assert cache.slots("b") == []
    cache.release("a")


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


def test_a_forgotten_document_frees_the_bytes_of_all_its_places():
    cache = PrefixCache(MODEL, 1 << 30)
    for place in range(3):
        prefilled(cache, "a", [place] * 10)
    cache.forget("a")
    assert cache.num_bytes == 0
    assert cache.documents == []
