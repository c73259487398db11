"""`midfill.engine.constrained_beam` against all fills that a small constraint allows, on a small random model."""

import itertools

import pytest
from tests.engine.schema.letters import Letters
from tests.engine.small_model import small_model

from midfill.engine.constrained_beam import BeamSettings, constrained_beam_search
from midfill.engine.kv import KVSlot
from midfill.engine.prefix_cache import PrefixCache
from midfill.engine.schema.spellings import Spellings
from midfill.engine.schema.token_automaton import TokenAutomaton
from midfill.engine.scoring import continuation_log_probabilities

MODEL = small_model()
CACHE = PrefixCache(MODEL, 1 << 30)
SUFFIX_START = 5
WORDS = [b"", b"", b"", b"a", b"b", b"c", b"ab", b"bca"] + [b""] * 56
SPELLINGS = Spellings(WORDS)
ANY = Letters({1: {97: 1, 98: 1, 99: 1}}, frozenset({1}))
PAIRS = Letters({1: {97: 2}, 2: {98: 1, 99: 3}, 3: {97: 1}}, frozenset({1}))
LONG = Letters(
    {**{state: {97: state + 1, 98: 10, 99: 10} for state in range(1, 7)}, 10: {98: 10, 99: 1}}, frozenset({7})
)
"""Its one short fill is six times a; all others go back to the start."""


def encoded() -> KVSlot:
    slot = CACHE._new_slot()
    CACHE.encode(slot, [(11 * index) % 64 for index in range(20)])
    return slot


def search(constraint: Letters, width: int, longest: int, kept: int) -> list[list[list[int]]]:
    settings = BeamSettings(width, longest, kept)
    return list(
        constrained_beam_search(MODEL, encoded(), SUFFIX_START, TokenAutomaton(constraint, SPELLINGS), settings)
    )


def allowed(constraint: Letters, longest: int) -> list[list[int]]:
    """All fills, the most probable first."""
    slot = encoded()
    fills = [
        list(fill)
        for length in range(1, longest + 1)
        for fill in itertools.product(range(3, 8), repeat=length)
        if constraint.accepts(b"".join(WORDS[token] for token in fill))
    ]
    found = continuation_log_probabilities(MODEL, slot, [[*fill, SUFFIX_START] for fill in fills])
    scores = [float(each.sum()) for each in found]
    return [fills[place] for place in sorted(range(len(fills)), key=lambda place: -scores[place])]


@pytest.mark.parametrize("constraint", [ANY, PAIRS])
def test_a_beam_wide_enough_finds_the_best_of_all_allowed_fills(constraint: Letters) -> None:
    wanted = allowed(constraint, 3)
    for kept in (1, 3, len(wanted)):
        assert search(constraint, 1000, 3, kept)[-1] == wanted[:kept]


@pytest.mark.parametrize("width", [1, 2, 8])
def test_the_narrowest_beam_comes_to_an_exit_in_time(width: int) -> None:
    found = search(LONG, width, 6, 2)[-1]
    assert found
    assert all(LONG.accepts(b"".join(WORDS[token] for token in fill)) for fill in found)


def test_nothing_is_found_where_the_shortest_fill_is_too_long() -> None:
    assert search(LONG, 8, 5, 2)[-1] == []


def test_a_dead_start_takes_no_pass() -> None:
    assert search(Letters({}, frozenset(), start=0), 4, 4, 2) == []


def test_special_tokens_are_never_written() -> None:
    assert all(WORDS[token] for fills in search(ANY, 8, 4, 8) for fill in fills for token in fill)
