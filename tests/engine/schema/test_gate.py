import json
import logging
import socket
import time
from typing import Any

import pytest

from midfill.engine.errors import InputError
from midfill.engine.schema.drafts import URIS
from midfill.engine.schema.gate import Gate
from midfill.engine.wire import Schema, SchemaDraft


def gate(contents: Any, **options: Any) -> Gate:
    return Gate(Schema(text=json.dumps(contents), **options))


def test_without_a_schema_a_document_has_to_be_json():
    assert Gate(None).is_valid('{"a": [1, 2]}')
    assert not Gate(None).is_valid('{"a": [1, 2,]}')


def test_a_schema_has_to_be_met():
    assert gate({"type": "array", "items": {"type": "integer"}}).is_valid("[1, 2]")
    assert not gate({"type": "array", "items": {"type": "integer"}}).is_valid('[1, "2"]')


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', "[1e400]", "[" * 900 + "]" * 900, "[NaN]"])
def test_what_parsers_read_differently_is_not_valid(text: str):
    assert not gate({"items": {"type": ["number", "string"]}}).is_valid(text)


def test_comments_are_read_where_the_language_has_them():
    schema = Schema(text='{"type": "array", /* of anything */}')
    assert Gate(schema, "jsonc").is_valid("[1, // one\n]")
    assert not Gate(schema, "json").is_valid("[1, // one\n]")


def test_formats_are_preferred_and_not_required():
    dated = gate({"format": "date"})
    assert dated.is_valid('"soon"')
    assert not dated.prefers('"soon"')
    assert dated.prefers('"2024-02-29"')


def test_what_is_not_valid_is_not_preferred_with_formats_or_without():
    for contents in ({"type": "integer"}, {"type": "integer", "format": "date"}):
        assert gate(contents).prefers("1")
        assert not gate(contents).prefers('"2024-02-29"')


def test_a_format_in_another_schema_is_preferred_too():
    other = ("http://example.com/b.json", '{"format": "date"}')
    assert not gate({"$ref": other[0]}, others=(other,)).prefers('"soon"')
    assert not gate({"$ref": "#/parts/when", "parts": {"when": {"format": "date"}}}).prefers('"soon"')


@pytest.mark.parametrize(
    ("draft", "valid"), [("draft4", False), ("draft6", True), (None, True), ("draft2020-12", True)]
)
def test_the_draft_is_the_one_asked_for(draft: SchemaDraft | None, valid: bool):
    assert gate({"type": "integer"}, draft=draft).is_valid("1.0") == valid


@pytest.mark.parametrize(("draft", "uri"), URIS.items())
def test_the_draft_that_a_schema_says_wins(draft: str, uri: str):
    valid = gate({"$schema": f"{uri}#", "type": "integer"}, draft="draft4").is_valid("1.0")
    assert valid == (draft != "draft4")


def test_a_meta_schema_that_nobody_knows_is_no_reason_to_refuse():
    assert not gate({"$schema": "https://example.com/ours", "type": "integer"}).is_valid('"a"')


def test_references_lead_to_the_other_schemas():
    other = ("http://example.com/b.json", '{"$schema": "https://example.com/ours", "type": "string"}')
    assert gate({"$ref": "b.json"}, uri="http://example.com/a.json", others=(other,)).is_valid('"a"')
    assert not gate({"$ref": other[0]}, others=((other[0] + "#", other[1]),)).is_valid("1")


def test_what_is_not_there_is_never_fetched_and_accepts_everything():
    """The listener hears of it if anything is."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        uri = f"http://127.0.0.1:{listener.getsockname()[1]}/never.json"
        schema = gate({"properties": {"a": {"$ref": uri + "#/definitions/b~1c"}, "d": {"type": "null"}}})
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert schema.missing == {uri}
    assert schema.is_valid('{"a": 1, "d": null}')
    assert not schema.is_valid('{"a": 1, "d": 1}')


@pytest.mark.parametrize(
    "text",
    [
        '{"$ref": "#/definitions/missing"}',
        '{"type": "strange"}',
        '{"pattern": "("}',
        "[]",
        "3",
        "{",
        "",
        "[" * 100_000,
        '{"items":' * 2000 + "{}" + "}" * 2000,
    ],
)
def test_a_schema_that_cannot_be_used_is_one_clear_error(text: str):
    with pytest.raises(InputError, match=r"the schema: wanted one that a validator can use, got .+") as raised:
        Gate(Schema(text=text))
    assert len(str(raised.value)) < 400
    assert "\n" not in str(raised.value)


def test_the_error_names_the_schema_that_has_a_name():
    with pytest.raises(InputError, match=r"a\.json: wanted"):
        Gate(Schema(text="{", uri="file:///a.json"))


def test_a_pattern_that_backtracks_is_bounded_in_time():
    slow = gate({"pattern": "^(?=a)(a+)+$"})
    started = time.perf_counter()
    assert not slow.is_valid(json.dumps("a" * 60 + "b"))
    assert time.perf_counter() - started < 2


def test_what_is_left_to_the_gate_is_logged_and_no_word_of_the_schema_is(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, logger="midfill.engine.schema.gate")
    secret = {"x-secret": 1, "title": "secret", "$ref": "http://example.com/secret"}
    gate({"items": {"uniqueItems": True}, "properties": {"secret": secret}})
    (line,) = caplog.messages
    assert line.startswith("a schema leaves to the gate: uniqueItems; of no draft: 1 keywords;")
    assert line.endswith("not there: 1 schemas")
    assert "secret" not in line
