"""The automaton against an independent validator, on random small schemas."""

import json
import re
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.benchmarks.schema_sets import places_to_cut
from tests.engine.schema.probe import accepts_document, hole, shortest_fill, state_after
from tests.engine.schema.small_schemas import SCHEMAS, documents

from midfill.engine.errors import InputError
from midfill.engine.schema.constraint import DEAD
from midfill.engine.schema.gate import Gate
from midfill.engine.schema.keywords import report
from midfill.engine.wire import Schema

HAVE_DEAD_ENDS = {"not", "oneOf", "if", "enum", "contains", "maxContains", "multipleOf", "dependentSchemas"}
"""With these a text can be past rescue before the automaton knows."""
MANY = settings(max_examples=150, deadline=None)


def written(contents: Any) -> Schema:
    return Schema(text=json.dumps(contents), draft="draft2020-12")


def gate_of(schema: Schema) -> Gate:
    """A `$ref` that leads in a circle on the same value is no schema, and not what is tested here."""
    try:
        return Gate(schema)
    except InputError:
        assume(False)
        raise


@MANY
@given(SCHEMAS, documents())
def test_automaton_and_validator_agree_on_whole_documents(contents: Any, document: str):
    schema = written(contents)
    assert accepts_document(schema, document) == gate_of(schema).is_valid(document)


@MANY
@given(SCHEMAS, documents(), st.data())
def test_a_valid_document_cut_anywhere_is_completed_to_a_valid_one(contents: Any, document: str, data: st.DataObject):
    schema = written(contents)
    gate = gate_of(schema)
    assume(gate.is_valid(document))
    first, last = sorted(data.draw(st.tuples(*[st.sampled_from(places_to_cut(document))] * 2)))
    prefix, suffix = document[:first], document[last:]
    constraint = hole(schema, prefix, suffix)
    assert accepts_document(schema, document)
    fill = shortest_fill(constraint)
    assert fill is not None
    assert gate.is_valid(prefix + fill + suffix)


@MANY
@given(SCHEMAS, st.data())
def test_every_way_through_the_automaton_ends_in_a_valid_document(contents: Any, data: st.DataObject):
    schema = written(contents)
    gate, constraint = gate_of(schema), hole(schema)
    text, state = b"", constraint.start
    assume(constraint.holds == "all")
    for _ in range(data.draw(st.integers(0, 12))):
        offered = constraint.continuations(state)
        if not offered:
            break
        text += data.draw(st.sampled_from(list(offered)))
        state = state_after(constraint, text)
        assert state != DEAD
    completion = constraint.completion(state)
    assert completion is not None or HAVE_DEAD_ENDS & report(contents).keys()
    assume(completion is not None)
    assert completion is not None
    assume(re.search(rb"e[+-]?\d{3}", text) is None)  # beyond what the validator takes for a number
    assert gate.is_valid((text + completion).decode())
