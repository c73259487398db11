"""What was proposed in each document, so that typing along with it, or back to it, asks no engine.

A proposal belongs to the text on both sides of the cursor: the same prefix before another suffix is another gap.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

SITUATION_CHARS = 2048
MAX_DOCUMENTS = 32
MAX_PROPOSALS = 64
MAX_TYPED_CHARS = 1024

_ANCHOR_CHARS = 64
_SLACK = " \t\n)]}\"'`"
_SIGN = re.compile(r'"""|\'\'\'|[()\[\]{}"\'`]')
_CLOSERS = {"(": ")", "[": "]", "{": "}"} | {quote: quote for quote in ('"', "'", "`", '"""', "'''")}


class Situation(NamedTuple):
    """The text on either side of the cursor: SITUATION_CHARS of it, or less at an end of the file."""

    before: str
    after: str


class _Spot(NamedTuple):
    """A situation made comparable. Line ends are \\n."""

    before: str
    from_start: bool
    """Whether `before` reaches back to the start of the file."""
    slack: str
    """White space and closers right behind the cursor, where editors add closers of their own."""
    after: str
    to_end: bool


class _Proposal(NamedTuple):
    spot: _Spot
    texts: tuple[str, ...]
    """The best first."""
    num_asked: int = 1


class _Shelf:
    """Proposals by document. Bounded: the least recently used go first."""

    def __init__(self) -> None:
        self._documents: dict[str, list[_Proposal]] = {}

    def put(self, document: str, proposal: _Proposal) -> None:
        """Add it, or move it to the front."""
        proposals = self._documents.pop(document, [])
        self._documents[document] = proposals
        if proposal in proposals:
            proposals.remove(proposal)
        proposals.append(proposal)
        del proposals[:-MAX_PROPOSALS]
        for oldest in list(self._documents)[:-MAX_DOCUMENTS]:
            del self._documents[oldest]

    def newest_first(self, document: str) -> Iterator[_Proposal]:
        return reversed(self._documents.get(document, []))

    def forget(self, document: str) -> None:
        self._documents.pop(document, None)


class Reuse:
    """Memory of what was proposed and of what was rejected, by document."""

    def __init__(self) -> None:
        self._proposed = _Shelf()
        self._rejected = _Shelf()

    def remember(self, document: str, situation: Situation, *fills: str, num_asked: int = 1) -> None:
        """Keep the raw fills of this gap, the best first: what editors replace is worked out anew each time.

        There may be fewer than were asked for.
        """
        texts = tuple(_with_line_feeds(text) for text in fills if text)
        if texts:
            self._proposed.put(document, _Proposal(_spot(situation), texts, num_asked))

    def left(self, document: str, situation: Situation, num_asked: int = 1) -> list[str]:
        """What is left of the newest texts that agree with what was typed since; their lines end in \\n.

        They are of one answer, to a question for so many or more. A closer that the editor added while the text's own
        opener was typed does not count as a change of the suffix, and neither does one that was typed over. The text
        keeps its own closers.
        """
        spot = _spot(situation)
        for proposal in self._proposed.newest_first(document):
            left = list(filter(None, _left(proposal, spot)))
            if left and proposal.num_asked >= num_asked:
                self._proposed.put(document, proposal)
                return left
        return []

    def reject(self, document: str, situation: Situation, text: str) -> None:
        """A text that was proposed here is not wanted."""
        self._rejected.put(document, _Proposal(_spot(situation), (_with_line_feeds(text),)))

    def is_rejected(self, document: str, situation: Situation, text: str) -> bool:
        """Whether the text begins with the line that was rejected here, or with what typing has left of that."""
        spot, line = _spot(situation), _first_line(text)
        rejected = (left for proposal in self._rejected.newest_first(document) for left in _left(proposal, spot))
        return bool(line) and any(_first_line(left) == line for left in rejected)

    def forget(self, document: str) -> None:
        """The file was closed."""
        self._proposed.forget(document)
        self._rejected.forget(document)


def typed_since(then: Situation, now: Situation) -> str | None:
    """What was typed from `then` to `now`, its lines ending in \\n; None where more has changed than that. Pure.

    At most MAX_TYPED_CHARS are looked for in a long file.
    """
    return _typed(_spot(then), _spot(now))


def agrees(draft: str, then: Situation, now: Situation) -> str | None:
    """What was typed from `then` to `now`, as `typed_since` has it; None too where the draft goes on differently.

    A draft shorter than what was typed agrees if it is the start of it: it may still become the same text. Pure.
    """
    typed = typed_since(then, now)
    if typed is None:
        return None
    draft = _with_line_feeds(draft)
    return typed if draft.startswith(typed) or typed.startswith(draft) else None


def _left(proposal: _Proposal, spot: _Spot) -> list[str]:
    """Of each text that agrees with what was typed since."""
    typed = _typed(proposal.spot, spot)
    return [] if typed is None else [text[len(typed) :] for text in proposal.texts if text.startswith(typed)]


def _typed(then: _Spot, now: _Spot) -> str | None:
    if not _same_after(then, now):
        return None
    typed = _appended(then, now)
    if typed is None or then.slack == now.slack or _closers_explain(typed, then.slack, now.slack):
        return typed
    return None


def _same_after(then: _Spot, now: _Spot) -> bool:
    if then.to_end and now.to_end:
        return then.after == now.after
    return then.after.startswith(now.after) or now.after.startswith(then.after)  # cut at different places


def _appended(then: _Spot, now: _Spot) -> str | None:
    """The least text that makes `now.before` of `then.before`."""
    if now.from_start:
        return now.before.removeprefix(then.before) if now.before.startswith(then.before) else None
    # Its left edge moves as the text grows. Looking for a short end of the old text first makes a miss cheap.
    anchor = then.before[-_ANCHOR_CHARS:]
    earliest = max(0, len(now.before) - MAX_TYPED_CHARS - len(anchor))
    at = now.before.rfind(anchor, earliest)
    while at >= 0:
        cut = at + len(anchor)
        if then.before.endswith(now.before[:cut]):
            return now.before[cut:]
        at = now.before.rfind(anchor, earliest, cut - 1)
    return None


def _closers_explain(typed: str, then: str, now: str) -> bool:
    """Whether typing `typed` makes the slack `then` into `now`: closers typed over, then closers added in front."""
    unpaired: list[str] = []
    for sign in _SIGN.findall(typed):
        if unpaired and _CLOSERS.get(unpaired[-1]) == sign:
            unpaired.pop()
        else:
            unpaired.append(sign)
    opened = "".join(_CLOSERS.get(sign, "") for sign in reversed(unpaired))
    typed_over = 0
    while _is_within(then[:typed_over], "".join(unpaired)):
        kept = then[typed_over:]
        added = now.removesuffix(kept)
        if len(added) + len(kept) == len(now) and not added[-1:].isspace() and _is_within(added.split(), opened):
            return True
        if not kept:
            return False
        typed_over += 1
    return False


def _is_within(parts: Iterable[str], signs: str) -> bool:
    """Whether the characters of `parts` occur in `signs` in this order."""
    left = iter(signs)
    return all(sign in left for part in parts for sign in part)


def _spot(situation: Situation) -> _Spot:
    after = _with_line_feeds(situation.after)
    far = after.lstrip(_SLACK)
    return _Spot(
        before=_with_line_feeds(situation.before),
        from_start=len(situation.before) < SITUATION_CHARS,
        slack=after.removesuffix(far),
        after=far,
        to_end=len(situation.after) < SITUATION_CHARS,
    )


def _with_line_feeds(text: str) -> str:
    return text.replace("\r\n", "\n")


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].rstrip()
