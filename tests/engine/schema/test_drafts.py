from typing import Any, get_args

import pytest

from midfill.engine.schema.drafts import URIS, draft_of, specification
from midfill.engine.wire import SchemaDraft

ODD: list[Any] = [
    True,
    [],
    3,
    {"properties": 3},
    {"definitions": []},
    {"items": 3},
    {"$id": 3},
    {"id": {}},
    {"$anchor": 3},
    {"allOf": {}},
]


@pytest.mark.parametrize(("draft", "uri"), URIS.items())
def test_a_schema_names_its_draft_in_a_few_ways(draft: SchemaDraft, uri: str):
    assert draft_of({"$schema": uri}) == draft
    assert draft_of({"$schema": uri.replace("http:", "https:") + "#"}) == draft


@pytest.mark.parametrize("contents", [True, {}, {"$schema": 3}, {"$schema": ""}, {"$schema": "https://example.com/x"}])
def test_others_name_none(contents: Any):
    assert draft_of(contents) is None


@pytest.mark.parametrize("draft", get_args(SchemaDraft))
@pytest.mark.parametrize("contents", ODD)
def test_what_is_no_schema_has_no_name_and_nothing_inside(draft: SchemaDraft, contents: Any):
    resource = specification(draft).create_resource(contents)
    assert resource.id() is None
    assert list(resource.subresources()) == []


def test_lists_among_dependencies_are_no_schemas():
    resource = specification("draft7").create_resource({"dependencies": {"a": {"$id": "x"}, "b": ["c"]}})
    assert [each.contents for each in resource.subresources()] == [{"$id": "x"}]
