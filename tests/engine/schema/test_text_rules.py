import re
import time
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.schema.patterns import Patterns
from midfill.engine.schema.text_rules import MAX_COUNTED, TextChecker, TextRule

ALPHABET = "ab0"
# Of these `re` and ECMA-262 think alike.
SOURCES = ["^a", "b", "^[ab]*$", "^(a|b0)+$", "0{2}", "^a?b?0?$", "[^a]", "^(ab|ba|000)$", "a.a"]
ALL_TEXTS = ["".join(chars) for length in range(6) for chars in product(ALPHABET, repeat=length)]

LENGTHS = st.integers(0, 4)
RULES = st.builds(
    lambda least, most, sources, literals: (least, most, tuple(sources), literals),
    LENGTHS,
    st.none() | LENGTHS,
    st.lists(st.sampled_from(SOURCES), max_size=2),
    st.none() | st.none() | st.frozensets(st.text(ALPHABET, max_size=3), max_size=4),
)
PATTERNS = Patterns()
Plain = tuple[int, int | None, tuple[str, ...], frozenset[str] | None]


def checker_of(*rules: Plain) -> TextChecker:
    return TextChecker(
        [
            TextRule(least, most, tuple(map(PATTERNS.compile, sources)), literals)
            for least, most, sources, literals in rules
        ]
    )


def meets(rule: Plain, text: str) -> bool:
    least, most, sources, literals = rule
    long_enough = least <= len(text) and (most is None or len(text) <= most)
    return long_enough and all(re.search(each, text) for each in sources) and (literals is None or text in literals)


def run(checker: TextChecker, text: str) -> int:
    state = checker.start
    for char in text:
        state = checker.step(state, char)
    return state


@given(st.lists(RULES, max_size=3), st.text(ALPHABET, max_size=6))
def test_unmet_rules_are_those_that_the_text_breaks(rules: list[Plain], text: str) -> None:
    checker = checker_of(*rules)
    assert checker.unmet(run(checker, text)) == sum((not meets(rule, text)) << at for at, rule in enumerate(rules))


@given(st.lists(RULES, max_size=3), st.text(ALPHABET, max_size=4))
def test_failed_rule_is_met_by_no_continuation(rules: list[Plain], text: str) -> None:
    checker = checker_of(*rules)
    failed = checker.failed(run(checker, text))
    possible = [any(meets(rule, text + more) for more in ALL_TEXTS) for rule in rules]
    assert not any(failed >> at & 1 for at, found in enumerate(possible) if found)


@given(RULES.filter(lambda rule: len(rule[2]) <= 1 or rule[3] is not None), st.text(ALPHABET, max_size=4))
def test_rule_of_one_pattern_or_of_literals_fails_as_soon_as_it_must(rule: Plain, text: str) -> None:
    checker = checker_of(rule)
    too_long = rule[3] is None and len(rule[2]) == 1 and rule[0] > 0  # a pattern may allow only shorter texts
    if not too_long and not any(meets(rule, text + more) for more in ALL_TEXTS):
        assert checker.failed(run(checker, text)) == 1


@given(st.lists(RULES, min_size=1, max_size=3), st.text(ALPHABET, max_size=4), st.integers(0, 7))
def test_endings_meet_what_is_wanted_and_one_is_found(rules: list[Plain], text: str, wanted: int) -> None:
    checker = checker_of(*rules)
    wanted &= (1 << len(rules)) - 1
    asked = [rule for at, rule in enumerate(rules) if wanted >> at & 1]
    endings = checker.endings(run(checker, text), wanted)
    assert all(meets(rule, text + ending) for ending in endings for rule in asked)
    assert [len(ending) for ending in endings] == sorted(map(len, endings))
    assert len(endings) == len(set(endings)) <= 32
    if any(all(meets(rule, text + more) for rule in asked) for more in ALL_TEXTS):
        assert endings


def test_endings_of_an_enum_are_what_is_left_of_it() -> None:
    checker = checker_of((0, None, (), frozenset({"dev", "develop", "prod"})))
    assert checker.endings(run(checker, "de"), 1) == ["v", "velop"]


def test_endings_of_a_pattern_are_its_choices() -> None:
    checker = checker_of((0, None, ("^(dev|prod|test)$",), None))
    assert checker.endings(checker.start, 1) == ["dev", "prod", "test"]


def test_strings_without_rules_share_one_state() -> None:
    checker = checker_of((0, None, (), None))
    assert run(checker, "anything at all") == checker.start


def test_length_is_counted_only_while_it_matters() -> None:
    checker = checker_of((2, 5, (), None), (0, None, ("^a",), None))
    assert run(checker, "a" * 6) == run(checker, "a" * 600)
    least = checker_of((2, None, (), None))
    assert run(least, "a") != run(least, "ab") == run(least, "abc")


def test_failed_rules_are_no_longer_told_apart() -> None:
    checker = checker_of((0, None, (), frozenset({"abc", "xyz"})))
    assert run(checker, "ax") == run(checker, "xyzzy")


def test_bound_beyond_what_is_counted_is_left_to_the_last_check() -> None:
    checker = checker_of((MAX_COUNTED + 5, None, (), None), (0, 10**9, (), None))
    state = run(checker, "ab" * (MAX_COUNTED // 2))
    assert checker.unmet(state) == checker.failed(state) == 0
    assert checker.step(state, "c") == state


def test_enum_of_many_is_followed_without_a_tree() -> None:
    started = time.process_time()
    checker = checker_of((0, None, (), frozenset(f"item {number}" for number in range(100_000))))
    state = run(checker, "item 999")
    assert checker.endings(state, 1)[:3] == ["", "0", "1"]
    assert time.process_time() - started < 2  # about 0.1 s


def test_long_text_is_found_for_a_long_pattern() -> None:
    checker = checker_of((0, 60, ("^[0-9a-f]{40}$",), None), (40, None, (), None))
    assert checker.endings(checker.start, 3) == ["a" * 40]
