"""Holes in JSON documents: what may stand in them."""

import json
import tracemalloc
from typing import Any

import jsonschema
import pytest

from midfill.engine.schema.constraint import DEAD
from midfill.engine.schema.gap import Gap
from midfill.engine.schema.load import load_automaton
from midfill.engine.wire import Schema

PACKAGE = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "version": {"type": "string", "pattern": r"^\d+\.\d+$"},
        "kind": {"enum": ["app", "lib"]},
        "size": {"type": "integer", "minimum": 3},
        "parts": {
            "type": "array",
            "items": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
        },
    },
    "required": ["name", "version", "kind"],
    "additionalProperties": False,
}


def gap(prefix: str, suffix: str, schema: Any = PACKAGE, language: str = "json") -> Gap:
    return Gap(load_automaton(Schema(text=json.dumps(schema)), language), prefix, suffix)


def completed(prefix: str, suffix: str, schema: Any = PACKAGE) -> Any:
    """The document with the gap's completion, checked by another validator."""
    found = gap(prefix, suffix, schema)
    assert found.holds == "all"
    middle = found.completion(found.start)
    assert middle is not None
    document = json.loads(prefix + middle.decode() + suffix)
    jsonschema.validate(document, schema)
    return document


@pytest.mark.parametrize(
    ("prefix", "suffix"),
    [
        ("", ""),
        ("{", "}"),
        ('{"name": "x", ', "}"),
        ('{"name": "x", "ve', '"kind": "app"}'),
        ('{"name": "x", "kind": "l', '", "version": "1.0"}'),
        ('{"version": "1.', ', "name": "a", "kind": "lib"}'),
        ('{"parts": [{"id": "', ""),
        ('{"parts": [', '], "name": "a", "version": "1.0", "kind": "app"}'),
        ('{"name": "a", "version": "1.0", "kind": "app", "size": ', "}"),
        ('{"na', 'e": "a", "version": "1.0", "kind": "app"}'),
        ('{"name": "a", "version": "1.0", "kind": "app', "}"),
    ],
)
def test_a_completion_is_found_and_validates(prefix: str, suffix: str):
    completed(prefix, suffix)


def test_missing_keys_are_written_in_the_schemas_order():
    assert list(completed('{"size": 4', "")) == ["size", "name", "version", "kind"]


def test_keys_that_come_later_are_neither_written_twice_nor_missed():
    assert completed('{"name": "a", ', '"version": "2.0", "kind": "app"}')["version"] == "2.0"
    found = gap('{"name": "a", ', ', "version": "2.0", "kind": "app"}')
    assert found.automaton.run(found.start, b'"version": "1.0"') != DEAD
    assert not found.is_exit(found.automaton.run(found.start, b'"version": "1.0"'))
    assert found.is_exit(found.automaton.run(found.start, b'"size": 3'))


def test_a_key_that_is_there_cannot_be_written_again():
    found = gap('{"name": "a", ', "}")
    assert found.automaton.run(found.start, b'"name"') == DEAD


def test_continuations_begin_with_what_is_missing_and_are_all_alive():
    found = gap('{"name": "a", ', "}")
    assert found.continuations(found.start)[0] == b'"version"'
    assert all(found.automaton.run(found.start, text) != DEAD for text in found.continuations(found.start))
    values = gap('{"name": "a", "kind": ', "}")
    assert {b'"app"', b'"lib"'} <= set(values.continuations(values.start))


def test_the_layout_is_the_documents():
    found = gap('{\n    "name": "a",\n    "version": "1.0"', "\n}\n")
    assert found.completion(found.start) == b',\n    "kind": "app"'
    spaced = gap('{\n    "name": "a",\n    "version": "1.0",\n    ', "\n}\n")
    assert spaced.completion(spaced.start) == b'"kind": "app"'


def test_alternatives_are_told_apart_by_what_is_there():
    shape = {
        "oneOf": [
            {"properties": {"kind": {"const": "circle"}, "radius": {"type": "number"}}, "required": ["kind", "radius"]},
            {"properties": {"kind": {"const": "box"}, "width": {"type": "number"}}, "required": ["kind", "width"]},
        ]
    }
    assert "width" in completed('{"kind": "box"', "", shape)
    assert "radius" in completed('{"kind": "circle"', "", shape)
    found = gap('{"kind": ', ', "width": 1}', shape)
    assert found.is_exit(found.automaton.run(found.start, b'"box"'))
    assert not found.is_exit(found.automaton.run(found.start, b'"circle"'))


def test_conditions_and_negations_hold():
    schema = {
        "if": {"properties": {"a": {"const": 1}}, "required": ["a"]},
        "then": {"required": ["b"]},
        "not": {"properties": {"b": {"const": ""}}, "required": ["b"]},
        "properties": {"b": {"type": "string"}},
    }
    assert completed('{"a": 1, ', "", schema)["b"] != ""


def test_a_document_broken_elsewhere_gets_no_new_error():
    found = gap('{"colour": 1, "name": "a", "kind": ', ', "version": "1.0"}')
    assert found.holds == "grammar"
    assert found.automaton.run(found.start, b'"app"') != DEAD
    assert found.automaton.run(found.start, b'"apps') == DEAD
    broken = gap('{"name": "a", "kind": ', ', "version": ]')
    assert broken.holds == "near"
    assert broken.completion(broken.start) is not None


def test_what_is_no_json_before_the_hole_is_dead():
    assert gap("{name: ", "}").start == DEAD


def test_comments_and_trailing_commas_are_read_where_the_language_has_them():
    prefix, suffix = '{ // a comment, "name": 1\n "name": "a", "kind": "app", ', "/* end */, }"
    assert gap(prefix, suffix).start == DEAD
    found = gap(prefix, suffix, language="jsonc")
    assert found.holds == "all"
    assert found.completion(found.start) is not None


def test_without_a_schema_all_json_is_right():
    found = Gap(load_automaton(None), '{"a": [1, ', "]}")
    assert found.holds == "all"
    assert found.is_exit(found.automaton.run(found.start, b'{"a": null}'))
    assert not found.is_exit(found.automaton.run(found.start, b"{"))


def test_an_object_of_many_keys_takes_little_memory():
    suffix = ", ".join(f'"key_{number}": {number}' for number in range(1000)) + "}"
    automaton = load_automaton(None)
    tracemalloc.start()
    try:
        assert Gap(automaton, '{"a": 1, ', suffix).holds == "all"
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_what_a_search_may_read_is_bounded():
    schema = {"properties": {"key_999": {"type": "string"}}}
    suffix = ", ".join(f'"key_{number}": {number}' for number in range(1000)) + "}"
    found = gap("{ ", suffix, schema)
    assert found.holds == "near"
    assert len(found.automaton.frames) < 200 * 1000


def test_a_schema_that_refers_to_itself_judges_deep_documents():
    deep = 2000
    schema = {"type": "array", "items": {"$ref": "#"}}
    assert gap("[" * deep, "]" * deep, schema).holds == "all"
    assert gap("[" * deep + "1, ", "]" * deep, schema).holds == "grammar"


WHEN = {"type": "object", "properties": {"when": {"type": "string", "format": "date"}}, "required": ["when"]}


@pytest.mark.parametrize(
    ("prefix", "suffix", "when"),
    [
        ("", "", "2000-01-01"),
        ("{", "}", "2000-01-01"),
        ('{"when": ', "}", "2000-01-01"),
        ('{"when": "20', "}", "2000-01-01"),
        ('{"when": "1999-1', "}", "1999-10-01"),
        ('{"when": "so\\"on', "}", 'so"on'),
        ('{"when": "so', 'on"}', "soon"),
    ],
)
def test_what_is_completed_has_the_format_if_it_can(prefix: str, suffix: str, when: str):
    assert completed(prefix, suffix, WHEN)["when"] == when


def test_a_format_can_be_had_where_the_quote_is_there_already():
    found = gap('{"when": "20', '"}', WHEN)
    endings = [
        text for text in found.continuations(found.start) if found.is_exit(found.automaton.run(found.start, text))
    ]
    assert endings[0] == b"00-01-01"


def test_another_text_than_the_format_wants_is_accepted():
    found = gap('{"when": ', "}", WHEN)
    assert found.is_exit(found.automaton.run(found.start, b'"soon"'))
