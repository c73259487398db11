"""`midfill.engine.writable`, by what a best-first search finds with it on a small random model."""

import pytest
import torch
from tests.engine.schema.letters import Letters
from tests.engine.test_constrained_beam import ANY, LONG, MODEL, PAIRS, SPELLINGS, SUFFIX_START, WORDS, allowed, encoded

from midfill.engine.best_first import SearchSettings, best_first_search
from midfill.engine.continuations import Continuations
from midfill.engine.reading import Reading
from midfill.engine.schema.token_automaton import TokenAutomaton
from midfill.engine.writable import AnyText, HeldText

A, B, C, AB = 3, 4, 5, 6


def held(constraint: Letters) -> HeldText:
    return HeldText(TokenAutomaton(constraint, SPELLINGS))


def search(constraint: Letters, settings: SearchSettings, drafts: tuple[list[int], ...] = ()) -> list[list[list[int]]]:
    known = Continuations(Reading(MODEL, encoded()))
    return list(best_first_search(known, drafts, SUFFIX_START, held(constraint), settings))


@pytest.mark.parametrize("constraint", [ANY, PAIRS])
@pytest.mark.parametrize(("width", "ahead"), [(1, 0), (3, 2), (40, 1)])
def test_the_best_of_all_allowed_fills_are_found_whatever_a_pass_reads(
    constraint: Letters, width: int, ahead: int
) -> None:
    wanted = allowed(constraint, 3)
    for kept in (1, 3, len(wanted)):
        settings = SearchSettings(width, longest=3, kept=kept, ahead=ahead)
        assert search(constraint, settings)[-1] == wanted[:kept]


def test_drafts_are_read_as_far_as_they_are_allowed() -> None:
    settings = SearchSettings(1, longest=3, kept=3)
    first, *_ = search(PAIRS, settings, drafts=([A, B, C], [B]))
    assert [A, B] in first
    assert [A, B] not in next(iter(search(PAIRS, settings)))
    assert all(PAIRS.accepts(b"".join(WORDS[token] for token in fill)) for fill in first)


def test_an_exit_is_found_where_it_is_improbable() -> None:
    found = search(LONG, SearchSettings(8, longest=6, kept=2))[-1]
    assert found
    assert all(LONG.accepts(b"".join(WORDS[token] for token in fill)) for fill in found)


def test_nothing_is_found_where_the_shortest_fill_is_too_long() -> None:
    assert search(LONG, SearchSettings(8, longest=5, kept=2))[-1] == []


def test_a_dead_start_takes_no_pass() -> None:
    assert search(Letters({}, frozenset(), start=0), SearchSettings(4, longest=4, kept=2)) == []


def test_tokens_below_the_floor_need_not_be_looked_at() -> None:
    text = held(ANY)
    follow = torch.full((1, 64), -9.0)
    follow[0, [A, B]] = torch.tensor([-1.0, -2.0])
    assert text.likeliest([None], follow, [-3.0], -20.0, 2)[0][:2] == [(-1.0, A), (-2.0, B)]
    assert text.likeliest([None], follow, [-3.0], -3.5, 2)[0] == []


def test_forced_tokens_are_tried_however_improbable() -> None:
    text, follow = held(LONG), torch.full((1, 64), -9.0)
    follow[0, C] = -1.0
    assert text.likeliest([None], follow, [0.0], -0.5, 2)[0] == [(-9.0, A)]


def test_any_text_may_end_anywhere_and_begin_with_less() -> None:
    banned, banned_first = torch.zeros(2, 8, dtype=torch.bool)
    banned[7], banned_first[3] = True, True
    text = AnyText(banned, banned_first)
    assert [text.allows((None, token)) for token in (3, 4, 7)] == [False, True, False]
    assert [text.allows((0, token)) for token in (3, 4, 7)] == [True, True, False]
    follow = torch.arange(8.0)[None]
    assert text.likeliest([None], follow, [0.0], 0.0, 3)[0] == [(6.0, 6), (5.0, 5), (4.0, 4)]
    assert text.likeliest([0], follow, [0.0], 0.0, 8)[0][-1] == (-torch.inf, 7)
    assert text.may_end([0, 1]) == [True, True]
