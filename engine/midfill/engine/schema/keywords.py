"""How each keyword of JSON Schema is held to: drafts 4 to 2020-12."""

from collections.abc import Iterator
from typing import Any, Literal, get_args

from midfill.engine.wire import SchemaDraft

Handling = Literal["automaton", "end", "annotation", "unknown"]
"""`automaton`: a fill that breaks it is not written, unless what the keyword holds is beyond the automaton (a pattern
with lookaround, a reference that leads nowhere): that, and `end`, the gate refuses when the fill is whole.
`annotation`: it forbids nothing. `unknown`: of no draft, so it forbids nothing either.
"""

_AUTOMATON = """
    type enum const
    multipleOf maximum exclusiveMaximum minimum exclusiveMinimum
    maxLength minLength pattern
    items additionalItems prefixItems maxItems minItems contains minContains maxContains
    properties patternProperties additionalProperties propertyNames
    maxProperties minProperties required dependentRequired dependentSchemas dependencies
    allOf anyOf oneOf not if then else
    $ref $dynamicRef $recursiveRef
"""
_END = """
    uniqueItems unevaluatedItems unevaluatedProperties
    contentEncoding contentMediaType
"""
_ANNOTATION = """
    $schema $id id $anchor $dynamicAnchor $recursiveAnchor $vocabulary $comment $defs definitions
    title description default deprecated readOnly writeOnly examples
    format contentSchema
"""
# `format` is one because most validators take it so: fills that have it are proposed, and preferred. What a text
# encodes is an annotation from 2019-09 on; the validator checks it in the drafts before.

KEYWORDS: dict[str, Handling] = {
    **dict.fromkeys(_AUTOMATON.split(), "automaton"),
    **dict.fromkeys(_END.split(), "end"),
    **dict.fromkeys(_ANNOTATION.split(), "annotation"),
}

_SINCE_2019 = "unevaluatedItems unevaluatedProperties dependentRequired dependentSchemas minContains maxContains"
_LATER: dict[SchemaDraft, frozenset[str]] = {
    "draft6": frozenset(("const", "contains", "propertyNames")),
    "draft7": frozenset(("if", "then", "else")),
    "draft2019-09": frozenset((*_SINCE_2019.split(), "$recursiveRef")),
    "draft2020-12": frozenset(("prefixItems", "$dynamicRef")),
}
_ORDER: tuple[SchemaDraft, ...] = get_args(SchemaDraft)

PASSED_OVER: dict[SchemaDraft, frozenset[str]] = {
    draft: frozenset[str]().union(*(_LATER[later] for later in _ORDER[place + 1 :]))
    for place, draft in enumerate(_ORDER)
}
"""Keywords that came later than a draft, or went before it: they forbid nothing there. `dependencies` never went: the
validator holds to it in all drafts.
"""
PASSED_OVER["draft2020-12"] |= {"$recursiveRef", "additionalItems"}

_ONE_SCHEMA = """
    items additionalItems additionalProperties propertyNames contains contentSchema not if then else
    unevaluatedItems unevaluatedProperties
"""
_MANY_SCHEMAS = "allOf anyOf oneOf prefixItems items"
_NAMED_SCHEMAS = "properties patternProperties dependentSchemas dependencies $defs definitions"

_HOLDS_ONE = frozenset(_ONE_SCHEMA.split())
_HOLDS_MANY = frozenset(_MANY_SCHEMAS.split())
_HOLDS_NAMED = frozenset(_NAMED_SCHEMAS.split())


def report(contents: Any) -> dict[str, Handling]:
    """Each keyword that a schema or a schema inside it uses, and how it is held to. Follows no reference. Pure."""
    return {
        keyword: KEYWORDS.get(keyword, "unknown")
        for schema in subschemas(contents)
        if isinstance(schema, dict)
        for keyword in schema
    }


def subschemas(contents: Any) -> Iterator[Any]:
    """The schema and all schemas inside it, however deep."""
    waiting = [contents]
    while waiting:
        schema = waiting.pop()
        yield schema
        if isinstance(schema, dict):
            waiting += children(schema)


def children(schema: dict[str, Any]) -> Iterator[Any]:
    """The schemas that the keywords of a schema hold."""
    for keyword, value in schema.items():
        if isinstance(value, dict | bool) and keyword in _HOLDS_ONE:
            yield value
        elif isinstance(value, list) and keyword in _HOLDS_MANY:
            yield from value
        elif isinstance(value, dict) and keyword in _HOLDS_NAMED:
            yield from value.values()
