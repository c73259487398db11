"""`midfill.engine.prompt`: what the model is shown, and that typing leaves most of it as it was."""

import inspect
import tokenize
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.vocabularies import GEMMA_MARKS, byte_level, gemma_like
from tokenizers import AddedToken

from midfill.engine.chat import ChatTemplate
from midfill.engine.common_prefix import common_prefix
from midfill.engine.installed import embedded_model
from midfill.engine.prompt import (
    LONGEST_REST,
    NANO_LANGUAGES,
    BareTemplate,
    NanoTemplate,
    Prompt,
    PromptBuilder,
    PromptLimits,
    template_for,
)
from midfill.engine.tokenizer import Tokenizer, heal
from midfill.engine.wire import Snippet

LIMITS = PromptLimits(prefix_tokens=384, suffix_tokens=96, quantum_tokens=64)
END_OF_FILE = 1
MOST_MARKS = 80
"""Tokens that a template adds around the windows, at most."""

ROOT = Path(__file__).parents[2]
SOURCE = inspect.getsource(tokenize)
# Less a letter that the Gemma-like vocabulary cannot tell from a space.
UNICODE = (ROOT / "fixtures" / "documents" / "unicode.md").read_bytes().decode().replace("▁", " ")
TEXTS = {
    "code": SOURCE,
    "unicode": UNICODE * 10,
    "one long line": SOURCE.replace("\n", " ") * 5,
    "three tokens a character": "日本語の文章。漢字とかなが混ざる。\n" * 1200,
    "three tokens a character, one line": "日本語の文章。漢字とかなが混ざる。" * 1200,
    "spaces": " " * 100_000,
    "newlines": "\n" * 20_000,
}


@pytest.fixture(scope="module")
def nano() -> Tokenizer:
    return Tokenizer(embedded_model() / "tokenizer.json")


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path = tmp_path_factory.mktemp("gemma") / "tokenizer.json"
    gemma_like().save(str(path))
    return Tokenizer(path)


@pytest.fixture
def unmarked(tmp_path: Path) -> Tokenizer:
    """A tokenizer without any special token."""
    byte_level([]).save(str(tmp_path / "tokenizer.json"))
    return Tokenizer(tmp_path / "tokenizer.json")


@pytest.fixture(params=["nano", "gemma"])
def builder(request: pytest.FixtureRequest, nano: Tokenizer, gemma: Tokenizer) -> PromptBuilder:
    return builder_of(nano if request.param == "nano" else gemma)


def builder_of(tokenizer: Tokenizer) -> PromptBuilder:
    return PromptBuilder(tokenizer, template_for(tokenizer), LIMITS, END_OF_FILE)


def window(builder: PromptBuilder, prompt: Prompt) -> list[int]:
    """The prefix window, less the partial token: the prompt's tokens after all marks, and in a chat after a fence."""
    marks = set(builder.tokenizer.special_ids.values())
    found = prompt.tokens[1 + max(index for index, id in enumerate(prompt.tokens) if id in marks) :]
    return found[1 + found.index(*builder.tokenizer.encode("\n")) :] if prompt.fence else found


def shown_prefix(builder: PromptBuilder, prompt: Prompt) -> bytes:
    return builder.tokenizer.decode_bytes(window(builder, prompt)) + prompt.partial


# Elsewhere


def test_what_is_in_no_window_is_elsewhere(nano: Tokenizer) -> None:
    limits = msgspec.structs.replace(LIMITS, elsewhere_tokens=25_000)
    builder = PromptBuilder(nano, NanoTemplate(), limits, END_OF_FILE)
    cursor = 9_000
    suffix = SOURCE[cursor + 60 :]
    prompt = builder.build(SOURCE[:cursor], suffix, "python", SNIPPETS)
    *snippets, after, before = [nano.decode_bytes(piece) for piece in prompt.elsewhere]
    assert before + shown_prefix(builder, prompt) == SOURCE[:cursor].encode()
    quoted = prompt.tokens[prompt.tokens.index(nano.special_ids["<|suffix|>"]) + 1 :][: LIMITS.suffix_tokens]
    assert nano.decode_bytes(quoted) + after == suffix[suffix.index("\n") :].encode()
    assert snippets == [snippet.text.encode() for snippet in SNIPPETS]


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_no_more_than_wanted_is_elsewhere(nano: Tokenizer, text: str) -> None:
    limits = msgspec.structs.replace(LIMITS, elsewhere_tokens=1_000)
    builder = PromptBuilder(nano, NanoTemplate(), limits, END_OF_FILE)
    snippets = [Snippet(path="a.py", text=text)] * 3
    *others, after, before = builder.build(text * 3, text * 3, "python", snippets).elsewhere
    assert len(before) <= 1_000
    assert len(after) <= 1_000
    assert sum(map(len, others)) <= 1_000


def test_of_what_is_elsewhere_the_nearest_is_taken(nano: Tokenizer) -> None:
    limits = msgspec.structs.replace(LIMITS, elsewhere_tokens=1_000)
    builder = PromptBuilder(nano, NanoTemplate(), limits, END_OF_FILE)
    snippets = [Snippet(path="a.py", text=text) for text in ("far = 1\n" * 600, "near = 2\n" * 100)]
    prompt = builder.build(SOURCE, SOURCE, "python", snippets)
    far, near, after, before = [nano.decode_bytes(piece) for piece in prompt.elsewhere]
    assert near == snippets[1].text.encode()
    assert 0 < len(far) < len(snippets[0].text)
    assert len(prompt.elsewhere[2]) == 1_000
    assert 500 < len(prompt.elsewhere[3]) <= 1_000
    assert SOURCE.encode().endswith(before + shown_prefix(builder, prompt))
    quoted = prompt.tokens[prompt.tokens.index(nano.special_ids["<|suffix|>"]) + 1 :][: LIMITS.suffix_tokens]
    assert nano.decode_bytes(quoted) + after in SOURCE.encode()


def test_long_lines_are_no_new_work_with_each_key(nano: Tokenizer) -> None:
    limits = msgspec.structs.replace(LIMITS, elsewhere_tokens=25_000)
    builder = PromptBuilder(nano, NanoTemplate(), limits, END_OF_FILE)
    _, before = builder.build(SOURCE[:6_000] + "\n" + "x" * 5_000 + "\n" + SOURCE, "", "python").elsewhere
    assert "xxx" not in nano.decode(before)
    assert SOURCE[:6_000] in nano.decode(before)


def test_nothing_is_elsewhere_in_a_short_file_or_where_it_is_not_asked_for(nano: Tokenizer) -> None:
    limits = msgspec.structs.replace(LIMITS, elsewhere_tokens=25_000)
    builder = PromptBuilder(nano, NanoTemplate(), limits, END_OF_FILE)
    assert not any(builder.build("a = 1\nb", "\nc\n", None).elsewhere)
    assert builder_of(nano).build(SOURCE, SOURCE, "python", SNIPPETS).elsewhere == []


# Typing


@pytest.mark.parametrize("at", [300, 5_000, 12_000])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_typing_keeps_nearly_all_prompt_tokens(builder: PromptBuilder, text: str, at: int) -> None:
    reused = total = 0
    before: list[int] = []
    suffix = text[at + 300 :]
    for cursor in range(at, at + 300):
        tokens = builder.build(text[:cursor], suffix, "python").tokens
        if before:
            reused += common_prefix(before, tokens)
            total += len(tokens)
        before = tokens
    assert reused / total > 0.95


def test_the_window_start_moves_a_quantum_at_a_time(builder: PromptBuilder) -> None:
    starts: list[tuple[int, ...]] = []
    for cursor in range(6_000, 8_000):
        tokens = window(builder, builder.build(SOURCE[:cursor], "", "python"))
        starts += [head] if (head := tuple(tokens[:12])) not in starts else []
    typed = builder.tokenizer.encode(SOURCE[6_000:8_000])
    assert len(starts) <= 2 + len(typed) / LIMITS.quantum_tokens + 2_000 / (LIMITS.prefix_chars // 2)


def test_the_window_starts_at_a_line_where_lines_are_short(builder: PromptBuilder) -> None:
    for cursor in range(6_000, 6_400, 7):
        shown = shown_prefix(builder, builder.build(SOURCE[:cursor], "", "python")).decode()
        assert SOURCE[:cursor].endswith("\n" + shown)


# Windows


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_windows_are_full_and_no_larger_than_their_limits(builder: PromptBuilder, text: str) -> None:
    text = (text * (1 + 100_000 // len(text)))[:100_000]
    for cursor in (50_000, 50_001, 50_777, 99_999):
        prompt = builder.build(text[:cursor], text[cursor:], "python")
        prefix = window(builder, prompt)
        assert len(prefix) <= LIMITS.prefix_tokens
        assert len(prompt.suffix) <= LIMITS.suffix_tokens
        shown = shown_prefix(builder, prompt)
        assert text[:cursor].encode().endswith(shown)
        fewest = LIMITS.prefix_tokens - 2 * LIMITS.quantum_tokens - 4
        assert len(prefix) >= fewest or len(shown) >= LIMITS.prefix_chars // 2 - 1


def test_a_long_line_above_the_cursors_does_not_empty_the_window(builder: PromptBuilder) -> None:
    prompt = builder.build("word " * 20_000 + "\nnext", "", "markdown")
    assert len(window(builder, prompt)) > LIMITS.prefix_tokens // 2


@given(prefix=st.sampled_from([SOURCE, UNICODE]), suffix=st.sampled_from([SOURCE, UNICODE]), data=st.data())
def test_the_prompt_shows_the_text_next_to_the_cursor(
    nano: Tokenizer, prefix: str, suffix: str, data: st.DataObject
) -> None:
    builder = builder_of(nano)
    prefix = prefix[: data.draw(st.integers(0, len(prefix)))]
    suffix = suffix[data.draw(st.integers(0, len(suffix))) :]
    prompt = builder.build(prefix, suffix, "python")
    assert prefix.encode().endswith(shown_prefix(builder, prompt))
    assert (prompt.closing + suffix).encode().startswith(nano.decode_bytes(prompt.suffix))
    assert len(prompt.tokens) <= LIMITS.prefix_tokens + LIMITS.suffix_tokens + MOST_MARKS


@given(length=st.integers(0, 400))
def test_a_file_that_ends_in_the_suffix_window_is_marked(nano: Tokenizer, length: int) -> None:
    suffix = SOURCE[2_000 : 2_000 + length]
    prompt = builder_of(nano).build("", suffix, "python")
    ends_within = len(nano.encode(suffix)) < LIMITS.suffix_tokens
    assert (END_OF_FILE in prompt.suffix) == (prompt.suffix[-1] == END_OF_FILE) == ends_within
    assert not ends_within or nano.decode(prompt.suffix) == suffix


def test_a_long_suffix_of_few_tokens_is_not_taken_for_the_whole_file(nano: Tokenizer) -> None:
    prompt = builder_of(nano).build("", " " * 10_000, "python")
    assert END_OF_FILE not in prompt.suffix


@pytest.mark.parametrize(("prefix", "suffix"), [("", ""), ("x = 1\n", ""), ("", "x = 1\n"), ("re", "")])
def test_an_empty_side_is_no_obstacle(builder: PromptBuilder, prefix: str, suffix: str) -> None:
    prompt = builder.build(prefix, suffix, None)
    assert prompt.tokens
    assert shown_prefix(builder, builder.build(prefix, suffix, "python")) == prefix.encode()
    encoded = [*builder.tokenizer.encode(prompt.closing), *builder.tokenizer.encode(suffix)]
    assert prompt.suffix[: len(encoded)] == encoded
    assert builder.tokenizer.decode(prompt.suffix[len(encoded) :]).strip() == prompt.fence
    assert prompt.suffix[-1] == END_OF_FILE


@given(cursor=st.integers(0, 3_000))
def test_the_prompt_ends_before_the_partial_token(nano: Tokenizer, cursor: int) -> None:
    prefix = SOURCE[:cursor]
    prompt = builder_of(nano).build(prefix, "", "python")
    kept, partial = heal(nano, nano.encode(prefix))
    assert prompt.partial == partial
    assert prompt.tokens[-1:] == kept[-1:] or not kept
    assert nano.decode_bytes(prompt.tokens).endswith(nano.decode_bytes(kept[-20:]))


# Templates


@pytest.mark.parametrize(
    ("language", "mark"),
    [*NANO_LANGUAGES.items(), (None, "<|text|>"), ("", "<|text|>"), ("cobol", "<|text|>"), ("<|python|>", "<|text|>")],
)
def test_the_embedded_model_sees_its_own_marks(nano: Tokenizer, language: str | None, mark: str) -> None:
    prompt = builder_of(nano).build("x = 1\n", "\ny = 2\n", language)
    ids = nano.special_ids
    after = [*nano.encode("\ny = 2\n"), END_OF_FILE]
    before = nano.encode("x = 1\n")
    assert prompt.tokens == [ids["<bos>"], ids[mark], ids["<|suffix|>"], *after, ids["<|prefix|>"], *before]


@pytest.mark.parametrize("typed", [*GEMMA_MARKS, "<|turn>user\n<turn|>", "<turn|><eos>"])
def test_marks_in_the_users_text_end_no_turn(gemma: Tokenizer, typed: str) -> None:
    builder = builder_of(gemma)
    marks = set(gemma.special_ids.values())
    plain = [id for id in builder.build("a = 1\n", "b = 2\n", "python").tokens if id in marks]
    prompt = builder.build(f"a = {typed}\n", f"b = {typed}\n", f"python{typed}")
    assert [id for id in prompt.tokens if id in marks] == plain
    assert [id for id in prompt.suffix if id in marks] == [END_OF_FILE]


def test_a_file_in_a_chat_ends_with_the_models_turn(gemma: Tokenizer, nano: Tokenizer) -> None:
    assert template_for(gemma).end_of_file(gemma) == gemma.special_ids["<turn|>"]
    assert template_for(nano).end_of_file(nano) is None


def test_a_checkpoint_without_known_marks_gets_the_prefix_alone(gemma: Tokenizer) -> None:
    builder = PromptBuilder(gemma, BareTemplate(), LIMITS, END_OF_FILE)
    tokens = builder.build("a = 1;", "b", None).tokens
    assert tokens == [gemma.special_ids["<bos>"], *gemma.encode("a = 1;")]


@pytest.mark.parametrize("prefix", ["", "x"])
def test_a_vocabulary_without_any_mark_still_gives_a_token_to_start_from(unmarked: Tokenizer, prefix: str) -> None:
    assert isinstance(template_for(unmarked), BareTemplate)
    assert builder_of(unmarked).build(prefix, "", None).tokens


def test_the_template_follows_the_marks(nano: Tokenizer, gemma: Tokenizer) -> None:
    assert isinstance(template_for(nano), NanoTemplate)
    assert isinstance(template_for(gemma), ChatTemplate)


def test_half_of_a_templates_marks_is_not_enough(tmp_path: Path) -> None:
    inner = byte_level([])
    inner.add_special_tokens([AddedToken(mark, special=True) for mark in ("<bos>", "<|suffix|>", "<|turn>")])
    inner.save(str(tmp_path / "tokenizer.json"))
    assert isinstance(template_for(Tokenizer(tmp_path / "tokenizer.json")), BareTemplate)


@pytest.mark.parametrize(
    ("prefix", "suffix", "closing"),
    [
        ("a = 1\n", "    b = 2\n", "\n"),
        ("a = 1\r\n", "\tb = 2\r\n", "\r\n"),
        ("a = 1\n", "b = 2\n", ""),  # may be the rest of a line whose start is replaced
        ("a = 1\n", "\nb = 2\n", ""),  # an empty line: the cursor's own
        ("a = 1\n", "", "\n"),  # a file that ended with a line break goes on ending with one
        ("a = ", "b\n", ""),
        ("", "b\n", ""),
    ],
)
def test_a_gap_of_whole_lines_is_closed_by_a_line_break(
    builder: PromptBuilder, prefix: str, suffix: str, closing: str
) -> None:
    prompt = builder.build(prefix, suffix, "python")
    assert prompt.closing == closing
    file_end = closing + suffix
    lines = (file_end + prompt.fence, f"{file_end}\n{prompt.fence}") if prompt.fence else (file_end,)
    assert builder.tokenizer.decode(prompt.suffix) in lines


def test_the_closing_leaves_the_prompt_as_it_is(builder: PromptBuilder) -> None:
    at_line_start = builder.build("a = 1\n", "  b = 2\n", "python")
    after_a_letter = builder.build("a = 1\nx", "  b = 2\n", "python")
    assert at_line_start.closing != after_a_letter.closing
    assert after_a_letter.tokens[: len(at_line_start.tokens)] == at_line_start.tokens


@pytest.mark.parametrize("below", ["\nb = 2\n", "\r\nb = 2\r\n", "\rb = 2\r", ""])
def test_the_prompt_stays_while_a_line_is_typed_and_its_brackets_are_closed(builder: PromptBuilder, below: str) -> None:
    before = builder.build("a = 1\n", below, "python").tokens
    for typed, rest in [
        ("f(", ")"),
        ("f(x, [", "])"),
        ("f(x, [1], ", ")"),
        ("f(x, [1], 'y", "')"),
        ("f", "(x, [])  # z"),
    ]:
        tokens = builder.build("a = 1\n" + typed, rest + below, "python").tokens
        assert tokens[: len(before)] == before


@pytest.mark.parametrize(("rest", "is_quoted"), [("x" * (LONGEST_REST - 1), False), ("x" * LONGEST_REST, True)])
def test_the_rest_of_a_line_is_pinned_and_quoted_only_if_it_is_long(
    nano: Tokenizer, rest: str, is_quoted: bool
) -> None:
    builder = PromptBuilder(nano, NanoTemplate(), msgspec.structs.replace(LIMITS, suffix_tokens=400), END_OF_FILE)
    prompt = builder.build("a = ", rest + "\nb = 2\n", "python")
    assert nano.decode(prompt.suffix) == rest + "\nb = 2\n"
    assert (rest in nano.decode(prompt.tokens)) == is_quoted
    assert "\nb = 2\n" in nano.decode(prompt.tokens)


SNIPPETS = [Snippet(path=f"src/{name}.py", text=f"{name} = 1\n") for name in ("far", "near")]


def test_other_files_stand_before_the_suffix_where_typing_does_not_move_them(gemma: Tokenizer) -> None:
    limits = msgspec.structs.replace(LIMITS, snippet_tokens=200)
    builder = PromptBuilder(gemma, ChatTemplate(), limits, END_OF_FILE)
    first, second = (builder.build(prefix, "\nb = 2\n", "python", SNIPPETS) for prefix in ("a", "a = 1;"))
    text = gemma.decode(second.tokens)
    assert text.index("far = 1") < text.index("near = 1") < text.index("b = 2") < text.index("a = 1;")
    assert common_prefix(first.tokens, second.tokens) >= len(first.tokens) - 1


def test_of_other_files_the_most_helpful_stay_when_not_all_fit(gemma: Tokenizer) -> None:
    one = len(gemma.encode(f"From {SNIPPETS[1].path}:\n\n{SNIPPETS[1].text.strip()}\n\n"))
    limits = msgspec.structs.replace(LIMITS, snippet_tokens=one)
    text = gemma.decode(
        PromptBuilder(gemma, ChatTemplate(), limits, END_OF_FILE).build("a", "b", None, SNIPPETS).tokens
    )
    assert "near = 1" in text
    assert "far" not in text


def test_another_file_that_is_too_large_keeps_none_from_the_prompt(gemma: Tokenizer) -> None:
    limits = msgspec.structs.replace(LIMITS, snippet_tokens=60)
    snippets = [*SNIPPETS, Snippet(path="src/large.py", text="large = 1\n" * 40)]
    built = PromptBuilder(gemma, ChatTemplate(), limits, END_OF_FILE).build("a", "b", None, snippets)
    text = gemma.decode(built.tokens)
    assert "near = 1" in text
    assert "large" not in text


def test_a_model_that_was_not_trained_with_other_files_is_shown_none(nano: Tokenizer) -> None:
    builder = builder_of(nano)
    assert builder.build("a", "b", "python", SNIPPETS) == builder.build("a", "b", "python")


def test_what_stands_elsewhere_in_a_long_file_is_the_same_with_nearly_each_key(nano: Tokenizer) -> None:
    def builder_of(elsewhere_tokens: int) -> PromptBuilder:
        limits = msgspec.structs.replace(LIMITS, elsewhere_tokens=elsewhere_tokens)
        return PromptBuilder(nano, NanoTemplate(), limits, END_OF_FILE)

    builder, typed = builder_of(1_000), "total = value_1 + value_2 + value_3"
    lines = "".join(f"value_{number} = {number}\n" for number in range(600))
    pieces = [builder.build(lines + typed[:end], "\n", "python").elsewhere for end in range(len(typed))]
    assert sum(one != two for one, two in pairwise(pieces)) <= 1
    for few in (1, 2):
        assert all(len(piece) <= few for piece in builder_of(few).build(lines, "\n", "python").elsewhere)
