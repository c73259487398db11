"""`midfill.engine.schema.string_texts`: what strings are proposed where a schema names formats."""

import json
from typing import Any

import jsonschema_rs
import pytest

from midfill.engine.schema.compile import Reader
from midfill.engine.schema.formats import FORMATS
from midfill.engine.schema.place import Place, Places
from midfill.engine.schema.string_texts import MOST_ENDINGS, formatted, names


def place(schema: dict[str, Any]) -> Place:
    return Places(Reader(schema)).root


@pytest.mark.parametrize("name", FORMATS)
def test_the_example_comes_first_and_what_is_proposed_has_the_format(name: str) -> None:
    schema = {"type": "string", "format": name}
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    texts = formatted(place(schema), "")
    assert texts[0] == FORMATS[name].example
    assert len(texts) <= 1 + MOST_ENDINGS
    assert all(map(validator.is_valid, texts))


@pytest.mark.parametrize(
    ("name", "begun", "ended"),
    [
        ("uri", "https://exa", "https://example.com"),
        ("uri", "https://exact", "https://exact"),
        ("date", "2024", "2024-01-01"),
        ("date", "2024-0", "2024-01-01"),
        ("email", "joe", "joe@example.com"),
        ("uri", "ftp", "ftp://example.com"),
        ("ipv4", "10.", "10.0.0.0"),
        ("uuid", "1", "1aaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"),
    ],
)
def test_a_begun_string_goes_on_as_the_example_or_by_the_shortest_way(name: str, begun: str, ended: str) -> None:
    assert begun + formatted(place({"format": name}), begun)[0] == ended


def test_nothing_is_proposed_without_a_format_or_where_it_is_missed() -> None:
    assert formatted(place({"type": "string", "minLength": 3}), "") == []
    assert formatted(place({"format": "of nobody"}), "") == []
    assert formatted(place({"format": ["date"]}), "") == []
    assert formatted(place({"format": "date"}), "soon") == []


@pytest.mark.parametrize(
    "schema",
    [
        {"format": "uri", "pattern": "^ftp:", "maxLength": 9},
        {"format": "uri", "enum": ["a b", "x:y"]},
        {"allOf": [{"format": "hostname"}, {"minLength": 20}]},
        {"anyOf": [{"format": "date"}, {"enum": ["today"]}]},
    ],
)
def test_formats_are_met_together_with_all_that_must_be(schema: dict[str, Any]) -> None:
    texts = formatted(place(schema), "")
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    assert texts
    assert all(map(validator.is_valid, texts)), json.dumps(texts)


def test_names_in_the_format_come_before_others() -> None:
    found = list(names(place({"format": "ipv4", "minLength": 1}), "1"))
    assert found[0] == "127.0.0.1"
    assert "1" in found
