"""`midfill.engine.schema.resumed`."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.schema.letters import Letters, automata

from midfill.engine.schema.constraint import DEAD
from midfill.engine.schema.resumed import Resumed


def accepts(constraint: Resumed, text: bytes) -> bool:
    state = constraint.start
    for byte in text:
        state = constraint.step(state, byte)
    return constraint.is_exit(state)


@settings(deadline=None)
@given(automata(), st.sampled_from([b"", b"a", b"ab", b"cc"]))
def test_it_accepts_what_is_given_and_then_what_the_inner_one_accepts(inner: Letters, given: bytes) -> None:
    resumed = Resumed(inner, given)
    for text in map(bytes, itertools.chain(*(itertools.product(b"abc", repeat=length) for length in range(4)))):
        assert accepts(resumed, text) == (text.startswith(given) and inner.accepts(text[len(given) :]))


@settings(deadline=None)
@given(automata(), st.sampled_from([b"a", b"ab"]))
def test_completions_and_continuations_go_on_from_within_what_is_given(inner: Letters, given: bytes) -> None:
    resumed, rest = Resumed(inner, given), inner.completion(inner.start)
    state = resumed.start
    for read in range(len(given)):
        assert not resumed.is_exit(state)
        assert resumed.completion(state) == (None if rest is None else given[read:] + rest)
        assert all(text.startswith(given[read:]) for text in resumed.continuations(state))
        state = resumed.step(state, given[read])
    assert state == inner.start


def test_a_dead_constraint_stays_dead() -> None:
    assert Resumed(Letters({}, frozenset(), start=DEAD), b"a").start == DEAD
