"""`midfill.engine.grammars`: which requests are held to what, and what is kept for the next."""

from collections.abc import Generator

import msgspec
import pytest

from midfill.engine import grammars as grammars_module
from midfill.engine.errors import InputError
from midfill.engine.grammars import MOST_GRAMMARS, Grammars, Hold
from midfill.engine.installed import embedded_model
from midfill.engine.prompt import Prompt
from midfill.engine.tokenizer import Tokenizer
from midfill.engine.wire import InfillRequest, Schema

TOKENIZER = Tokenizer(embedded_model() / "tokenizer.json")
SCHEMA = Schema(text='{"required": ["a"], "properties": {"a": {"enum": [1, 22]}, "b": {"type": "null"}}}')


def hold(
    prefix: str = "{",
    suffix: str = "}",
    language: str | None = "json",
    schema: Schema | None = SCHEMA,
    partial: bytes = b"",
    closing: str = "",
    grammars: Grammars | None = None,
) -> Hold | None:
    request = InfillRequest(document="a", prefix=prefix, suffix=suffix, language=language, schema=schema)
    return finished((grammars or Grammars(TOKENIZER)).hold(request, Prompt([1], partial, closing, [2])))


def finished(holding: Generator[None, None, Hold | None]) -> Hold | None:
    while True:
        try:
            next(holding)
        except StopIteration as end:
            return end.value


def held(*arguments: str, **options: object) -> Hold:
    found = hold(*arguments, **options)  # pyright: ignore[reportArgumentType]
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("language", "schema", "is_held"),
    [
        ("json", None, True),
        ("jsonc", None, True),
        ("json", SCHEMA, True),
        (None, SCHEMA, True),
        (None, None, False),
        ("yaml", SCHEMA, False),
        ("python", None, False),
    ],
)
def test_json_is_held_and_other_languages_are_not(language: str | None, schema: Schema | None, is_held: bool) -> None:
    assert (hold(language=language, schema=schema) is not None) == is_held


def test_a_document_that_no_fill_can_go_on_from_is_not_held() -> None:
    assert hold("}}}] nothing of JSON {", "") is None


def test_completions_begin_with_what_is_partial_and_fit() -> None:
    with_partial = held('{"', '": 1}', partial=b'"')
    spelled = [TOKENIZER.decode(fill) for fill in with_partial.completions(TOKENIZER, 24)]
    assert spelled
    assert all(text.startswith('"') for text in spelled)
    assert '"a' in spelled
    assert held().completions(TOKENIZER, 1) == []


def test_required_keys_are_completed_first_in_several_ways() -> None:
    texts = [TOKENIZER.decode(fill) for fill in held().completions(TOKENIZER, 24)]
    assert len(set(texts)) > 1
    assert texts[0].startswith('"a": 1')
    assert all(held().is_valid(text) for text in texts)


def test_a_completion_has_the_formats_that_the_schema_names() -> None:
    dated = Schema(text='{"required": ["a"], "properties": {"a": {"type": "string", "format": "date"}}}')
    for prefix, suffix in (("{", "}"), ('{"a": "19', '"}'), ('{"a": "19', "}")):
        found = held(prefix, suffix, schema=dated)
        texts = [TOKENIZER.decode(fill) for fill in found.completions(TOKENIZER, 24)]
        assert any(map(found.is_preferred, texts))


def test_the_closing_stands_between_fill_and_suffix() -> None:
    with_closing = held("{\n", "  }", closing="\n")
    assert with_closing.text(b'"a": 1') == '"a": 1\n'
    assert with_closing.is_valid('"a": 1\n')
    assert not with_closing.is_valid('"a": 2\n')


def test_a_grammar_is_compiled_once_and_the_oldest_is_let_go() -> None:
    grammars = Grammars(TOKENIZER)
    first = held(grammars=grammars).gap.automaton
    assert held(grammars=grammars).gap.automaton is first
    assert held(grammars=grammars, language="jsonc").gap.automaton is not first
    for number in range(MOST_GRAMMARS):
        held(grammars=grammars, schema=Schema(text=f'{{"minimum": {number}}}'))
    assert held(grammars=grammars).gap.automaton is not first


def test_an_automaton_that_has_grown_large_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammars_module, "MOST_STATES", 3)
    grammars = Grammars(TOKENIZER)
    first = held(grammars=grammars).gap.automaton
    assert held(grammars=grammars).gap.automaton is not first


def test_a_hold_is_made_in_steps_of_which_a_known_schema_takes_fewer() -> None:
    grammars, prompt = Grammars(TOKENIZER), Prompt([1], b"", "", [2])
    request = InfillRequest(document="a", prefix="{", suffix="}", language="json", schema=SCHEMA)
    new, known = (sum(1 for _ in grammars.hold(request, prompt)) for _ in range(2))
    assert new > known > 3
    assert list(grammars.hold(msgspec.structs.replace(request, language="python"), prompt)) == []


def test_what_was_made_of_a_schema_is_kept_when_a_newer_request_overtakes() -> None:
    grammars, prompt = Grammars(TOKENIZER), Prompt([1], b"", "", [2])
    request = InfillRequest(document="a", prefix="{", suffix="}", language="json", schema=SCHEMA)
    holding = grammars.hold(request, prompt)
    for _ in range(3):  # tokens, gate, automaton
        next(holding)
    holding.close()
    again, known = (sum(1 for _ in grammars.hold(request, prompt)) for _ in range(2))
    assert again == known


def test_two_fills_by_one_schema_may_be_made_out_in_turn() -> None:
    grammars = Grammars(TOKENIZER)
    alone = [held(prefix) for prefix in ("{", '{"b": ')]
    requests = [InfillRequest(document="a", prefix=prefix, suffix="}", schema=SCHEMA) for prefix in ("{", '{"b": ')]
    holding = [grammars.hold(request, Prompt([1], b"", "", [2])) for request in requests]
    for _ in range(3):
        for each in holding:
            next(each)
    for expected, each in zip(alone, holding, strict=True):
        found = finished(each)
        assert found is not None
        assert found.completions(TOKENIZER, 24) == expected.completions(TOKENIZER, 24)


def test_a_schema_that_is_no_json_says_so() -> None:
    with pytest.raises(InputError):
        hold(schema=Schema(text="{"))


def test_a_long_suffix_leaves_fewer_states_to_ask_about() -> None:
    short, long = held(), held('{"a": 1, "b": null, "c": [', "1, " * 20_000 + "1]}")
    assert 0 < long.tokens.looks < short.tokens.looks
    assert long.tokens.openings <= short.tokens.openings
