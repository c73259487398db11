"""`midfill.engine.schema.spellings`."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.schema.spellings import Spellings

WORDS = (b"", b"a", b"b", b"ab", b"bcd", b"abc", b"ab")


def test_the_longest_token_that_starts_a_text_and_the_first_of_its_spelling() -> None:
    spellings = Spellings(WORDS)
    assert spellings.longest_start(b"abcd") == 5
    assert spellings.longest_start(b"abd") == 3
    assert spellings.longest_start(b"xa") is None
    assert spellings.longest_start(b"") is None


def test_a_text_is_spelled_in_fewer_tokens_than_the_longest_first_would_take() -> None:
    assert Spellings((b"a", b"ab", b"c", b"d", b"bcd")).fewest(b"abcd") == [0, 4]


@pytest.mark.parametrize(("text", "tokens"), [(b"", []), (b"c", None), (b"ac", None), (b"aab", [1, 3])])
def test_a_text_that_cannot_be_spelled_is_none(text: bytes, tokens: list[int] | None) -> None:
    assert Spellings(WORDS).fewest(text) == tokens


@given(st.text("abcd", max_size=6).map(str.encode))
def test_no_spelling_takes_fewer_tokens(text: bytes) -> None:
    found = Spellings(WORDS).fewest(text)
    counts = [
        count
        for count in range(len(text) + 1)
        if any(b"".join(words) == text for words in itertools.product(WORDS[1:], repeat=count))
    ]
    assert (None if found is None else len(found)) == min(counts, default=None)
    assert found is None or b"".join(WORDS[token] for token in found) == text
