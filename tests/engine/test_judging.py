"""`midfill.engine.judging`: which of the fills that were found is the best."""

import pytest
from tests.engine.small_model import small_model

from midfill.engine.candidates import Candidate, Vocabulary
from midfill.engine.gate import MOST_NATS
from midfill.engine.installed import embedded_model
from midfill.engine.judging import MOST_JUDGED, Judge, Judged
from midfill.engine.prompt import NanoTemplate, PromptBuilder, PromptLimits
from midfill.engine.syntax import SyntaxCheck
from midfill.engine.tokenizer import Tokenizer
from midfill.engine.wire import InfillRequest

TOKENIZER = Tokenizer(embedded_model() / "tokenizer.json")
VOCABULARY = Vocabulary(TOKENIZER, small_model(vocab_size=8192))
PROMPTS = PromptBuilder(TOKENIZER, NanoTemplate(), PromptLimits(48, 24, 16), VOCABULARY.end_of_file)
REQUEST = InfillRequest(document="a", prefix="total =", suffix="\nprint(total)\n", language="python")
HEAD = [-0.5, -0.25]
BARE = Candidate([], [], [-3.0, -1.0])


def candidate(text: str, total: float, head: list[float] = HEAD) -> Candidate:
    """A fill whose tokens' log-probabilities sum to `total`."""
    prompt = PROMPTS.build(REQUEST.prefix, REQUEST.suffix, REQUEST.language)
    tokens = TOKENIZER.encode(prompt.partial.decode() + text)
    return Candidate(tokens, [total / len(tokens)] * len(tokens), head)


def judged(*found: Candidate, penalty: float = 1.0) -> list[Judged]:
    prompt = PROMPTS.build(REQUEST.prefix, REQUEST.suffix, REQUEST.language)
    return Judge(VOCABULARY, SyntaxCheck(), penalty, repeat_penalty=3.0).order(
        [BARE, *found], prompt, REQUEST, passes=7
    )


def test_the_likeliest_fill_comes_first():
    found = judged(candidate(" 1", -3.0), candidate(" x + 1", -2.0), candidate(" f(x)", -4.0))
    assert [each.text for each in found] == [" x + 1", " 1", " f(x)"]


def test_an_error_of_syntax_costs_what_the_penalty_says():
    broken, whole = candidate(" f(x", -2.0), candidate(" f(x)", -2.5)
    assert [each.text for each in judged(broken, whole, penalty=0.0)] == [" f(x", " f(x)"]
    assert [each.text for each in judged(broken, whole, penalty=5.0)] == [" f(x)", " f(x"]
    whole_one, broken_one = judged(broken, whole, penalty=5.0)
    assert whole_one.features.errors == 0 < broken_one.features.errors


def test_a_line_that_repeats_the_one_before_it_costs_what_the_penalty_says():
    found = judged(candidate(" 1\ntotal = 1", -2.0), candidate(" 2", -4.0))
    assert [each.text for each in found] == [" 2", " 1\ntotal = 1"]
    assert [each.features.repeats for each in found] == [0, 1]


def test_fills_that_differ_by_white_space_at_the_end_are_one():
    found = judged(candidate(" 1", -3.0), candidate(" 1  ", -2.0), candidate(" 2", -4.0))
    assert [each.text for each in found] == [" 1  ", " 2"]


def test_the_empty_fill_is_the_best_only_where_there_is_no_other():
    assert [each.text for each in judged(candidate(" 1", -50.0))] == [" 1"]
    assert [each.text for each in judged()] == [""]
    assert [each.text for each in judged(candidate("  ", -1.0))] == [""]


def test_features_compare_a_fill_with_nothing_and_with_the_best_of_the_others():
    first, second = judged(candidate(" 1", -1.0), candidate(" 2", -3.0))
    assert first.features.gain == pytest.approx(sum(HEAD) - sum(BARE.head))
    assert first.features.margin == pytest.approx(2.0)
    assert second.features.margin == pytest.approx(-2.0)
    assert first.features.passes == 7
    assert judged(candidate(" 1", -1.0))[0].features.margin == MOST_NATS


def test_of_many_fills_the_likeliest_are_looked_at():
    found = judged(*(candidate(f" {number}", -number) for number in range(1, 30)))
    assert [each.text for each in found] == [f" {number}" for number in range(1, MOST_JUDGED + 1)]
