"""The last word on a filled document: whether it parses, and validates by a validator that shares no code with ours."""

import logging
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

import jsonschema_rs

from midfill.engine.errors import InputError
from midfill.engine.schema.drafts import DEFAULT, draft_of
from midfill.engine.schema.json_text import parse_json, parse_schema
from midfill.engine.schema.keywords import Handling, report
from midfill.engine.schema.stand_ins import StandIns
from midfill.engine.wire import Schema, SchemaDraft

log = logging.getLogger(__name__)

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
            built = build_validator(schema, formats=False)
            self._validator, self.missing = built.validator, built.missing
            _log(built)

    def is_valid(self, text: str) -> bool:
        """Whether the document is JSON of its language, has no key twice, and validates."""
        return self._passes(self._validator, text)

    def prefers(self, text: str) -> bool:
        """Whether it is valid and also has the `format`s that the schema names, which no document must have."""
        return self._passes(self._strict, text)

    @cached_property
    def _strict(self) -> Any:
        """The same validator where no format is named: another takes as long to build, and as much memory."""
        if self.schema is None:
            return None
        texts = (self.schema.text, *(text for _, text in self.schema.others))
        if not any('"format"' in text for text in texts):
            return self._validator
        return build_validator(self.schema, formats=True).validator

    def _passes(self, validator: Any, text: str) -> bool:
        try:
            document = parse_json(text, self.language)
            return validator is None or validator.is_valid(document)
        except ValueError:  # no JSON, or more than the validator takes: lone surrogates, endless nesting
            return False


class Built(NamedTuple):
    """A validator, and what there is to know of its schema."""

    validator: Any
    missing: frozenset[str]
    """URIs of the schemas that it refers to and that are not there."""
    keywords: Mapping[str, Handling]
    """Those that it or its `others` use."""


def build_validator(schema: Schema, formats: bool) -> Built:
    """The validator of a schema. Raises InputError for one that is no schema."""
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
    keywords = report(contents)
    for _, other in others:
        keywords |= report(other)
    return Built(validator, frozenset(stand_ins.missing), keywords)


def _log(built: Built) -> None:
    """Lists what no fill is held to while it is written. Unknown keywords and URIs are people's own text: counted."""
    left = sorted(keyword for keyword, handling in built.keywords.items() if handling == "end")
    unknown = sum(handling == "unknown" for handling in built.keywords.values())
    log.info(
        "a schema leaves to the gate: %s; of no draft: %d keywords; referred to and not there: %d schemas",
        " ".join(left) or "nothing",
        unknown,
        len(built.missing),
    )


def _named(contents: Any) -> Any:
    """The schema without a `$schema` that nobody knows: such a one is read as the default draft."""
    if isinstance(contents, dict) and "$schema" in contents and draft_of(contents) is None:
        return {key: value for key, value in contents.items() if key != "$schema"}
    return contents


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
