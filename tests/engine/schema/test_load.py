"""Schemas of requests: what the automaton and the gate take for one is the same."""

import pytest

from midfill.engine.errors import InputError
from midfill.engine.schema.gate import Gate
from midfill.engine.schema.load import load_automaton
from midfill.engine.wire import Schema


@pytest.mark.parametrize(
    "text",
    [
        '{"minLength": 1e400}',
        '{"minimum": NaN, "exclusiveMinimum": 1}',
        '{"maximum": -Infinity}',
        '{"const": [-1e999]}',
        "// nothing",
        "[]",
        '"text"',
        "{'a': 1}",
    ],
)
def test_what_is_no_schema_to_one_is_none_to_the_other(text: str):
    for schema in (Schema(text=text), Schema(text="{}", others=(("http://example.com/b.json", text),))):
        with pytest.raises(InputError):
            load_automaton(schema)
        with pytest.raises(InputError):
            Gate(schema)


def test_comments_in_a_schema_are_no_fault_to_either():
    text = '{"type": "array", /* of */ "items": {"type": "integer"}, // numbers\n}'
    schema = Schema(text=text, others=(("http://example.com/b.json", text),))
    for document, valid in (("[1]", True), ('["a"]', False)):
        automaton = load_automaton(schema)
        assert automaton.accepts(automaton.run(automaton.start, document.encode())) == valid
        assert Gate(schema).is_valid(document) == valid
