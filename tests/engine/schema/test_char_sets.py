import unicodedata
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.schema.char_sets import CharSet, is_word, joined, property_named, spelled_out

RANGES = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)).map(lambda pair: (pair[0], sum(pair))), max_size=5)


@given(RANGES, st.integers(0, 60))
def test_joined_ranges_hold_the_same_in_order_and_apart(ranges: list[tuple[int, int]], point: int) -> None:
    whole = joined(ranges)
    assert CharSet(whole).has(chr(point)) is any(low <= point <= high for low, high in ranges)
    assert all(one[1] + 1 < other[0] for one, other in pairwise(whole))


@given(RANGES, st.characters())
def test_set_without_its_negation_holds_the_same(ranges: list[tuple[int, int]], char: str) -> None:
    chars = CharSet(joined(ranges), negated=True)
    assert spelled_out(chars).has(char) is chars.has(char)
    assert not spelled_out(chars).negated


@given(st.characters())
def test_properties_are_general_categories(char: str) -> None:
    letters = property_named("Letter")
    assert letters is not None
    assert letters.has(char) is unicodedata.category(char).startswith("L")
    assert letters == property_named("L")


def test_property_that_is_not_known_is_none() -> None:
    assert property_named("Greek") is None


def test_words_are_of_ascii() -> None:
    assert [is_word(char) for char in "a_9é- "] == [True, True, True, False, False, False]
