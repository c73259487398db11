"""`midfill.engine.best_first` against all fills there are, on a small random model."""

import itertools
from collections.abc import Generator, Sequence

import msgspec
import pytest
import torch
from tests.engine.small_model import small_model
from torch import Tensor

from midfill.engine.best_first import SearchSettings, best_first_search
from midfill.engine.continuations import Continuations
from midfill.engine.kv import KVSlot
from midfill.engine.prefix_cache import PrefixCache
from midfill.engine.reading import Reading
from midfill.engine.scoring import continuation_log_probabilities
from midfill.engine.writable import AnyText

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
    settings: SearchSettings,
    drafts: Sequence[Sequence[int]] = (),
    writable: list[int] = FEW,
    banned_first: Tensor | None = None,
    slot: KVSlot | None = None,
) -> Generator[list[list[int]], None, None]:
    known = Continuations(Reading(MODEL, slot or encoded()))
    return best_first_search(known, drafts, SUFFIX_START, AnyText(all_but(writable), banned_first), settings)


def log_probability(slot: KVSlot, fill: list[int]) -> float:
    return float(continuation_log_probabilities(MODEL, slot, [[*fill, SUFFIX_START]])[0].sum())


def every_fill(longest: int, slot: KVSlot, banned_first: Tensor | None = None) -> list[list[int]]:
    """All that may be written, best first."""
    fills = [list(fill) for length in range(1, longest + 1) for fill in itertools.product(FEW, repeat=length)]
    allowed = [fill for fill in fills if banned_first is None or not banned_first[fill[0]]]
    found = continuation_log_probabilities(MODEL, slot, [[*fill, SUFFIX_START] for fill in allowed])
    likely = [float(each.sum()) for each in found]
    return [allowed[place] for place in sorted(range(len(allowed)), key=lambda place: -likely[place])]


@pytest.mark.parametrize("banned_first", [None, all_but([8, 40])])
@pytest.mark.parametrize(("width", "ahead"), [(1, 0), (3, 0), (3, 2), (40, 1)])
def test_it_finds_the_best_of_all_fills_whatever_a_pass_reads(width: int, ahead: int, banned_first: Tensor | None):
    slot = encoded()
    wanted = every_fill(3, slot, banned_first)
    for kept in (1, 4, 12):
        settings = SearchSettings(width, longest=3, kept=kept, ahead=ahead)
        *_, found = search(settings, banned_first=banned_first, slot=slot)
        assert found == wanted[:kept]


def test_drafts_change_what_is_read_first_and_not_what_is_found():
    slot = encoded()
    settings = SearchSettings(2, longest=3, kept=3)
    wanted = every_fill(3, slot)
    first, *_ = search(settings, drafts=wanted[:3], slot=slot)
    assert first == wanted[:3]
    for drafts in (wanted[:2], wanted[-2:], [[8, 8, 8, 8, 8]]):
        *_, found = search(settings, drafts=drafts, slot=slot)
        assert found == wanted[:3]


def test_drafts_that_may_not_be_written_are_not_given():
    *_, found = search(SearchSettings(2, longest=3, kept=20), drafts=[[9, 8], [8, 9]], writable=[8])
    assert sorted(found) == [[8], [8, 8], [8, 8, 8]]
    *_, found = search(
        SearchSettings(2, longest=2, kept=20), drafts=[[3, 8]], writable=[3, 8], banned_first=all_but([8])
    )
    assert sorted(found) == [[8], [8, 3], [8, 8]]


@pytest.mark.parametrize("width", [1, 2, 5])
def test_fills_are_given_best_first_after_each_pass(width: int):
    slot = encoded()
    for found in list(search(SearchSettings(width, longest=4, kept=6, most=40, ahead=1), slot=slot)):
        assert len(found) == len({tuple(fill) for fill in found}) <= 6
        likely = [log_probability(slot, fill) for fill in found]
        assert likely == sorted(likely, reverse=True)


def test_guesses_that_are_right_save_passes():
    one_by_one = SearchSettings(1, longest=6, kept=12)
    plain, ahead = (list(search(msgspec.structs.replace(one_by_one, ahead=count), writable=[8])) for count in (0, 2))
    assert len(plain) == 6
    assert len(ahead) == 3  # 8 is what follows 8: that is known after the first pass
    assert ahead[-1] == plain[-1]


def test_guesses_are_taken_from_the_prompt(monkeypatch: pytest.MonkeyPatch):
    slot = CACHE._new_slot()
    CACHE.encode(slot, [3, 8, 21, 34, 9, 3])
    known = Continuations(Reading(MODEL, slot))
    settings = SearchSettings(8, longest=3, kept=2, ahead=2)
    next(best_first_search(known, [], SUFFIX_START, AnyText(all_but([8, 21, 34])), settings))
    monkeypatch.setattr(MODEL, "encode", None)  # nothing more is read
    assert len(known.log_probabilities([[8, 21, 34, 40]])[0]) == 4


def test_the_first_pass_is_as_wide_as_the_others():
    known = Continuations(Reading(MODEL, encoded()))
    next(best_first_search(known, [], SUFFIX_START, AnyText(all_but(list(range(64)))), SearchSettings(24, 3, 2)))
    assert known.num_nodes == 24


def test_it_stops_when_nothing_longer_can_be_better():
    everything = list(range(64))
    searched = list(search(SearchSettings(2, longest=24, kept=2), writable=everything))
    assert max(len(fill) for fill in searched[-1]) < 24


def test_no_pass_is_begun_once_enough_starts_were_read():
    settings = SearchSettings(4, longest=24, kept=64, most=18)
    assert len(list(search(settings, writable=list(range(64))))) == 3  # 8 a pass, as it has room for them


def test_what_ends_by_the_way_is_given_too_and_takes_no_pass_more():
    everything = list(range(64))
    few, more = (list(search(SearchSettings(4, 24, kept, enough=2), writable=everything)) for kept in (2, 6))
    assert len(more) == len(few)
    assert more[-1][:2] == few[-1]
    assert len(more[-1]) == 6


@pytest.mark.parametrize("margin", [0.5, 1.0, 3.0])
def test_starts_and_fills_that_are_a_margin_less_likely_than_the_best_are_given_up(margin: float):
    slot = encoded()
    wanted = every_fill(3, slot)
    floor = log_probability(slot, wanted[0]) - margin
    *_, found = search(SearchSettings(8, longest=3, kept=300, margin=margin), slot=slot)
    assert found == [fill for fill in wanted if log_probability(slot, fill) > floor]
    *_, more = search(SearchSettings(8, longest=3, kept=300, margin=margin, least=len(found) + 2), slot=slot)
    assert more[: len(found)] == found
    assert len(more) == len(found) + 2


def test_only_what_is_allowed_is_written_even_if_that_is_less_than_the_width():
    *_, found = search(SearchSettings(4, longest=3, kept=4), writable=[8])
    assert sorted(found) == [[8], [8, 8], [8, 8, 8]]


def test_nothing_is_found_where_no_first_token_may_be_written():
    assert list(search(SearchSettings(4, longest=3, kept=4), banned_first=all_but([7]))) == []
    assert list(search(SearchSettings(4, longest=3, kept=4), drafts=[[8]], banned_first=all_but([7]))) == []


def test_one_forward_pass_a_next(monkeypatch: pytest.MonkeyPatch):
    passes: list[int] = []
    run, slot = MODEL.encode, encoded()
    monkeypatch.setattr(MODEL, "encode", lambda *inputs: (passes.append(1), run(*inputs))[1])
    for count, _ in enumerate(search(SearchSettings(9, longest=4, kept=50, most=60, ahead=1), slot=slot), start=1):
        assert len(passes) == count
    assert len(passes) > 2


def test_the_same_each_time():
    settings = SearchSettings(4, longest=6, kept=4, most=60, ahead=2)
    assert list(search(settings)) == list(search(settings))


def test_closing_it_between_passes_leaves_the_slot_as_it_was():
    slot, untouched = encoded(), encoded()
    for done in range(4):
        searching = search(SearchSettings(9, longest=4, kept=50, most=60), slot=slot)
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
