"""Patterns against `re`, which backtracks and so serves small cases only."""

import re
import time

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from midfill.engine.schema.constraint import DEAD
from midfill.engine.schema.pattern import Pattern
from midfill.engine.schema.pattern_graph import graph_of
from midfill.engine.schema.pattern_memory import PatternMemory
from midfill.engine.schema.pattern_syntax import UnsupportedPattern, parse
from midfill.engine.schema.patterns import Patterns

ALPHABET = "ab0_- "


def run(pattern: Pattern, text: str) -> int:
    state = pattern.start
    for char in text:
        state = pattern.step(state, char)
    return state


def matches(source: str, text: str) -> bool:
    pattern = Patterns().compile(source)
    return pattern.accepts(run(pattern, text))


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    quantifiers = st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}", "{2,3}", "*?", "{0}"])
    return st.one_of(
        st.lists(inner, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        st.tuples(inner, quantifiers).map(lambda pair: f"({pair[0]}){pair[1]}"),
    )


ATOMS = st.sampled_from(["a", "b", "0", "-", ".", "[ab]", "[^a]", r"\w", r"\W", r"\d", r"[\w-]", r"[^\d ]", r"\s"])
EDGES = st.sampled_from(["^", "$", r"\b", r"\B"])
SOURCES = st.recursive(st.one_of(ATOMS, ATOMS, EDGES), _grown, max_leaves=8)
TEXTS = st.text(ALPHABET, max_size=7)


def as_python(source: str) -> re.Pattern[str]:
    # `$` of `re` also matches before a line end at the end, and its `\B` never in an empty text.
    return re.compile(source.replace("$", r"\Z").replace(r"\B", r"(?!\b)"), re.ASCII)


@given(SOURCES, TEXTS)
@example("x*^a", "a")
@example("(^|-)a", "b-a")
@example("a^", "a")
@example("(a|ab)(0|b0)$", "ab0")
def test_pattern_finds_what_re_finds(source: str, text: str) -> None:
    assert matches(source, text) == bool(as_python(source).search(text))


@given(SOURCES, TEXTS, TEXTS)
def test_dead_state_has_no_match_ahead(source: str, text: str, more: str) -> None:
    if run(Patterns().compile(source), text) == DEAD:
        assert not as_python(source).search(text + more)


@given(SOURCES, TEXTS)
def test_shortest_text_matches_and_none_is_shorter(source: str, text: str) -> None:
    pattern = Patterns().compile(source)
    state = run(pattern, text)
    found = pattern.shortest(state)
    if found is None:
        return
    assert as_python(source).search(text + found)
    assert pattern.distance(state) <= len(found)
    if len(found) > 1:
        assert not any(as_python(source).search(text + more) for more in ("", *ALPHABET))


@given(st.recursive(ATOMS, _grown, max_leaves=6).map(lambda source: f"^(?:{source})$"), TEXTS)
def test_shortest_text_is_found_where_there_is_one(source: str, text: str) -> None:
    pattern = Patterns().compile(source)
    state = run(pattern, text[:3])
    assume(as_python(source).search(text))
    assert pattern.shortest(state) is not None


@pytest.mark.parametrize(
    ("source", "text", "found"),
    [
        (r"^\u{1F600}$", "😀", True),
        (r"^\ud83d\ude00$", "😀", True),
        (r"^.$", "😀", True),
        (r"^.$", "\u2028", False),
        (r"^\p{Lu}\P{Lu}+$", "Éa1", True),
        (r"^[\p{Letter}\d]+$", "aé٣", False),
        (r"^[^\P{L}a]$", "b", True),
        (r"^[^\P{L}a]$", "1", False),
        (r"^\p{gc=Nd}$", "٣", True),
        (r"^\w$", "é", False),
        (r"^\s$", "\ufeff", True),
        (r"^\cC\x03\0$", "\x03\x03\0", True),
        (r"^[\b]$", "\b", True),
        (r"^{a}$", "{a}", True),
        (r"^a{,2}$", "a{,2}", True),
        (r"^[\w-.]+$", "a-.", True),
        (r"^[+--]$", ",", True),
        (r"^[]$", "", False),
        (r"^[^]$", "\n", True),
        (r"^(?<year>\d{4})$", "2024", True),
        (r"^a\/b\-c$", "a/b-c", True),
        ("", "anything", True),
        ("a$", "a\n", False),
    ],
)
def test_pattern_is_read_as_browsers_read_it(source: str, text: str, found: bool) -> None:
    assert matches(source, text) is found


def test_shortest_text_is_the_plainest() -> None:
    shortest = [Patterns().compile(source) for source in (r"^[\x00-z]$", r"^\d{3}-\w$", "^(dev|prod)$", "^[^a]$")]
    assert [pattern.shortest(pattern.start) for pattern in shortest] == ["a", "000-a", "dev", "0"]


def test_pattern_without_texts_is_dead_from_the_start() -> None:
    assert Patterns().compile("^[]").start == DEAD


@pytest.mark.parametrize(
    "source",
    ["(a+)+b$", "(a|a)*b$", "^(([a-z])+.)+[A-Z]([a-z])+$", "[ab]*a[ab]{2000}$", "^(a?){500}a{500}$", "(.*){99}b$"],
)
def test_pattern_that_ruins_backtrackers_takes_bounded_time(source: str) -> None:
    started = time.process_time()
    pattern = Patterns().compile(source)
    assert pattern.step(run(pattern, "a" * 5000), "!") is not None
    pattern.shortest(pattern.start)
    assert time.process_time() - started < 5  # about 0.1 s; a backtracker would not be back


def test_pattern_that_needs_too_many_states_gives_up_and_accepts_nothing() -> None:
    pattern = Pattern(graph_of(parse("[ab]*a[ab]{12}$")), PatternMemory(400_000))
    state = run(pattern, "aab" * 40)
    assert pattern.step(state, "a") == pattern.step(state, "b") == state != DEAD
    assert not pattern.accepts(state)
    assert pattern.shortest(state) is None


def test_pattern_is_refused_where_no_memory_is_left_for_it() -> None:
    with pytest.raises(UnsupportedPattern, match="memory"):
        Pattern(graph_of(parse("a{100}")), PatternMemory(10_000))
