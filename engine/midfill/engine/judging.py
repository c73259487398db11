"""The choice among the fills that were found: by the causal mode, the syntax, and what the gate makes of both."""

from collections.abc import Sequence
from typing import NamedTuple

from midfill.engine.candidates import Candidate, Vocabulary
from midfill.engine.gate import Features, features_of
from midfill.engine.prompt import Prompt
from midfill.engine.syntax import SyntaxCheck
from midfill.engine.wire import InfillRequest

MOST_JUDGED = 10
"""Fills whose syntax is looked at: the likeliest."""


class Judged(NamedTuple):
    """A fill, and what is known of it."""

    text: str
    features: Features


class Judge(NamedTuple):
    """What the fills of all requests are judged with."""

    vocabulary: Vocabulary
    syntax: SyntaxCheck
    penalty: float
    """Nats that each error of syntax costs a fill which adds it."""

    def order(self, found: Sequence[Candidate], prompt: Prompt, request: InfillRequest, passes: int) -> list[Judged]:
        """The fills that add a text, best first, of those with the same text one; the empty one, where none does.

        The empty fill has to be among `found`: what it leaves the suffix is what the others are measured by.
        """
        bare = next(one.head for one in found if not one.tokens)
        texts = self._distinct(found, prompt)
        errors = self.syntax.added_errors(request.language, request.prefix, request.suffix, list(texts))
        worth = {text: one.score - self.penalty * num for (text, one), num in zip(texts.items(), errors, strict=True)}
        line = request.prefix.rpartition("\n")[2]
        judged = []
        for text, num in sorted(zip(texts, errors, strict=True), key=lambda each: worth[each[0]], reverse=True):
            rival = max((one.score for other, one in texts.items() if other != text), default=None)
            one = texts[text]
            features = features_of(text, one.fill, one.head, bare, rival, passes=passes, errors=num, line=line)
            judged.append(Judged(text, features))
        return judged

    def _distinct(self, found: Sequence[Candidate], prompt: Prompt) -> dict[str, Candidate]:
        """By text, the likeliest first. White space at the end makes no other fill: no one sees it."""
        texts: dict[str, tuple[str, Candidate]] = {}
        for one in sorted(found, key=lambda each: each.score, reverse=True):
            text = self.vocabulary.text(one.tokens, prompt)
            texts.setdefault(text.rstrip(), (text, one))
        nothing = texts.pop("", None)
        chosen = list(texts.values())[:MOST_JUDGED]
        return dict(chosen) if chosen or nothing is None else dict([nothing])
