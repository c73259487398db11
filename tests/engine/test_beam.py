"""`midfill.engine.beam` against all fills there are, on a small random model."""

import itertools
from collections.abc import Generator

import pytest
import torch
from tests.engine.small_model import small_model
from torch import Tensor

from midfill.engine.beam import BeamSettings, beam_search
from midfill.engine.kv import KVSlot
from midfill.engine.prefix_cache import PrefixCache
from midfill.engine.scoring import continuation_log_probabilities

MODEL = small_model()
CACHE = PrefixCache(MODEL, 1 << 30)
PROMPT = [(11 * index) % 64 for index in range(20)]
SUFFIX_START = 5
FEW = [3, 8, 21, 34, 40, 63]
"""Tokens that may be written, where all fills are to be tried."""


def encoded() -> KVSlot:
    slot = CACHE._new_slot()
    CACHE.encode(slot, PROMPT)
    return slot


def all_but(ids: list[int]) -> Tensor:
    mask = torch.ones(64, dtype=torch.bool)
    mask[ids] = False
    return mask


def search(
    width: int,
    longest: int,
    kept: int,
    writable: list[int] = FEW,
    banned_first: Tensor | None = None,
    slot: KVSlot | None = None,
    margin: float = float("inf"),
    enough: int | None = None,
) -> Generator[list[list[int]], None, None]:
    settings = BeamSettings(width, longest, kept, margin, enough)
    return beam_search(MODEL, slot or encoded(), SUFFIX_START, all_but(writable), banned_first, settings)


def log_probability(slot: KVSlot, fill: list[int]) -> float:
    return float(continuation_log_probabilities(MODEL, slot, [[*fill, SUFFIX_START]])[0].sum())


@pytest.mark.parametrize("banned_first", [None, all_but([8, 40])])
def test_a_beam_wide_enough_finds_what_trying_all_fills_finds(banned_first: Tensor | None):
    slot = encoded()
    every = [list(fill) for length in (1, 2) for fill in itertools.product(FEW, repeat=length)]
    allowed = [fill for fill in every if banned_first is None or not banned_first[fill[0]]]
    wanted = sorted(allowed, key=lambda fill: log_probability(slot, fill), reverse=True)
    for kept in (1, 4, len(every)):
        *_, found = search(len(every), 2, kept, banned_first=banned_first)
        assert found == wanted[:kept]


@pytest.mark.parametrize("width", [1, 2, 5])
def test_a_narrow_beam_gives_its_fills_best_first_after_each_pass(width: int):
    slot = encoded()
    for found in search(width, 4, width):
        assert len(found) == len({tuple(fill) for fill in found}) == width
        likely = [log_probability(slot, fill) for fill in found]
        assert likely == sorted(likely, reverse=True)


def test_it_stops_when_nothing_longer_can_be_better():
    everything = list(range(64))
    searched = list(search(2, 24, 2, everything))
    assert len(searched) < 24
    assert searched[-1] == list(search(2, 24, 24, everything))[-1][:2]


def test_what_ends_by_the_way_is_given_too_and_takes_no_pass_more():
    everything = list(range(64))
    few, more = (list(search(4, 24, kept, everything, enough=2)) for kept in (2, 6))
    assert len(more) == len(few)
    assert more[-1][:2] == few[-1]
    assert len(more[-1]) == 6


@pytest.mark.parametrize("margin", [0.0, 1.0, 3.0])
def test_starts_that_are_a_margin_less_likely_than_the_best_fill_are_given_up(margin: float):
    slot = encoded()
    passes = list(search(8, 4, 8, margin=margin, slot=slot))
    assert passes[-1][0] == list(search(8, 4, 8, slot=slot))[-1][0]
    for start in (fill[:-1] for fill in passes[-1] if len(fill) > 1):
        best_then = log_probability(slot, passes[len(start) - 1][0])
        assert float(continuation_log_probabilities(MODEL, slot, [start])[0].sum()) > best_then - margin


def test_only_what_is_allowed_is_written_even_if_that_is_less_than_the_width():
    *_, found = search(4, 3, 4, writable=[8])
    assert sorted(found) == [[8], [8, 8], [8, 8, 8]]


def test_nothing_is_found_where_no_first_token_may_be_written():
    assert list(search(4, 3, 4, banned_first=all_but([7]))) == []


def test_one_forward_pass_a_next(monkeypatch: pytest.MonkeyPatch):
    passes: list[int] = []
    run, slot = MODEL.encode, encoded()
    monkeypatch.setattr(MODEL, "encode", lambda *inputs: (passes.append(1), run(*inputs))[1])
    for count, _ in enumerate(search(50, 4, 50, slot=slot), start=1):
        assert len(passes) == count
    assert len(passes) == 4


def test_the_same_each_time():
    assert list(search(4, 6, 4)) == list(search(4, 6, 4))


def test_closing_it_between_passes_leaves_the_slot_as_it_was():
    slot, untouched = encoded(), encoded()
    for done in range(4):
        searching = search(50, 4, 50, slot=slot)
        for _ in range(done):
            next(searching)
        searching.close()
        assert slot.tokens == untouched.tokens
        assert slot.last_hidden is not None
        assert untouched.last_hidden is not None
        assert torch.equal(slot.last_hidden, untouched.last_hidden)
        for index in range(len(MODEL.config.layers)):
            assert torch.equal(slot.keys(index), untouched.keys(index))
            assert torch.equal(slot.values(index), untouched.values(index))
