"""`midfill.server.json_text`: the schema that a document names, whatever state it is in."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.server.json_text import SCANNED_CHARS, Declared, declared_schema


@pytest.mark.parametrize(
    "text",
    [
        '{"$schema": "./a.json"}',
        '{\r\n\t"a": {"b": [1, {"$schema": "no"}]},\r\n\t"$schema" : "./a.json",\n',
        '{"b": "}", "$schema": "./a.json" "c": tru',
        '// {"$schema": "no"}\n/* "$schema": */ {\n  // first\n  "$schema": /* it is */ "./a.json",\n}',
        '{"$schema": ".\\u002fa.json"}',
        '{"title": "not closed\n, "$schema": "./a.json"}',
    ],
)
def test_the_outermost_objects_schema_is_found(text: str) -> None:
    declared = declared_schema(text)
    assert declared is not None
    assert declared.value == "./a.json"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '["$schema", "./a.json"]',
        '[{"$schema": "./a.json"}]',
        '{"a": {"$schema": "./a.json"}}',
        '{"a": "$schema", "b": "./a.json"}',
        '{"$schema": {"a": "./a.json"}}',
        '{"$schema": 1, "$schema": "./a.json"}',
        '{"$schema": "./a.js',
        '{"$schema": "\\x"}',
        '{"$schema"',
        '// "$schema": "./a.json"',
    ],
)
def test_what_is_no_name_of_a_schema_is_none(text: str) -> None:
    assert declared_schema(text) is None


def test_the_place_is_that_of_the_string() -> None:
    text = '{"$schema": "a", "b": 1}'
    assert declared_schema(text) == Declared("a", text.index('"a"'), text.index(", "))


@given(st.text('{}[]":,\\/*\n $schema', max_size=60))
def test_any_text_is_read(text: str) -> None:
    declared = declared_schema('"$schema"' + text)
    assert declared is None or isinstance(declared.value, str)


@pytest.mark.parametrize("unit", ['"', '"\\', "/*", "{", '"$schema":', "\\"])
def test_hostile_texts_take_no_time(unit: str) -> None:
    started = time.perf_counter()
    declared_schema('"$schema"' + unit * SCANNED_CHARS)
    assert time.perf_counter() - started < 1
