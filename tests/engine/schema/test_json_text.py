import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.schema.json_text import LONGEST_BEGUN, RepeatedKey, begun_string, parse_json, without_comments

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
COMMENTED = '{ // one\n  "a//b": [1, /* , ] */ 2,],\n  "c": "/* \\" */", /* last */ }'


def test_comments_and_trailing_commas_are_read_where_the_language_has_them():
    assert parse_json(COMMENTED, "jsonc") == {"a//b": [1, 2], "c": '/* " */'}


@pytest.mark.parametrize("language", [None, "json"])
def test_plain_json_has_no_comments(language: str | None):
    with pytest.raises(ValueError):
        parse_json(COMMENTED, language)


@pytest.mark.parametrize(
    "text", ["[,]", "[1,,]", '{"a":,}', "{,}", ",", "[1],", "/*", "[1] /* x", "/ 1", '"a', "1 / 2"]
)
def test_a_comma_or_comment_out_of_place_is_an_error(text: str):
    with pytest.raises(ValueError):
        parse_json(text, "jsonc")


@pytest.mark.parametrize("text", ["NaN", "[-Infinity]", "", "[" * 100_000, "1" * 5000])
def test_what_is_no_json_is_a_value_error(text: str):
    with pytest.raises(ValueError):
        parse_json(text)


def test_a_key_twice_is_an_error_also_where_it_is_written_differently():
    with pytest.raises(RepeatedKey):
        parse_json('{"a": {"b": 1, "\\u0062": 2}}')


@given(JSON, st.sampled_from([None, 1]))
def test_a_document_without_comments_stays_as_it_is(value: object, indent: int | None):
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    assert without_comments(text) == text


@given(st.text(alphabet='[]{},:/*"\\ \n1a', max_size=30))
def test_taking_comments_out_moves_nothing(text: str):
    plain = without_comments(text)
    assert len(plain) == len(text)
    assert all(new in (old, " ") for old, new in zip(text, plain, strict=True))


@given(st.text(), st.text(max_size=3), st.booleans())
def test_the_string_that_a_document_ends_in_is_read(text: str, before: str, ascii: bool):
    document = json.dumps([before, text], ensure_ascii=ascii)
    assert begun_string(document.removesuffix('"]')) == text


@pytest.mark.parametrize("text", ["1", "", '"' + "a" * LONGEST_BEGUN, '"a\\', '"\\u00'])
def test_no_string_or_a_long_one_or_half_an_escape_gives_none(text: str):
    assert begun_string(text) is None
