"""What is seen of a JSON document without reading all of it: whether it is one, and the schema that it names."""

import re
from typing import NamedTuple

import msgspec

JSON_LANGUAGES = frozenset({"json", "jsonc", "json5"})
"""LSP language identifiers of documents whose fills are held to JSON."""
SCANNED_CHARS = 8192
"""The schema is named near the top."""

_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*+"?|//[^\n]*+|/\*.*?(?:\*/|\Z)|[{}\[\]:,]', re.DOTALL)
_OPENERS, _CLOSERS = frozenset("{["), frozenset("}]")


class Declared(NamedTuple):
    """The value of a document's own `$schema`."""

    value: str
    start: int
    """Of the string, its quote included."""
    end: int


def declared_schema(text: str) -> Declared | None:
    """The `$schema` of the document's outermost object, which may be broken or hold comments. Pure.

    Where the name occurs at all, it takes 1 ms.
    """
    if '"$schema"' not in text[:SCANNED_CHARS]:
        return None
    depth, last_two = 0, ("", "")
    for token in _TOKEN.finditer(text, 0, SCANNED_CHARS):
        sign = token[0]
        if sign.startswith(("//", "/*")):
            continue
        if depth == 1 and last_two == ('"$schema"', ":"):
            value = _string(sign)
            return None if value is None else Declared(value, token.start(), token.end())
        depth += (sign in _OPENERS) - (sign in _CLOSERS)
        last_two = last_two[1], sign
    return None


def _string(token: str) -> str | None:
    try:
        return msgspec.json.decode(token, type=str)
    except msgspec.DecodeError:
        return None
