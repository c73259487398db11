import time

import pytest

from midfill.engine.schema.char_sets import CharSet
from midfill.engine.schema.pattern_syntax import UnsupportedPattern, parse
from midfill.engine.schema.patterns import Patterns


@pytest.mark.parametrize(
    "source",
    [
        "(",
        ")",
        "[a",
        "*a",
        "a**",
        "a{3,2}",
        "[z-a]",
        "(?=a)",
        "(?!a)",
        "(?<=a)b",
        "(?i)a",
        r"(a)\1",
        r"\k<a>",
        r"\Z",
        r"\p{Nothing}",
        r"\p{Script=Greek}",
        r"\u{110000}",
        r"\xZ",
        "\\",
        "(?",
        "a{99999}",
    ],
)
def test_pattern_that_cannot_be_followed_is_told(source: str) -> None:
    with pytest.raises(UnsupportedPattern):
        parse(source)


@pytest.mark.parametrize(
    "source", ["(" * 5000 + ")" * 5000, "a" * 60_000, "(a{1000}){1000}", "((((a{99}){99}){99}){99}){99}"]
)
def test_huge_pattern_is_refused_soon(source: str) -> None:
    started = time.process_time()
    with pytest.raises(UnsupportedPattern):
        Patterns().compile(source)
    assert time.process_time() - started < 2  # about 0.1 s


def test_ranges_of_a_class_are_in_order_and_apart() -> None:
    chars = parse("[x0-9a-fc-z]")
    assert chars.chars == CharSet(((0x30, 0x39), (0x61, 0x7A)))  # pyright: ignore[reportAttributeAccessIssue]


def test_negation_within_a_class_is_spelled_out() -> None:
    chars = parse(r"[\D5]").chars  # pyright: ignore[reportAttributeAccessIssue]
    assert [chars.has(char) for char in "5a4\U0010ffff"] == [True, True, False, True]
