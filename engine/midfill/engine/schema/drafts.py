"""The versions of JSON Schema: which one a schema is written in, and how each names and nests schemas."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

import referencing
from referencing.jsonschema import specification_with

from midfill.engine.schema.keywords import children
from midfill.engine.wire import SchemaDraft

URIS: dict[SchemaDraft, str] = {
    "draft4": "http://json-schema.org/draft-04/schema",
    "draft6": "http://json-schema.org/draft-06/schema",
    "draft7": "http://json-schema.org/draft-07/schema",
    "draft2019-09": "https://json-schema.org/draft/2019-09/schema",
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
}
DEFAULT: SchemaDraft = "draft7"
assert tuple(URIS) == get_args(SchemaDraft)

_OF_NAME: dict[str, SchemaDraft] = {uri.partition("://")[2]: draft for draft, uri in URIS.items()}


def draft_of(contents: Any) -> SchemaDraft | None:
    """The draft that a schema says it is written in; None where it says none that we know. Pure."""
    said = contents.get("$schema") if isinstance(contents, dict) else None
    return _OF_NAME.get(said.partition("://")[2].rstrip("#")) if isinstance(said, str) else None


@cache
def specification(draft: SchemaDraft) -> referencing.Specification[Any]:
    """How a draft names and nests schemas. What stands where a schema should and is none is passed over."""
    official = specification_with(URIS[draft])

    def id_of(contents: Any) -> str | None:
        return official.id_of(contents) if _may_have_a_name(contents) else None

    def subresources_of(contents: Any) -> Iterator[Any]:
        if isinstance(contents, dict):
            try:
                inner = list(official.subresources_of(contents))
            except (AttributeError, TypeError):
                inner = children(contents)
            yield from (each for each in inner if isinstance(each, bool | dict))

    def anchors_in(_: Any, contents: Any) -> Any:
        return official.anchors_in(contents) if _may_have_a_name(contents) else ()

    return referencing.Specification(
        official.name, id_of, subresources_of, official.maybe_in_subresource, anchors_in=anchors_in
    )


def _may_have_a_name(contents: Any) -> bool:
    return isinstance(contents, dict) and all(isinstance(contents.get(name, ""), str) for name in ("id", "$id"))
