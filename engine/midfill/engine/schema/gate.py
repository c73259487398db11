"""The last word on a filled document: whether it parses, and validates by a validator that shares no code with ours."""

from functools import cached_property
from typing import Any

import jsonschema_rs

from midfill.engine.errors import InputError
from midfill.engine.schema.drafts import DEFAULT, draft_of
from midfill.engine.schema.json_text import parse_json, parse_schema
from midfill.engine.schema.stand_ins import StandIns
from midfill.engine.wire import Schema, SchemaDraft

VALIDATORS: dict[SchemaDraft, tuple[int, type[Any]]] = {
    "draft4": (jsonschema_rs.Draft4, jsonschema_rs.Draft4Validator),
    "draft6": (jsonschema_rs.Draft6, jsonschema_rs.Draft6Validator),
    "draft7": (jsonschema_rs.Draft7, jsonschema_rs.Draft7Validator),
    "draft2019-09": (jsonschema_rs.Draft201909, jsonschema_rs.Draft201909Validator),
    "draft2020-12": (jsonschema_rs.Draft202012, jsonschema_rs.Draft202012Validator),
}


class Gate:
    """Says of whole documents whether they hold to a schema, or without one whether they are JSON.

    Nothing is fetched: what a schema refers to is among its `others`, or accepts everything and is in `missing`.
    """

    def __init__(self, schema: Schema | None, language: str | None = None) -> None:
        """Raises InputError for a schema that cannot be used."""
        self.schema = schema
        self.language = language
        self.missing: frozenset[str] = frozenset()
        """URIs of the schemas that it refers to and that are not there."""
        self._validator = None
        if schema is not None:
            self._validator, self.missing = build_validator(schema, formats=False)

    def is_valid(self, text: str) -> bool:
        """Whether the document is JSON of its language, has no key twice, and validates."""
        return self._passes(self._validator, text)

    def prefers(self, text: str) -> bool:
        """Whether it also has the `format`s that the schema names, which no document must have."""
        return self._passes(self._strict, text)

    @cached_property
    def _strict(self) -> Any:
        return None if self.schema is None else build_validator(self.schema, formats=True)[0]

    def _passes(self, validator: Any, text: str) -> bool:
        try:
            document = parse_json(text, self.language)
            return validator is None or validator.is_valid(document)
        except ValueError:  # no JSON, or more than the validator takes: lone surrogates, endless nesting
            return False


def build_validator(schema: Schema, formats: bool) -> tuple[Any, frozenset[str]]:
    """The validator of a schema, and what it lacks. Raises InputError for one that is no schema."""
    try:
        contents = _named(parse_schema(schema.text))
        others = [(uri.removesuffix("#"), _named(parse_schema(text))) for uri, text in schema.others]
        stand_ins = StandIns([contents, *(other for _, other in others)])
        default = schema.draft or DEFAULT
        registry = jsonschema_rs.Registry(others, draft=VALIDATORS[default][0], retriever=stand_ins)
        build = VALIDATORS[draft_of(contents) or default][1]
        validator = build(
            contents, registry=registry, retriever=stand_ins, validate_formats=formats, base_uri=schema.uri or None
        )
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise InputError(schema.uri or "the schema", "one that a validator can use", _first_line(error)) from error
    return validator, frozenset(stand_ins.missing)


def _named(contents: Any) -> Any:
    """The schema without a `$schema` that nobody knows: such a one is read as the default draft."""
    if isinstance(contents, dict) and "$schema" in contents and draft_of(contents) is None:
        return {key: value for key, value in contents.items() if key != "$schema"}
    return contents


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
