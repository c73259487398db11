"""Where the tokens of a fill end: told by its text, which may end within one of them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from midfill.engine.candidates import Vocabulary
from midfill.engine.chat import before_fence
from midfill.engine.prompt import Prompt

EndOfText = Callable[[str], int | None]
"""How many characters of a text, written so far, are the fill; None as long as all may be."""


class End(NamedTuple):
    """Where a text has come to its end."""

    whole: int
    """Its tokens that are in the fill as they are."""
    rest: list[int]
    """What is left of the next one: it may have gone on into the suffix, as `))` does."""


class FillEnd(NamedTuple):
    """Finds the end of the fills of one prompt."""

    prompt: Prompt
    vocabulary: Vocabulary
    end_of_text: EndOfText

    def find(self, tokens: Sequence[int]) -> End | None:
        """Where the text of `tokens` is over; None if it may go on."""
        if tokens and tokens[-1] in self.vocabulary.endings:
            return End(len(tokens) - 1, [])
        fenced = before_fence(tokens, self.prompt.fence, bool(self.prompt.closing), self.vocabulary.tokenizer)
        if fenced is not None:
            return End(fenced, [])
        length = self.end_of_text(self._added(tokens))
        if length is None:
            return None
        whole = next(number for number in range(len(tokens), -1, -1) if len(self._added(tokens[:number])) <= length)
        text = self._added(tokens)[:length]
        kept = text[len(self._added(tokens[:whole])) :]
        healed = "" if whole else self.prompt.partial.decode(errors="replace")
        rest = self.vocabulary.tokenizer.encode(healed + kept)
        is_same = self._added([*tokens[:whole], *rest]) == text  # not where the bytes of a character are torn apart
        return End(whole, rest if is_same else [])

    def cut(self, tokens: Sequence[int]) -> list[int]:
        """The tokens up to there."""
        end = self.find(tokens)
        return list(tokens) if end is None else [*tokens[: end.whole], *end.rest]

    def _added(self, tokens: Sequence[int]) -> str:
        return self.vocabulary.text(tokens, self.prompt).removesuffix(self.prompt.closing)
