"""`midfill.engine.schema.token_automaton`."""

import numpy as np
import pytest
from hypothesis import given, settings
from tests.engine.schema.letters import Letters, automata

from midfill.engine.schema import token_automaton as module
from midfill.engine.schema.spellings import Spellings
from midfill.engine.schema.token_automaton import FAR, NOWHERE, TokenAutomaton

WORDS = (b"", b"a", b"b", b"c", b"ab", b"bca", b"cc")
SPELLINGS = Spellings(WORDS)
CHAIN = Letters({1: {97: 2}, 2: {98: 3}, 3: {99: 4}, 4: {97: 1}}, frozenset({4}))


def one(state: int) -> np.ndarray:
    return np.array([state])


@settings(deadline=None)
@given(automata())
def test_a_token_leads_where_its_bytes_lead_and_one_without_bytes_nowhere(constraint: Letters) -> None:
    automaton = TokenAutomaton(constraint, SPELLINGS)
    tokens = np.arange(len(WORDS))
    for _ in range(2):  # found, and remembered
        targets = automaton.step(np.full(len(WORDS), automaton.start), tokens)
        for token, target in zip(tokens.tolist(), targets.tolist(), strict=True):
            assert (target != NOWHERE) == (bool(WORDS[token]) and constraint.lives(constraint.start, WORDS[token]))


@settings(deadline=None)
@given(automata(6))
def test_forced_tokens_lead_to_an_exit_in_as_many_steps_as_promised(constraint: Letters) -> None:
    automaton = TokenAutomaton(constraint, SPELLINGS, openings=1)
    automaton.open_start()
    state, left = automaton.start, int(automaton.to_exit[automaton.start])
    if left == FAR:
        return
    while left:
        targets = automaton.forced(one(state)).target
        state = int(targets[automaton.to_exit[targets].argmin()])
        assert automaton.to_exit[state] < left
        left = int(automaton.to_exit[state])
    assert automaton.is_exit[state]


def test_no_more_states_are_opened_or_looked_at_than_may_be() -> None:
    automaton = TokenAutomaton(CHAIN, SPELLINGS, openings=1, looks=2)
    states = automaton.step(np.full(2, automaton.start), np.array([1, 4]))
    automaton.open(states)
    assert automaton.is_opened(states).tolist() == [True, False]
    assert (automaton.openings, automaton.looks) == (0, 0)


def test_a_state_that_is_asked_about_twice_counts_once() -> None:
    automaton = TokenAutomaton(CHAIN, SPELLINGS, openings=2, looks=2)
    first, other = automaton.step(np.full(2, automaton.start), np.array([1, 4])).tolist()
    automaton.open(np.array([first, first, other]))
    assert automaton.is_opened(np.array([first, other])).all()


def test_likely_ways_are_suggested_without_looking_for_an_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    constraint = Letters(CHAIN.steps, CHAIN.exits, hints=[b"bc", b"abc"])
    automaton = TokenAutomaton(constraint, SPELLINGS, openings=3)
    with monkeypatch.context() as without:
        without.setattr(Letters, "completion", lambda self, state: b"" if state else None)
        after = int(automaton.step(one(automaton.start), np.array([1]))[0])
        automaton.suggest(np.array([automaton.start, after, after]))
    assert automaton.openings == 1
    assert [WORDS[token] for token in automaton.forced(one(automaton.start)).token] == [b"ab"]
    assert [WORDS[token] for token in automaton.forced(one(after)).token] == [b"b"]
    assert automaton.to_exit[automaton.start] == FAR
    automaton.open(one(automaton.start))
    assert automaton.openings == 0
    assert automaton.to_exit[automaton.start] == 2  # ab, c
    automaton.suggest(one(automaton.start))  # known, and not forgotten
    assert automaton.to_exit[automaton.forced(one(automaton.start)).target].tolist() == [1]


def test_steps_are_found_again_after_too_many_were_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED", 0)
    automaton = TokenAutomaton(CHAIN, SPELLINGS)
    states, tokens = np.full(3, automaton.start), np.array([1, 2, 4])
    assert automaton.step(states, tokens).tolist() == automaton.step(states[::-1], tokens).tolist()
