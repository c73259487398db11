from collections.abc import Iterator

import pytest
from jsonschema_specifications import REGISTRY

from midfill.engine.schema.keywords import KEYWORDS, report, subschemas


def official_keywords() -> Iterator[tuple[str, str]]:
    """Meta-schema and keyword, of each draft from 4 on."""
    for uri in REGISTRY:
        contents = REGISTRY[uri].contents
        if "draft-03" not in uri and isinstance(contents, dict):
            yield from ((uri, keyword) for keyword in contents.get("properties", {}))


def test_no_keyword_of_an_official_meta_schema_is_missing():
    official = list(official_keywords())
    assert len({uri for uri, _ in official}) >= 15
    assert {keyword for _, keyword in official} == set(KEYWORDS)


def test_a_report_names_what_is_used_and_what_nobody_knows():
    schema = {
        "type": "object",
        "properties": {"pattern": {"uniqueItems": True}},
        "dependencies": {"a": ["b"], "c": {"not": {}}},
        "items": [{"const": {"minimum": 1}}, True],
        "x-order": {"maximum": 1},
        "default": {"maxLength": 1},
    }
    assert report(schema) == {
        "type": "automaton",
        "properties": "automaton",
        "uniqueItems": "end",
        "dependencies": "automaton",
        "not": "automaton",
        "items": "automaton",
        "const": "automaton",
        "default": "annotation",
        "x-order": "unknown",
    }


@pytest.mark.parametrize("schema", [True, {}, [], None, {"properties": 3, "items": 3, "allOf": {}}])
def test_a_report_of_anything_is_no_error(schema: object):
    assert set(report(schema).values()) <= {"automaton"}


def test_schemas_nested_deeply_are_all_found():
    schema: dict[str, object] = {}
    for _ in range(50_000):
        schema = {"items": schema}
    assert sum(1 for _ in subschemas(schema)) == 50_001
