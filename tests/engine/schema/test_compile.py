"""Schemas as nodes: each draft's own keywords, read when they are needed."""

import json
from typing import Any

import pytest
from tests.engine.schema.probe import accepts_document, hole

from midfill.engine.errors import InputError
from midfill.engine.schema.compile import Reader
from midfill.engine.schema.drafts import URIS
from midfill.engine.schema.gate import Gate
from midfill.engine.wire import Schema, SchemaDraft

BROKEN: dict[str, tuple[dict[str, Any], Any]] = {
    "unevaluatedProperties": ({"unevaluatedProperties": False}, {"a": 1}),
    "unevaluatedItems": ({"unevaluatedItems": False}, [1]),
    "dependentRequired": ({"dependentRequired": {"a": ["b"]}}, {"a": 1}),
    "dependentSchemas": ({"dependentSchemas": {"a": False}}, {"a": 1}),
    "dependencies, names": ({"dependencies": {"a": ["b"]}}, {"a": 1}),
    "dependencies, schema": ({"dependencies": {"a": {"maxProperties": 0}}}, {"a": 1}),
    "$dynamicRef": ({"$dynamicRef": "#/definitions/s", "definitions": {"s": {"type": "string"}}}, 1),
    "$recursiveRef": ({"type": "object", "additionalProperties": {"$recursiveRef": "#"}}, {"a": 1}),
    "propertyNames": ({"propertyNames": {"maxLength": 0}}, {"a": 1}),
    "contains": ({"contains": {"type": "string"}}, [1]),
    "const": ({"const": 1}, 2),
    "const beside enum": ({"const": 1, "enum": [1, 2]}, 2),
    "const, an array": ({"const": [1]}, [2]),
    "if": ({"if": {"type": "integer"}, "then": {"minimum": 5}}, 1),
    "else": ({"if": {"type": "string"}, "else": {"minimum": 5}}, 1),
    "prefixItems": ({"prefixItems": [{"type": "string"}]}, [1]),
    "prefixItems and items": ({"prefixItems": [{}], "items": {"type": "string"}}, [1, "a"]),
    "additionalItems alone": ({"additionalItems": {"type": "string"}}, [1]),
    "minContains": ({"contains": {"type": "integer"}, "minContains": 2}, [1]),
    "minContains of none": ({"contains": {"type": "integer"}, "minContains": 0}, []),
    "maxContains": ({"contains": {"type": "integer"}, "maxContains": 1}, [1, 1]),
    "beside $ref": ({"$ref": "#/definitions/s", "minimum": 5, "definitions": {"s": {"type": "integer"}}}, 1),
    "not a keyword that came later": ({"not": {"const": 1}}, 2),
}


@pytest.mark.parametrize("draft", URIS)
@pytest.mark.parametrize("name", BROKEN)
def test_a_keyword_is_held_to_in_the_drafts_where_the_validator_holds_to_it(name: str, draft: SchemaDraft):
    contents, document = BROKEN[name]
    schema, text = Schema(text=json.dumps(contents), draft=draft), json.dumps(document)
    assert accepts_document(schema, text) == Gate(schema).is_valid(text)


def test_the_validator_passes_over_what_came_later_than_its_draft():
    contents, document = BROKEN["dependentRequired"]
    verdicts = [Gate(Schema(text=json.dumps(contents), draft=draft)).is_valid(json.dumps(document)) for draft in URIS]
    assert verdicts == [True, True, True, False, False]


WRONG = [
    '{"dependentRequired": {"a": 5}}',
    '{"dependentRequired": {"a": [["b"]]}}',
    '{"dependentRequired": {"a": "bc"}}',
    '{"dependencies": {"a": [1]}}',
    '{"required": [["a"]]}',
    '{"allOf": [{"dependentRequired": {"b": 5}}]}',
    '{"additionalProperties": [], "properties": {"a": 3}}',
    '{"minItems": "1"}',
    '{"$ref": 3}',
    '{"$id": "http://[x"}',
    '{"$id": "http://example.com/", "properties": {"a": {"$id": "http://[x"}}}',
]


@pytest.mark.parametrize("text", WRONG)
def test_a_keyword_that_holds_nonsense_is_one_clear_error(text: str):
    with pytest.raises(InputError) as raised:
        hole(Schema(text=text, uri="file:///a.json", draft="draft2019-09"))
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize("text", [each for each in WRONG if "$id" not in each])
def test_nonsense_that_is_found_while_a_document_is_written_is_left_to_the_gate(text: str):
    inner = json.dumps({"properties": {"b": json.loads(text)}, "items": {"type": "integer"}})
    schema = Schema(text=inner, draft="draft2019-09")
    assert accepts_document(schema, '{"b": {"b": [1, "a"]}}')
    assert not accepts_document(schema, '["a"]')


def test_the_keyword_that_was_left_is_named():
    reader = Reader({"properties": {"b": {"dependentRequired": {"b": 5}, "maxItems": 1}}}, draft="draft2020-12")
    inner = reader.opened(reader.opened(reader.root).properties["b"])
    assert inner.left == {"dependentRequired"}
    assert inner.most_items == 1
    assert isinstance(reader.fault, InputError)


def test_a_dynamic_reference_in_another_schema_leads_where_the_way_there_says():
    """One list, of what the schema says that refers to it: of texts on one way and of numbers on the other."""
    listed = {
        "$id": "http://example.com/list",
        "type": "array",
        "items": {"$dynamicRef": "#item"},
        "$defs": {"any": {"$dynamicAnchor": "item"}},
    }

    def of(kind: str) -> dict[str, Any]:
        item = {"$dynamicAnchor": "item", "type": kind}
        return {"$id": f"http://example.com/{kind}", "$ref": "list", "$defs": {"item": item}}

    others = tuple((each["$id"], json.dumps(each)) for each in (listed, of("string"), of("integer")))
    contents = {"properties": {"a": {"$ref": "http://example.com/string"}, "b": {"$ref": "http://example.com/integer"}}}
    schema = Schema(text=json.dumps(contents), others=others, draft="draft2020-12")
    for document, valid in [('{"a": ["x"], "b": [1]}', True), ('{"a": [1]}', False), ('{"a": [], "b": ["x"]}', False)]:
        assert accepts_document(schema, document) == Gate(schema).is_valid(document) == valid


@pytest.mark.parametrize("draft", ["draft2019-09", "draft2020-12"])
def test_a_schema_of_schemas_is_held_to_whole(draft: SchemaDraft):
    contents = {"properties": {"a": {"$ref": f"{URIS[draft]}"}, "b": {"$ref": f"{URIS[draft]}"}}}
    schema = Schema(text=json.dumps(contents), draft=draft)
    for document in ('{"a": {"items": {"type": "integer"}}}', '{"b": {"items": {"type": 3}}}', '{"a": {"not": 3}}'):
        assert accepts_document(schema, document) == Gate(schema).is_valid(document)
