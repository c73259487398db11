"""Schemas and documents made to take for ever: bounded in time, and then no fill or one clear error."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.engine.schema.probe import accepts, hole, shortest_fill, state_after

from midfill.engine.errors import InputError
from midfill.engine.wire import Schema

SECONDS = 4.0
"""Of the thread's own time, for any of these on a slow machine; most take a few milliseconds."""


@contextmanager
def in_time() -> Iterator[None]:
    started = time.thread_time()
    yield
    assert time.thread_time() - started < SECONDS


def nested(depth: int, keyword: str, innermost: Any) -> Any:
    for _ in range(depth):
        innermost = {keyword: innermost}
    return innermost


def doubling(keyword: str, depth: int) -> dict[str, Any]:
    """A schema that refers twice to one that refers twice to one …: written out it has 2 to the `depth` parts."""
    definitions: dict[str, Any] = {f"d{depth}": {"type": "integer"}}
    for level in range(depth):
        reference = {"$ref": f"#/$defs/d{level + 1}"}
        definitions[f"d{level}"] = {keyword: [reference, dict(reference)]}
    return {"$ref": "#/$defs/d0", "$defs": definitions}


COMPLETED: dict[str, Any] = {
    "nested items": nested(150, "items", {"type": "integer"}),
    "nested properties": nested(100, "properties", {}),
    "allOf that doubles": doubling("allOf", 40),
    "anyOf that doubles": doubling("anyOf", 40),
    "recursion through items": {"type": "array", "items": {"$ref": "#"}},
    "100,000 texts": {"enum": [f"value {number}" for number in range(100_000)]},
    "100,000 numbers": {"enum": list(range(100_000))},
    "20,000 properties": {
        "type": "object",
        "properties": {f"p{number}": {"type": "string"} for number in range(20_000)},
    },
    "2,000 branches": {"oneOf": [{"type": "object", "required": [f"p{number}"]} for number in range(2_000)]},
    "2,000 constants": {"anyOf": [{"const": f"c{number}"} for number in range(2_000)]},
    "50 required": {"type": "object", "required": [f"p{number}" for number in range(50)]},
    "nested repeats": {"type": "string", "pattern": "^(([a-z]+)*)*$"},
    "alternatives that overlap": {"type": "string", "pattern": "^(a|a)*(a|aa)*b$"},
    "long description": {"description": "x" * 10_000_000, "type": "integer"},
}
FRUITLESS: dict[str, Any] = {
    "2,000 required": {"type": "object", "required": [f"p{number}" for number in range(2_000)]},
    "endless text": {"type": "string", "minLength": 10**9},
    "endless array": {"type": "array", "minItems": 10**9},
    "endless object": {"type": "object", "minProperties": 10**9},
    "endless number": {"type": "number", "minimum": 1, "multipleOf": 1e300, "maximum": 2},
    "an array in an array without end": {"type": "array", "minItems": 1, "items": {"$ref": "#"}},
    "an object in an object without end": {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}},
    "nothing": {"type": "string", "not": {}},
    "two kinds": {"allOf": [{"type": "string"}, {"type": "integer"}]},
}


def schema(contents: Any) -> Schema:
    return Schema(text=json.dumps(contents), draft="draft2020-12")


@pytest.mark.parametrize("name", COMPLETED)
def test_a_large_or_winding_schema_is_completed_in_time(name: str):
    with in_time():
        assert shortest_fill(hole(schema(COMPLETED[name]))) is not None


@pytest.mark.parametrize("name", FRUITLESS)
def test_a_schema_that_only_endless_texts_meet_or_none_is_given_up_in_time(name: str):
    with in_time():
        assert shortest_fill(hole(schema(FRUITLESS[name]))) is None


@pytest.mark.parametrize("pattern", ["^(a{1000}){1000}$", "(?=a)b", "(a)\\1", "[", "(" * 5000 + ")" * 5000])
def test_a_pattern_beyond_us_leaves_the_rest_to_the_gate(pattern: str):
    with in_time():
        constraint = hole(schema({"type": "string", "pattern": pattern}))
        assert not accepts(constraint, "1")


@pytest.mark.parametrize(
    "text", ["[]", "3", '{"type": 3}', '{"properties": []}', '{"items": 3}', "{", '{"not":' * 10**5]
)
def test_what_is_no_schema_is_one_clear_error(text: str):
    with in_time(), pytest.raises(InputError) as raised:
        hole(Schema(text=text))
    assert len(str(raised.value)) < 400


def test_a_document_nested_without_end_is_read_in_time():
    with in_time():
        constraint = hole(None, "[" * 50_000, "]" * 50_000)
        assert accepts(constraint, "1")


def test_a_long_document_is_read_in_time():
    rows = ",".join(f'{{"name": "row {number}", "value": {number}}}' for number in range(2_000))
    place = {"type": "object", "properties": {"name": {"type": "string"}, "value": {"type": "integer"}}}
    with in_time():
        constraint = hole(schema({"type": "array", "items": place}), f"[{rows},", f",{rows}]")
        assert accepts(constraint, '{"name": "new"}')
        assert not accepts(constraint, '{"name": 1}')


def test_a_long_text_is_written_in_time():
    with in_time():
        assert state_after(hole(schema({"type": "string", "maxLength": 10**6})), '"' + "a" * 100_000)
