"""`midfill.engine.fill_end`: the tokens of a fill end where its text does."""

import pytest
from tests.engine.small_model import small_model

from midfill.engine.candidates import Vocabulary
from midfill.engine.fill_end import End, EndOfText, FillEnd
from midfill.engine.installed import embedded_model
from midfill.engine.prompt import NanoTemplate, PromptBuilder, PromptLimits
from midfill.engine.tokenizer import Tokenizer

TOKENIZER = Tokenizer(embedded_model() / "tokenizer.json")
VOCABULARY = Vocabulary(TOKENIZER, small_model(vocab_size=8192))
PROMPTS = PromptBuilder(TOKENIZER, NanoTemplate(), PromptLimits(48, 24, 16), VOCABULARY.end_of_file)


def fill_end(end_of_text: EndOfText, prefix: str = "total = ", suffix: str = "\n") -> FillEnd:
    return FillEnd(PROMPTS.build(prefix, suffix, "python"), VOCABULARY, end_of_text)


def of_length(length: int) -> EndOfText:
    """Ends a text after `length` characters, once it has them."""
    return lambda text: length if len(text) >= length else None


def test_a_fill_that_may_go_on_is_left_whole():
    tokens = TOKENIZER.encode("first + second")
    assert fill_end(lambda text: None).find(tokens) is None
    assert fill_end(lambda text: None).cut(tokens) == tokens


def test_nothing_has_no_end_of_its_own():
    assert fill_end(lambda text: None).cut([]) == []


@pytest.mark.parametrize("length", range(len("first + second))") + 1))
def test_the_text_of_what_is_left_is_the_start_of_the_fill(length: int):
    text = "first + second))"
    end = fill_end(of_length(length))
    partial = end.prompt.partial.decode()
    left = VOCABULARY.text(end.cut(TOKENIZER.encode(partial + text)), end.prompt)
    assert left == text[:length]


def test_a_token_that_goes_on_into_the_suffix_is_spelled_anew():
    end = fill_end(of_length(2), "f(")
    tokens = TOKENIZER.encode(end.prompt.partial.decode() + "x))")
    assert TOKENIZER.decode(tokens[-1:]) == "))"
    assert end.find(tokens) == End(len(tokens) - 1, TOKENIZER.encode(")"))


def test_a_text_ends_with_a_token_that_ends_all_text():
    tokens = [*TOKENIZER.encode("x"), VOCABULARY.end_of_file]
    assert fill_end(lambda text: None).cut(tokens) == tokens[:-1]
