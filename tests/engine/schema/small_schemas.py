"""Random small schemas and documents that have something to do with each other: few keys, few values."""

import json
from typing import Any

from hypothesis import strategies as st

KEYS = st.sampled_from(["a", "b", "ab", "é"])
TEXTS = st.sampled_from(["", "a", "b", "ab", "aab", "é", '"\\', "😀"])
NUMBERS = st.sampled_from([0, 1, 2, 3, -1, 10, 0.5, 1.5, 1e2])
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=5
)
PATTERNS = st.sampled_from(["^a", "b$", "^a*b?$", "^.$", "é|b", "[^a]"])
TYPES = st.sampled_from(["object", "array", "string", "number", "integer", "boolean", "null"])
COUNTS = st.integers(0, 3)
POSITIVE = st.sampled_from([1, 2, 0.5, 3])

SCALAR_KEYWORDS: dict[str, st.SearchStrategy[Any]] = {
    "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
    "enum": st.lists(VALUES, min_size=1, max_size=4),
    "const": VALUES,
    "minimum": NUMBERS,
    "maximum": NUMBERS,
    "exclusiveMinimum": NUMBERS,
    "exclusiveMaximum": NUMBERS,
    "multipleOf": POSITIVE,
    "minLength": COUNTS,
    "maxLength": COUNTS,
    "pattern": PATTERNS,
    "minItems": COUNTS,
    "maxItems": COUNTS,
    "minContains": COUNTS,
    "maxContains": COUNTS,
    "minProperties": COUNTS,
    "maxProperties": COUNTS,
    "required": st.lists(KEYS, max_size=3, unique=True),
    "dependentRequired": st.dictionaries(KEYS, st.lists(KEYS, max_size=2, unique=True), max_size=2),
}


def _keywords(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A schema of a few keywords, whose subschemas come from `inner`."""
    some = st.lists(inner, min_size=1, max_size=3)
    holding = {
        **dict.fromkeys(
            ("items", "contains", "additionalProperties", "propertyNames", "not", "if", "then", "else"), inner
        ),
        **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), some),
        **dict.fromkeys(("properties", "dependentSchemas"), st.dictionaries(KEYS, inner, max_size=3)),
        "patternProperties": st.dictionaries(PATTERNS, inner, max_size=2),
        "$ref": st.just("#"),
    }
    every = {**SCALAR_KEYWORDS, **holding}
    chosen = st.lists(st.sampled_from(sorted(every)), max_size=4, unique=True)
    return chosen.flatmap(lambda names: st.fixed_dictionaries({name: every[name] for name in names}))


SCALAR_SCHEMAS = st.lists(st.sampled_from(sorted(SCALAR_KEYWORDS)), max_size=2, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: SCALAR_KEYWORDS[name] for name in names})
)
SCHEMAS = st.recursive(st.booleans() | SCALAR_SCHEMAS, _keywords, max_leaves=6)
LAYOUTS = st.sampled_from([None, 2])


@st.composite
def documents(draw: st.DrawFn) -> str:
    """JSON in one of a few layouts."""
    return json.dumps(draw(VALUES), indent=draw(LAYOUTS), ensure_ascii=draw(st.booleans()))
