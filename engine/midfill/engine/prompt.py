"""What the model is shown of a file: the prompt in the cache, and the suffix tokens to pin on the canvas.

The suffix comes first: typing then only appends to the prompt, and the KV of all that stands before stays valid. For
the same reason the prefix window starts at multiples of a quantum, not a fixed distance before the cursor.
"""

from typing import NamedTuple, Protocol

import msgspec

from midfill.engine.tokenizer import Tokenizer, heal

NANO_LANGUAGES = {
    "python": "<|python|>",
    "json": "<|json|>",
    "jsonc": "<|json|>",
    "javascript": "<|javascript|>",
    "javascriptreact": "<|javascript|>",
    "typescript": "<|typescript|>",
    "typescriptreact": "<|typescript|>",
    "markdown": "<|markdown|>",
    "yaml": "<|yaml|>",
}


class PromptLimits(msgspec.Struct, frozen=True):
    """Window sizes. Characters bound the work on huge files; tokens bound what the model sees."""

    prefix_tokens: int
    suffix_tokens: int
    quantum_chars: int = 512

    @property
    def prefix_chars(self) -> int:
        return 4 * self.prefix_tokens

    @property
    def suffix_chars(self) -> int:
        return 6 * self.suffix_tokens


class Prompt(NamedTuple):
    """A request in tokens."""

    tokens: list[int]
    """The prompt, up to the cursor less the partial token before it."""
    partial: bytes
    """Text before the cursor that the first token on the canvas has to start with; empty if none."""
    suffix: list[int]
    """Tokens after the cursor, as many as could be pinned; an end-of-file token last if the file ends there."""


class Template(Protocol):
    """How a checkpoint wants its prompt."""

    def frame(self, language: str | None, suffix: list[int], tokenizer: Tokenizer) -> list[int]:
        """All prompt tokens that come before the prefix window."""
        ...


class NanoTemplate:
    """The embedded model's own markers: `<bos> language <|suffix|> suffix <|prefix|>`."""

    def frame(self, language: str | None, suffix: list[int], tokenizer: Tokenizer) -> list[int]:
        name = NANO_LANGUAGES.get(language or "", "<|text|>")
        marks = [tokenizer.special_ids[mark] for mark in ("<bos>", name, "<|suffix|>", "<|prefix|>")]
        return [*marks[:3], *suffix, marks[3]]


class ChatTemplate:
    """Gemma 4's turns: the user's quotes the suffix, the model's starts with the prefix.

    The empty thought block stands in the prompt, or the model would spend canvas positions on it.
    """

    def frame(self, language: str | None, suffix: list[int], tokenizer: Tokenizer) -> list[int]:
        ids = tokenizer.special_ids
        task = f"Write the {language or 'text'} file that ends with the part below. Reply with its text only.\n\n"
        user = [*tokenizer.encode("user\n" + task), *suffix]
        model = [
            *tokenizer.encode("model\n"),
            ids["<|channel>"],
            *tokenizer.encode("thought\n"),
            ids["<channel|>"],
        ]
        return [
            ids["<bos>"],
            ids["<|turn>"],
            *user,
            ids["<turn|>"],
            *tokenizer.encode("\n"),
            ids["<|turn>"],
            *model,
        ]


class BareTemplate:
    """For checkpoints without known markers: the suffix stands on the canvas only."""

    def frame(self, language: str | None, suffix: list[int], tokenizer: Tokenizer) -> list[int]:
        start = tokenizer.special("<bos>")
        return [] if start is None else [start]


def template_for(tokenizer: Tokenizer) -> Template:
    """The template that fits the special tokens of `tokenizer`."""
    if "<|suffix|>" in tokenizer.special_ids:
        return NanoTemplate()
    return ChatTemplate() if "<|turn>" in tokenizer.special_ids else BareTemplate()


class PromptBuilder:
    """Lays out prompts for one checkpoint."""

    def __init__(self, tokenizer: Tokenizer, template: Template, limits: PromptLimits, end_of_file: int) -> None:
        self.tokenizer, self.template, self.limits, self.end_of_file = (
            tokenizer,
            template,
            limits,
            end_of_file,
        )

    def build(self, prefix: str, suffix: str, language: str | None) -> Prompt:
        """The prompt for a cursor between `prefix` and `suffix`."""
        after = self._suffix_window(suffix)
        before = self._prefix_window(prefix)
        kept, partial = heal(self.tokenizer, before)
        frame = self.template.frame(language, after, self.tokenizer)
        return Prompt([*frame, *kept], partial, after)

    def _suffix_window(self, suffix: str) -> list[int]:
        limits = self.limits
        ids = self.tokenizer.encode(suffix[: limits.suffix_chars])
        if len(suffix) <= limits.suffix_chars:
            ids.append(self.end_of_file)
        return ids[: limits.suffix_tokens]

    def _prefix_window(self, prefix: str) -> list[int]:
        limits = self.limits
        start = max(0, len(prefix) - limits.prefix_chars)
        while True:
            start = -(-start // limits.quantum_chars) * limits.quantum_chars
            ids = self.tokenizer.encode(prefix[_line_start(prefix, start) :])
            if len(ids) <= limits.prefix_tokens or start + limits.quantum_chars >= len(prefix):
                return ids[-limits.prefix_tokens :]
            start += 1


def _line_start(text: str, at: int) -> int:
    """Start of the first line that begins at `at` or later; `at` itself where no such line follows."""
    if at == 0:
        return 0
    newline = text.find("\n", at - 1)
    return newline + 1 if 0 <= newline < len(text) - 1 else at
