import gc

from midfill.engine.schema.pattern import Pattern
from midfill.engine.schema.patterns import Patterns

HUNGRY = "[ab]*a[ab]{12}$"


def fed(pattern: Pattern) -> Pattern:
    """The same pattern after many texts, each with states of its own."""
    for number in range(1 << 12):
        state = pattern.start
        for digit in f"{number:013b}":
            state = pattern.step(state, "ab"[int(digit)])
    return pattern


def test_a_pattern_in_use_is_made_once() -> None:
    patterns = Patterns()
    first = patterns.compile("a+")
    assert patterns.compile("a+") is first
    assert patterns.compile("b+") is not first


def test_all_patterns_together_stay_within_the_bound() -> None:
    patterns = Patterns(most_bits=4_000_000)
    hungry = [fed(patterns.compile(f"{HUNGRY}|{letter}")) for letter in "cdefgh"]
    assert 0 <= patterns.memory.left < 100_000
    first = hungry[0]
    assert first.accepts(first.step(first.start, "c"))


def test_the_memory_of_patterns_that_no_schema_has_any_more_is_free_again() -> None:
    patterns = Patterns(most_bits=4_000_000)
    hungry = fed(patterns.compile(HUNGRY))
    assert patterns.memory.left < 3_100_000
    del hungry
    gc.collect()
    assert patterns.memory.left == 4_000_000
