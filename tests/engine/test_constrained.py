"""`midfill.engine.constrained`: fills of JSON documents, with the embedded model's vocabulary and small random weights.

Whatever the weights say, what is shown of a document with a schema parses and validates, by a validator not our own.
"""

import itertools
import json
import random
from typing import Any

import jsonschema
import msgspec
import pytest
import torch
from tests.engine.schema.letters import Letters
from tests.engine.small_model import small_model
from tests.engine.test_infill import SETTINGS, TOKENIZER, finish, without_times

from midfill.engine.constrained import Posterior
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.errors import InputError
from midfill.engine.infill import Infiller
from midfill.engine.schema.spellings import Spellings
from midfill.engine.schema.token_automaton import TokenAutomaton
from midfill.engine.settings import InfillSettings
from midfill.engine.wire import Eagerness, Infill, InfillRequest, Schema

MODEL = small_model(vocab_size=8192, canvas_length=32)
ON_CANVAS_ONLY = msgspec.structs.replace(SETTINGS, search=None)
PACKAGE: dict[str, Any] = {
    "type": "object",
    "required": ["name", "version"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z-]+$"},
        "version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
        "private": {"type": "boolean"},
        "license": {"enum": ["MIT", "Apache-2.0"]},
        "port": {"type": "integer", "minimum": 1, "maximum": 65535},
        "keywords": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "scripts": {"type": "object", "additionalProperties": {"type": "string", "minLength": 1}},
    },
}
DOCUMENT = """{
  "name": "left-side",
  "private": true,
  "keywords": ["a", "b"],
  "port": 8080,
  "scripts": {
    "build": "tsc -p .",
    "größe": "🙂"
  },
  "license": "MIT",
  "version": "1.2.3"
}
"""


def peaked(scale: float) -> DiffusionGemma:
    """Weights that are very sure, of tokens that are mostly illegal."""
    model = small_model(vocab_size=8192, canvas_length=32)
    model.norm.weight.mul_(scale)
    return model


def fill(
    prefix: str,
    suffix: str,
    schema: Any = PACKAGE,
    language: str | None = "json",
    model: DiffusionGemma = MODEL,
    seed: int = 0,
    max_tokens: int = 24,
) -> Infill:
    request = InfillRequest(
        document="a",
        prefix=prefix,
        suffix=suffix,
        language=language,
        schema=None if schema is None else Schema(text=json.dumps(schema)),
        max_tokens=max_tokens,
        seed=seed,
    )
    return Infiller(model, TOKENIZER, SETTINGS).complete(request)


def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def check(prefix: str, answer: Infill, suffix: str, schema: Any = PACKAGE) -> None:
    """That the answer keeps the promise: shown, it parses and validates; not shown, it says nothing."""
    if not answer.shown:
        return
    assert answer.valid
    assert answer.text.strip()
    document = json.loads(prefix + answer.text + suffix, object_pairs_hook=without_repeats)
    jsonschema.Draft7Validator(schema).validate(document)


@pytest.mark.parametrize("model", [MODEL, peaked(8)], ids=["random", "peaked"])
def test_every_shown_fill_parses_and_validates(model: DiffusionGemma) -> None:
    places = random.Random(1)
    shown = 0
    for seed in range(12):
        start = places.randrange(len(DOCUMENT))
        prefix, suffix = DOCUMENT[:start], DOCUMENT[start + places.randrange(20) :]
        answer = fill(prefix, suffix, model=model, seed=seed)
        check(prefix, answer, suffix)
        shown += answer.shown
    assert shown > 6


@pytest.mark.parametrize(
    ("middle", "fills"),
    [
        ("8080", None),
        ('"MIT"', {'"MIT"', '"Apache-2.0"'}),
        ("true", {"true", "false"}),
        ("IT", {"IT"}),
        ('"version": "1.2.3"\n', None),
        (DOCUMENT, None),
    ],
)
def test_a_hole_with_a_completion_is_filled(middle: str, fills: set[str] | None) -> None:
    start = DOCUMENT.index(middle)
    prefix, suffix = DOCUMENT[:start], DOCUMENT[start + len(middle) :]
    answer = fill(prefix, suffix)
    check(prefix, answer, suffix)
    assert answer.shown
    if fills is not None:
        assert answer.text.strip().removesuffix(",") in fills or answer.text.split(",")[0] in fills


def test_required_keys_come_whatever_the_weights_prefer() -> None:
    answer = fill("{", "}")
    assert set(json.loads("{" + answer.text + "}")) >= {"name", "version"}


def test_the_model_writes_too_where_much_can_be_completed_without_it() -> None:
    assert SETTINGS.search is not None
    assert SETTINGS.search.most == 24  # fewer than what the grammar completes here has tokens
    assert fill("{\n  ", "\n}").steps > 1


def test_a_key_after_the_hole_is_not_written_again() -> None:
    for seed in range(4):
        answer = fill('{"name": "a", ', '"version": "1.0.0", "port": 1}', seed=seed)
        check('{"name": "a", ', answer, '"version": "1.0.0", "port": 1}')


def test_a_partial_token_before_the_cursor_is_gone_on_with() -> None:
    answer = fill('{"version": "1.0.0", "na', '": "a"}')
    assert answer.shown
    assert json.loads('{"version": "1.0.0", "na' + answer.text + '": "a"}')["name"]


def test_nothing_is_shown_where_no_fill_is_valid() -> None:
    schema = {"properties": {"a": {"enum": ["xy"]}, "b": False}, "additionalProperties": False}
    answer = fill('{"a": "x', 'z"}', schema=schema)
    assert not answer.shown


def test_a_document_that_is_broken_elsewhere_is_not_called_valid() -> None:
    answer = fill('{"name": "a", "port": ', ', "version": }')
    assert answer.valid is None
    assert not answer.shown  # random weights are not sure


def test_a_format_is_kept_to_where_some_fill_does() -> None:
    schema = {"properties": {"when": {"enum": ["today", "2024-02-03", "now"], "format": "date"}}}
    answer = fill('{"when": ', "}", schema=schema)
    assert json.loads('{"when": ' + answer.text + "}")["when"] == "2024-02-03"
    assert fill('{"when": "t', '"}', schema=schema).text == "oday"


def test_the_next_step_is_told_of_allowed_tokens_only_however_sure_the_model_is_of_others() -> None:
    a_or_b_then_c = Letters({1: {97: 2, 98: 2}, 2: {99: 3}}, frozenset({3}))
    words = (b"", b"a", b"b", b"c")
    posterior = Posterior(TokenAutomaton(a_or_b_then_c, Spellings(words)))
    said = torch.tensor([[50.0, 1.0, 0.0, 40.0], [60.0, 9.0, 8.0, 0.0]]).log_softmax(-1)
    known = posterior(0, said)
    assert known is not None
    assert known[0].exp().tolist() == pytest.approx([0, 0.731, 0.269, 0], abs=1e-3)
    assert known[1].exp().tolist() == pytest.approx([0, 0, 0, 1])
    assert posterior.fills[0][0] == [1, 3]


def test_where_nothing_is_allowed_the_next_step_is_told_what_the_model_says() -> None:
    posterior = Posterior(TokenAutomaton(Letters({1: {97: 1}}, frozenset()), Spellings((b"", b"a"))))
    assert posterior(0, torch.zeros(3, 2).log_softmax(-1)) is None
    assert posterior.fills == {0: []}


def test_comments_and_trailing_commas_stand_where_the_language_has_them() -> None:
    prefix, suffix = '{\n  // of the package\n  "name": "a",\n  "version": ', ",\n}"
    answer = fill(prefix, suffix, language="jsonc")
    assert answer.shown
    assert answer.valid
    assert not fill(prefix, suffix, language="json").valid


def test_without_a_schema_a_fill_is_json_and_shown_only_if_likely() -> None:
    answer = fill('{"a": ', "}", schema=None)
    json.loads('{"a": ' + answer.text + "}")
    assert answer.valid
    assert not answer.shown
    sure = msgspec.structs.replace(SETTINGS, min_confidence=0.0)
    request = InfillRequest(document="a", prefix='{"a": ', suffix="}", language="json", max_tokens=8)
    assert Infiller(MODEL, TOKENIZER, sure).complete(request).shown


def test_without_a_schema_an_eager_request_is_shown_what_is_less_likely() -> None:
    random = msgspec.structs.replace(SETTINGS, min_confidence=0.003)  # a token of this model's has about 0.0001
    engine = Infiller(MODEL, TOKENIZER, random)
    request = InfillRequest(document="a", prefix='{"a": ', suffix="}", language="json", max_tokens=8)
    levels: tuple[Eagerness, ...] = ("low", "balanced", "high")
    answers = [engine.complete(msgspec.structs.replace(request, eagerness=each)) for each in levels]
    assert [answer.shown for answer in answers] == [False, False, True]


def test_other_languages_are_not_checked() -> None:
    assert fill("a: ", "\n", language="yaml").valid is None
    assert fill("x = ", "\n", schema=None, language="python").valid is None


@pytest.mark.parametrize("schema", [{"type": 3}, {"pattern": "("}, 7])
def test_a_schema_that_cannot_be_used_is_an_error_that_says_so(schema: Any) -> None:
    with pytest.raises(InputError):
        fill("{", "}", schema=schema)


def test_a_seed_reproduces_a_fill_and_a_grammar_that_was_used_changes_nothing() -> None:
    engine = Infiller(MODEL, TOKENIZER, SETTINGS)
    request = InfillRequest(
        document="a", prefix="{\n  ", suffix="\n}", language="json", schema=Schema(text=json.dumps(PACKAGE))
    )
    first = engine.complete(request)
    assert without_times(engine.complete(request)) == without_times(first)


WAYS = pytest.mark.parametrize("settings", [SETTINGS, ON_CANVAS_ONLY], ids=["search", "canvas"])


@WAYS
def test_at_most_one_forward_pass_a_next_and_no_text_before_the_answer(
    monkeypatch: pytest.MonkeyPatch, settings: InfillSettings
) -> None:
    passes: list[str] = []
    for mode in ("encode", "denoise"):
        run = getattr(MODEL, mode)
        monkeypatch.setattr(MODEL, mode, lambda *inputs, mode=mode, run=run: (passes.append(mode), run(*inputs))[1])
    request = InfillRequest(
        document="a", prefix="{\n  ", suffix="\n}", language="json", schema=Schema(text=json.dumps(PACKAGE))
    )
    filling, after_each = Infiller(MODEL, TOKENIZER, settings).fill(request), [0]
    for text in filling:
        assert text == ""
        after_each.append(len(passes))
    assert all(after - before <= 1 for before, after in itertools.pairwise(after_each))
    assert len(passes) - after_each[-1] <= 1
    assert len(passes) > 2


@WAYS
def test_closing_a_fill_between_any_two_passes_frees_it(settings: InfillSettings) -> None:
    request = InfillRequest(
        document="a", prefix="{\n  ", suffix="\n}", language="json", schema=Schema(text=json.dumps(PACKAGE))
    )
    engine = Infiller(MODEL, TOKENIZER, settings)
    engine.complete(request)  # the grammar is made once
    passes = len(finish(engine.fill(request))[0])
    assert passes > 5
    for done in range(1, passes, 2):
        filling = engine.fill(request)
        for _ in range(done):
            next(filling)
        filling.close()
        engine.cache.forget("a")
        assert engine.cache.num_bytes == 0


def test_it_needs_no_search_beside() -> None:
    engine = Infiller(MODEL, TOKENIZER, ON_CANVAS_ONLY)
    request = InfillRequest(
        document="a", prefix="{", suffix="}", language="json", schema=Schema(text=json.dumps(PACKAGE))
    )
    with torch.inference_mode():
        check("{", engine.complete(request), "}")
