"""`midfill.server.schema_references`: what has to be at hand beside a schema."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.server.schema_references import Reference, references

FILE = "file:///work/schemas/main.json"
SIBLING = "file:///work/schemas/other.json"
JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["$ref", "$id", "id", "properties", "enum", "a"]), inner)
    ),
    max_leaves=12,
)


def uris(schema: Any, uri: str = FILE) -> list[str]:
    return [reference.uri for reference in references(schema, uri)]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"$ref": "other.json"}, [SIBLING]),
        ({"properties": {"a": {"items": [{"$ref": "./other.json#/definitions/b"}]}}}, [SIBLING]),
        ({"$ref": "../x/y.json"}, ["file:///work/x/y.json"]),
        ({"allOf": [{"$ref": "other.json#/a"}, {"$ref": "other.json#/b"}]}, [SIBLING]),
        ({"properties": {"default": {"$ref": "other.json"}, "properties": {"enum": {}}}}, [SIBLING]),
        ({"$ref": "https://example.com/a.json#"}, ["https://example.com/a.json"]),
        ({"$dynamicRef": "other.json#node"}, [SIBLING]),
    ],
)
def test_other_schemas_are_found_in_full(schema: Any, expected: list[str]) -> None:
    assert uris(schema) == expected


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {"$ref": "#/definitions/a"},
        {"$ref": "main.json#/definitions/a"},
        {"$ref": 1},
        {"$schema": "http://json-schema.org/draft-07/schema#"},
        {"enum": [{"$ref": "other.json"}], "default": {"$ref": "other.json"}},
        {"properties": {"$ref": {"type": "string"}, "$id": {}}},
        {"properties": {"properties": {"const": {"$ref": "other.json"}}}},
        {"$defs": {"a": {"$id": "other.json"}}, "$ref": "other.json#/b"},
        {"$ref": "http://["},
    ],
)
def test_what_leads_nowhere_else_is_none(schema: Any) -> None:
    assert uris(schema) == []


def test_a_name_of_its_own_is_what_references_start_from_and_the_place_is_told_too() -> None:
    schema = {"$id": "https://example.com/main.json", "$ref": "other.json"}
    assert references(schema, FILE) == [Reference("https://example.com/other.json", SIBLING)]


def test_a_part_with_a_name_has_its_own_start() -> None:
    schema = {"$defs": {"a": {"$id": "https://example.com/a/", "items": {"$ref": "b.json"}}}, "$ref": "c.json"}
    assert uris(schema) == ["file:///work/schemas/c.json", "https://example.com/a/b.json"]


def test_a_deep_schema_is_read_to_the_end() -> None:
    schema: Any = {"$ref": "other.json"}
    for _ in range(100_000):
        schema = {"items": schema}
    assert uris(schema) == [SIBLING]
    while isinstance(schema, dict):  # taken apart here: Python would do it by recursion
        schema = schema.pop("items", None)


@given(JSON)
def test_any_json_is_read(schema: Any) -> None:
    assert all(":" in uri for uri in uris(schema))


def test_what_cannot_be_read_is_no_reference() -> None:
    assert uris({"$id": "http://[", "$ref": "http://[x/a"}) == []
