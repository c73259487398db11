"""From a request's schema to its automaton."""

from __future__ import annotations

from typing import Any

from midfill.engine.errors import InputError
from midfill.engine.schema.automaton import Automaton
from midfill.engine.schema.compile import Reader
from midfill.engine.schema.json_text import COMMENTED, parse_schema
from midfill.engine.schema.patterns import Patterns
from midfill.engine.schema.place import Places
from midfill.engine.wire import Schema

LONGEST_SCHEMA = 16 << 20
"""Characters, of a schema with all that it refers to."""


def load_automaton(schema: Schema | None, language: str | None = None, patterns: Patterns | None = None) -> Automaton:
    """The automaton of documents that meet `schema`; without one, of all JSON. Raises `InputError`.

    Those that are in use at a time share their `patterns`, and the memory for these.
    """
    try:
        reader = _read(schema, patterns) if schema is not None else Reader(True)
        automaton = Automaton(Places(reader), has_comments=language in COMMENTED)
    except RecursionError:
        raise InputError("schema", "one that is not nested so deeply", "more levels than can be read") from None
    except (ValueError, TypeError, ArithmeticError) as error:  # such as a URI that is none
        raise InputError("schema", "one that can be read", str(error)[:200]) from error
    if reader.fault is not None:
        raise reader.fault
    return automaton


def _read(schema: Schema, patterns: Patterns | None) -> Reader:
    size = len(schema.text) + sum(len(text) for _, text in schema.others)
    if size > LONGEST_SCHEMA:
        raise InputError("schema", f"at most {LONGEST_SCHEMA} characters, with all that it refers to", size)
    others = {uri: _parse(text, uri) for uri, text in schema.others}
    return Reader(_parse(schema.text, schema.uri or "schema"), schema.uri, others, schema.draft, patterns)


def _parse(text: str, name: str) -> Any:
    try:
        return parse_schema(text)
    except ValueError as error:
        raise InputError(name, "a JSON Schema", error) from None
