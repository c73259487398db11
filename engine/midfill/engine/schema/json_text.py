"""JSON as text: parsed strictly, with comments and trailing commas where the file's language has them."""

import json
import math
import re
from typing import Any, NoReturn

COMMENTED = frozenset({"jsonc", "json5"})
"""LSP language identifiers of JSON that people comment. Of JSON5 this is all that is understood."""

LONGEST_BEGUN = 1024

_PIECE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|//[^\n\r]*|/\*.*?\*/|/|,|[^\s"/,]+', re.DOTALL)


class RepeatedKey(ValueError):
    """An object that has a key twice: parsers differ in which value counts."""


def parse_json(text: str, language: str | None = None) -> Any:
    """The value of a document. ValueError where it is none, has a key twice, or nests too deeply to be read."""
    plain = without_comments(text) if language in COMMENTED else text
    try:
        return json.loads(plain, object_pairs_hook=_object, parse_constant=_not_a_number)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def parse_schema(text: str) -> Any:
    """A JSON Schema's own text, which editors let people comment. ValueError where it is no schema."""
    try:
        contents = _schema_value(text)
    except ValueError:  # Most have no comments, and to look for them takes longer than to read.
        contents = _schema_value(without_comments(text))
    if not isinstance(contents, dict | bool):
        raise ValueError(f"JSON of type {type(contents).__name__}")
    return contents


def _schema_value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_not_a_number, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def without_comments(text: str) -> str:
    """The same document as JSON: comments and trailing commas are blank, all else stands where it stood. Pure."""
    parts: list[str] = []
    end, comma, after_value = 0, -1, False
    for piece in _PIECE.finditer(text):
        word = piece.group()
        parts.append(text[end : piece.start()])
        end = piece.end()
        if word.startswith(("//", "/*")):
            parts.append(" " * len(word))
            continue
        if word[0] in "]}" and comma >= 0:
            parts[comma] = " "
        parts.append(word)
        # A comma after a bracket that opens, or after another comma, is no trailing one: it stays, and is an error.
        comma = len(parts) - 1 if word == "," and after_value else -1
        after_value = word[-1] not in "[{,:"
    return "".join([*parts, text[end:]])


def begun_string(text: str) -> str | None:
    """What stands in the string that a document ends in, which it must; None if that is long, or ends in an escape."""
    tail = text[-LONGEST_BEGUN:]
    start = tail.rfind('"')
    while start > 0 and _is_escaped(tail, start):
        start = tail.rfind('"', 0, start)
    try:
        return json.loads(tail[start:] + '"') if start >= 0 else None
    except ValueError:
        return None


def _is_escaped(text: str, place: int) -> bool:
    return (place - len(text[:place].rstrip("\\"))) % 2 == 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        raise RepeatedKey("a key twice")
    return read


def _not_a_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("a number too large")
    return number
