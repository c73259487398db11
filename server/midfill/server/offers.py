"""A gap to be filled, a suggestion for it as an editor gets it, and whether typing agrees with that."""

from typing import NamedTuple

from lsprotocol import types

from midfill.server.document import Document, Place
from midfill.server.ghost import Ghost
from midfill.server.reuse import Situation, agrees, typed_since
from midfill.server.statistics import Source

CLOSERS = frozenset(")]}\"'`")


class Gap(NamedTuple):
    """What is to be filled: from `start` to `end`, nothing between them for a cursor."""

    start: Place
    end: Place
    typed: str = ""
    """To be taken as standing before the gap: the selected entry of the editor's completion menu."""


class Offer(NamedTuple):
    """A suggestion as it was given to the editor."""

    id: int
    gap: Gap
    ghost: Ghost
    situation: Situation
    text: str
    """The fill that the ghost was made from: what is to be inserted."""
    source: Source
    is_new: bool
    """Whether it is another suggestion than the last, not what typing has left of that."""


def edit_of(document: Document, gap: Gap, ghost: Ghost) -> types.TextEdit:
    """What an editor is to insert, and in place of what: the gap, and as much of its lines as the ghost repeats."""
    back = 0 if gap.typed else ghost.back
    start = gap.start._replace(column=gap.start.column - back)
    end = gap.end._replace(column=gap.end.column + ghost.replaced)
    text = gap.typed + ghost.text[ghost.back :] if gap.typed else ghost.text
    return types.TextEdit(types.Range(document.position(start), document.position(end)), text)


def look(ghost: Ghost, after: str) -> str:
    """What would stand from the cursor to the end of its line, `after` being there; blank ends apart. Pure."""
    return (ghost.text[ghost.back :] + after[ghost.replaced :]).rstrip()


def goes_along(offer: Offer, now: Situation) -> bool:
    """Whether what was typed agrees with the offer. An editor may have typed closers behind the cursor itself. Pure."""
    while agrees(offer.text, offer.situation, now) is None:
        if now.before[-1:] not in CLOSERS:
            return False
        now = Situation(now.before[:-1], now.before[-1] + now.after)
    return True


def goes_on(offer: Offer, situation: Situation, text: str) -> bool:
    """Whether `text` is what typing has left of the offer. Pure."""
    typed = typed_since(offer.situation, situation)
    return typed is not None and offer.text == typed + text
