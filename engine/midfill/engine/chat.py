"""The prompt of instruction-tuned checkpoints: Gemma 4's turns, with the file in the code block of an answer.

The user's turn quotes the suffix, the model's is the file so far: what the model says next is the fill. The block's
fence stands in the prompt, or the model would begin it where a short file has its fill; and a fence is what such a
model ends a file with, surer than with the end of its turn alone.
"""

import re
from collections.abc import Sequence
from itertools import accumulate

from midfill.engine.tokenizer import Tokenizer

FENCE, WIDE_FENCE = "```", "````"
"""Marks of a code block; the wide one for text that has such blocks itself."""
HOLDS_FENCES = frozenset({"markdown", "mdx", "quarto", "rmd"})
FENCE_NAMES = {
    "javascriptreact": "jsx",
    "typescriptreact": "tsx",
    "shellscript": "bash",
    "plaintext": "text",
    "objective-c": "objectivec",
}
"""What follows a fence, where it is not the LSP language identifier."""


class ChatTemplate:
    """Turns as the official chat template writes them with thinking off, which is with an empty thought.

    The newest template of DiffusionGemma leaves the thought out, and the model writes it itself, before all else: on a
    canvas that would cost positions, and be taken for text.
    """

    marks = frozenset({"<bos>", "<|turn>", "<turn|>", "<|channel>", "<channel|>"})

    def frame(self, language: str | None, snippets: list[int], suffix: list[int], tokenizer: Tokenizer) -> list[int]:
        ids, encode = tokenizer.special_ids, tokenizer.encode
        user = [*encode("user\n"), *snippets, *self._task(language, suffix, tokenizer)]
        thought = [ids["<|channel>"], *encode("thought\n"), ids["<channel|>"]]
        model = [*encode("model\n"), *thought, *encode(f"{self.fence(language)}{_name(language)}\n")]
        return [ids["<bos>"], ids["<|turn>"], *user, ids["<turn|>"], *encode("\n"), ids["<|turn>"], *model]

    def _task(self, language: str | None, suffix: list[int], tokenizer: Tokenizer) -> list[int]:
        """What the user asks for: the end of a file, or the part of one that ends with the quoted lines."""
        quoted = [id for id in suffix if tokenizer.token_bytes[id]]  # an end of file would end the conversation
        text, fence, name = tokenizer.decode_bytes(quoted), self.fence(language), _name(language)
        how = "\n\nReply with that part in one code block, and with nothing else."
        if not text.strip():
            return tokenizer.encode(f"Write the last part of a {name or 'text'} file.{how}")
        # What is quoted begins with the line break that ends the cursor's line: then that is the fence's.
        opening = fence + name + ("" if text[:1] in b"\r\n" else "\n")
        closing = ("" if text.endswith(b"\n") else "\n") + fence
        ask = f"Write the part of a {name or 'text'} file that ends with these lines:\n\n{opening}"
        return [*tokenizer.encode(ask), *quoted, *tokenizer.encode(closing + how)]

    def fence(self, language: str | None) -> str:
        return WIDE_FENCE if language in HOLDS_FENCES else FENCE

    def end_of_file(self, tokenizer: Tokenizer) -> int | None:
        return tokenizer.special_ids["<turn|>"]


def before_fence(tokens: Sequence[int], fence: str, starts_line: bool, tokenizer: Tokenizer) -> int | None:
    """How many of `tokens` stand before a line that begins with `fence`, and the breaks before it; None without one.

    `starts_line` says whether the first of them begins a line. Pure.
    """
    if not fence:
        return None
    text = b"\n" * starts_line + tokenizer.decode_bytes(tokens)
    found = re.search(rb"[\r\n]+" + re.escape(fence.encode()), text)
    if found is None:
        return None
    lengths = (len(tokenizer.token_bytes[token]) for token in tokens)
    return sum(end <= found.start() - starts_line for end in accumulate(lengths))


def _name(language: str | None) -> str:
    """What a fence calls the language; nothing where the editor's name for it is none that can stand there."""
    name = FENCE_NAMES.get(language or "", language or "")
    return name if re.fullmatch(r"[\w.+#-]+", name) else ""
