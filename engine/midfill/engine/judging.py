"""The choice among the fills that were found: by the causal mode, errors of syntax and repeated lines."""

from collections.abc import Sequence
from typing import NamedTuple

from midfill.engine.candidates import Candidate, Vocabulary
from midfill.engine.gate import Features, features_of
from midfill.engine.prompt import Prompt
from midfill.engine.repeats import repeated_lines
from midfill.engine.syntax import SyntaxCheck
from midfill.engine.wire import MOST_CANDIDATES, InfillRequest

MOST_JUDGED = MOST_CANDIDATES
"""The likeliest fills, whose syntax is looked at: as many as may be asked for."""


class Judged(NamedTuple):
    """A fill, and what is known of it."""

    text: str
    features: Features


class Judge(NamedTuple):
    """What the fills of all requests are judged with."""

    vocabulary: Vocabulary
    syntax: SyntaxCheck
    error_penalty: float
    """Nats that each error of syntax costs a fill which adds it."""
    repeat_penalty: float
    """Nats that each line costs which says again what the line before it says."""

    def order(self, found: Sequence[Candidate], prompt: Prompt, request: InfillRequest, passes: int) -> list[Judged]:
        """The fills that add a text, best first, of those with the same text one; the empty one, where none does.

        The empty fill has to be among `found`: what it leaves the suffix is what the others are measured by.
        """
        empty = next(one for one in found if not one.tokens)
        texts = self._distinct(found, prompt) or {prompt.closing: empty}
        repeats = {text: repeated_lines(request.prefix, text, request.suffix) for text in texts}
        worth = {text: one.score - self.repeat_penalty * repeats[text] for text, one in texts.items()}
        likely = sorted(texts, key=worth.__getitem__, reverse=True)
        around, is_alone = (request.prefix, request.suffix), request.num_candidates == 1
        errors = self.syntax.added_errors(request.language, *around, likely, first_suffices=is_alone)
        line = request.prefix.rpartition("\n")[2]
        judged = list[tuple[float, Judged]]()
        for text, num_errors in zip(likely, errors, strict=True):
            one = texts[text]
            rival = max((rival.score for other, rival in texts.items() if other != text), default=None)
            features = features_of(
                text,
                one.fill,
                one.head,
                empty.head,
                rival,
                passes=passes,
                errors=num_errors,
                repeats=repeats[text],
                line=line,
            )
            judged.append((worth[text] - self.error_penalty * num_errors, Judged(text, features)))
        return [each for _, each in sorted(judged, key=lambda pair: pair[0], reverse=True)]

    def _distinct(self, found: Sequence[Candidate], prompt: Prompt) -> dict[str, Candidate]:
        """Those that are not blank, by text, the likeliest first. White space at the end makes no other fill."""
        texts: dict[str, tuple[str, Candidate]] = {}
        for one in sorted(found, key=lambda each: each.score, reverse=True):
            text = self.vocabulary.text(one.tokens, prompt)
            texts.setdefault(text.rstrip(), (text, one))
        texts.pop("", None)
        return dict(list(texts.values())[:MOST_JUDGED])
