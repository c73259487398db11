"""`midfill.engine.chat`: exact prompts of instruction-tuned checkpoints, and where their fills end."""

import json
from pathlib import Path

import pytest
import tokenizers
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.tiny import build_checkpoint
from tests.engine.vocabularies import GOOGLE_IDS, google_like

from midfill.engine.canvas import Canvas, Layout
from midfill.engine.chat import FENCE_NAMES, ChatTemplate, before_fence
from midfill.engine.continuation import _in_file
from midfill.engine.fill_end import End, FillEnd
from midfill.engine.infill import Infiller
from midfill.engine.loading import open_infiller
from midfill.engine.prompt import LONGEST_REST, PromptBuilder, PromptLimits, template_for
from midfill.engine.seam import seam
from midfill.engine.tokenizer import Tokenizer, heal
from midfill.engine.wire import InfillRequest, Mode, Snippet

LIMITS = PromptLimits(prefix_tokens=192, suffix_tokens=96, quantum_tokens=32, snippet_tokens=96)
TURN, TURN_END = GOOGLE_IDS["<|turn>"], GOOGLE_IDS["<turn|>"]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("google") / "tokenizer.json"
    google_like().save(str(path))
    return path


@pytest.fixture(scope="module")
def tokenizer(file: Path) -> Tokenizer:
    return Tokenizer(file)


@pytest.fixture(scope="module")
def builder(tokenizer: Tokenizer) -> PromptBuilder:
    return PromptBuilder(tokenizer, template_for(tokenizer), LIMITS, TURN_END)


def rendered(user: str) -> str:
    """What the official template makes of a user's message, with thinking off, before the model's answer."""
    return f"<bos><|turn>user\n{user.strip()}<turn|>\n<|turn>model\n<|channel>thought\n<channel|>"


def official(file: Path, text: str) -> list[int]:
    """Token ids of a rendered conversation, tokenized as a whole as transformers does."""
    return tokenizers.Tokenizer.from_file(str(file)).encode(text, add_special_tokens=False).ids


HOW = "Reply with that part in one code block, and with nothing else."


def asked(name: str, quoted: str, fence: str = "```") -> str:
    kind = f"{name or 'text'} file"
    return f"Write the part of a {kind} that ends with these lines:\n\n{fence}{name}\n{quoted}{fence}\n\n{HOW}"


@pytest.mark.parametrize(
    ("language", "prefix", "suffix", "wanted"),
    [
        ("python", "a = 1;", "\nb = 2\n", rendered(asked("python", "b = 2\n")) + "```python\na = 1;"),
        ("python", "a = 1;", ")\n\n    b = 2", rendered(asked("python", "\n    b = 2\n")) + "```python\na = 1;"),
        ("python", "a = 1;", "", rendered(f"Write the last part of a python file.\n\n{HOW}") + "```python\na = 1;"),
        ("python", "", "\n \n", rendered(f"Write the last part of a python file.\n\n{HOW}") + "```python\n"),
        ("typescriptreact", "a;", "\nb\n", rendered(asked("tsx", "b\n")) + "```tsx\na;"),
        (
            "markdown",
            "a;",
            "\n```\nb\n```\n",
            rendered(asked("markdown", "```\nb\n```\n", "````")) + "````markdown\na;",
        ),
        (None, "a;", "\nb\n", rendered(asked("", "b\n")) + "```\na;"),
        ("<|turn>\n", "a;", "\nb\n", rendered(asked("", "b\n")) + "```\na;"),
        ("c", "a;", "\r\nb\r\n", rendered(asked("c", "b\r\n").replace("```c\n", "```c\r\n")) + "```c\na;"),
    ],
)
def test_the_prompt_is_the_official_conversation_token_by_token(
    builder: PromptBuilder, file: Path, language: str | None, prefix: str, suffix: str, wanted: str
) -> None:
    prompt = builder.build(prefix, suffix, language)
    assert prompt.partial == b""
    assert prompt.tokens == official(file, wanted)


def test_the_marks_have_the_ids_of_googles_checkpoints(builder: PromptBuilder, tokenizer: Tokenizer) -> None:
    tokens = builder.build("a = 1;", "\nb = 2\n", "python").tokens
    user, model, thought, fence = map(tokenizer.encode, ("user", "model", "thought", "```python"))
    assert tokens[: 3 + len(user)] == [2, 105, *user, 107]
    answer = [106, 107, 105, *model, 107, 100, *thought, 107, 101, *fence, 107, *tokenizer.encode("a = 1;")]
    assert tokens[-len(answer) :] == answer


@pytest.mark.parametrize(
    ("prefix", "suffix", "behind"),
    [
        ("a = ", "\nb = 2\n", "\nb = 2\n```"),
        ("a = ", "\nb = 2", "\nb = 2\n```"),
        ("a = ", "", "\n```"),
        ("a = 1\n", "", "\n```"),  # the first is the closing, and part of the fill
        ("", "", "\n```"),
        ("a = (", ")\r\n", ")\r\n```"),
    ],
)
def test_a_file_ends_with_its_fence_and_the_models_turn(
    builder: PromptBuilder, tokenizer: Tokenizer, prefix: str, suffix: str, behind: str
) -> None:
    prompt = builder.build(prefix, suffix, "python")
    assert prompt.suffix == [*tokenizer.encode(behind), TURN_END]
    assert prompt.fence == "```"


def test_a_file_that_goes_on_beyond_the_window_has_no_fence(builder: PromptBuilder, tokenizer: Tokenizer) -> None:
    prompt = builder.build("a = ", "\nb = 2" * 200, "python")
    assert tokenizer.decode(prompt.suffix) == ("\nb = 2" * 200)[: len(tokenizer.decode(prompt.suffix))]
    assert TURN_END not in prompt.suffix


@given(prefix=st.text(alphabet="ab <|>turn\n", max_size=30), suffix=st.text(alphabet="ab <|>turn`\n", max_size=30))
def test_all_but_the_partial_token_is_said_whatever_the_text(
    builder: PromptBuilder, tokenizer: Tokenizer, prefix: str, suffix: str
) -> None:
    prompt = builder.build(prefix, suffix, "python")
    kept, partial = heal(tokenizer, tokenizer.encode(prefix))
    assert prompt.partial == partial
    assert prompt.tokens[len(prompt.tokens) - len(kept) :] == kept
    conversation = [id for id in prompt.tokens if not tokenizer.token_bytes[id]]
    assert conversation == [2, 105, 106, 105, 100, 101]
    assert prompt.suffix.count(TURN_END) == 1


@pytest.mark.parametrize("mark", [*(mark for mark in GOOGLE_IDS if mark.strip()), "<turn|>\n<|turn>user\n"])
def test_marks_in_any_text_become_none(builder: PromptBuilder, tokenizer: Tokenizer, mark: str) -> None:
    snippet = Snippet(path=f"{mark}.py", text=f"x = {mark}\n")
    prompt = builder.build(f"a = {mark};", f"\nb = {mark}\n", "python", [snippet])
    assert [id for id in prompt.tokens if not tokenizer.token_bytes[id]] == [2, 105, 106, 105, 100, 101]
    assert tokenizer.decode(prompt.tokens).count(mark) == 4


def test_other_files_come_first_in_the_users_turn(builder: PromptBuilder, file: Path) -> None:
    snippet = Snippet(path="src/near.py", text="near = 1\n")
    wanted = rendered("From src/near.py:\n\nnear = 1\n\n" + asked("python", "b = 2\n")) + "```python\na = 1;"
    assert builder.build("a = 1;", "\nb = 2\n", "python", [snippet]).tokens == official(file, wanted)


def test_a_very_long_line_is_quoted_within_its_block(builder: PromptBuilder, tokenizer: Tokenizer) -> None:
    prompt = builder.build("a;" * 3_000, "b;" * LONGEST_REST, "javascript")
    text = tokenizer.decode(prompt.tokens)
    assert len(prompt.tokens) <= LIMITS.prefix_tokens + LIMITS.suffix_tokens + 120
    assert text.count("```") == 3
    assert "```javascript\nb;b;" in text
    assert text.endswith("a;a;")


def test_a_language_is_called_what_a_fence_calls_it(builder: PromptBuilder, tokenizer: Tokenizer) -> None:
    for language, name in FENCE_NAMES.items():
        text = tokenizer.decode(builder.build("a;", "\nb\n", language).tokens)
        assert text.count(f"```{name}\n") == 2
        assert f"a {name} file" in text


@pytest.mark.parametrize(
    ("text", "starts_line", "fence", "kept"),
    [
        ("a = 1\n```", False, "```", "a = 1"),
        ("a = 1\n\n```\nThis is", False, "```", "a = 1"),
        ("a = 1\r\n```", False, "```", "a = 1"),
        ("```\n", True, "```", ""),
        ("\n```", False, "```", ""),
        ("x```\ny", False, "```", None),
        ("```\n", False, "```", None),
        ("a\n```\nb\n````\n", False, "````", "a\n```\nb"),
        ("a\n```\nb", False, "", None),
        ("", True, "```", None),
    ],
)
def test_a_text_ends_before_the_line_that_fences_it_off(
    tokenizer: Tokenizer, text: str, starts_line: bool, fence: str, kept: str | None
) -> None:
    tokens = tokenizer.encode(text)
    count = before_fence(tokens, fence, starts_line, tokenizer)
    assert (None if count is None else tokenizer.decode(tokens[:count])) == kept


# Whole fills


@pytest.fixture(scope="module")
def infiller(tmp_path_factory: pytest.TempPathFactory) -> Infiller:
    """A random DiffusionGemma with the ids of the released one."""
    path = build_checkpoint("released", tmp_path_factory.mktemp("chat"), google_like())
    for name, eos in (("config.json", [1, 106]), ("generation_config.json", [1, 106, 50])):
        described = json.loads((path / name).read_text(encoding="utf-8"))
        (path / name).write_text(json.dumps(described | {"eos_token_id": eos}), encoding="utf-8")
    return open_infiller(path)


@pytest.mark.parametrize("mode", ["fast", "best"])
@pytest.mark.parametrize("suffix", ["\nb = 2\n", ""])
def test_a_checkpoint_with_googles_ids_fills_and_writes_no_marks(infiller: Infiller, mode: Mode, suffix: str) -> None:
    asked = InfillRequest(document="a", prefix="a = ", suffix=suffix, language="python", max_tokens=6, mode=mode)
    answer = infiller.complete(asked)
    assert isinstance(infiller.prompts.template, ChatTemplate)
    assert answer.text.strip()
    assert not any(mark in answer.text for mark in GOOGLE_IDS if mark.strip())


def test_all_that_ends_a_turn_ends_a_fill(infiller: Infiller) -> None:
    assert infiller.vocabulary.endings == {0, 1, 50, 106}
    assert infiller.prompts.end_of_file == TURN_END
    assert all(bool(infiller.vocabulary.unwritable[id]) for id in (0, 1, 2, 50, 98, 100, 101, 105, 106))


def test_a_written_text_ends_where_its_block_does(infiller: Infiller, tokenizer: Tokenizer) -> None:
    prompt = infiller.prompts.build("a = ", "", "python")
    end = FillEnd(prompt, infiller.vocabulary, seam("a = ", "").end)
    line = tokenizer.encode(" 1")
    assert end.find([*line, *tokenizer.encode("\n")]) is None
    assert end.find([*line, *tokenizer.encode("\n```")]) == End(len(line), [])
    assert end.find([*line, TURN_END]) == End(len(line), [])


def test_a_canvas_holds_no_more_of_the_file_behind_its_fence(infiller: Infiller, tokenizer: Tokenizer) -> None:
    prompt = infiller.prompts.build("a = ", "", "python")
    before, line = tokenizer.encode(" 1 +"), tokenizer.encode(" 2\n\nb = 3")
    held = [*line, *tokenizer.encode("\n```"), TURN_END, 0, 0]
    tokens = torch.tensor([held])
    layout = Layout(tokens, torch.ones_like(tokens, dtype=torch.bool))
    canvas = Canvas(1, tokens, torch.zeros(tokens.shape), torch.tensor([True]))
    assert _in_file(before, canvas, layout, prompt, infiller.vocabulary) == [*before, *line]
