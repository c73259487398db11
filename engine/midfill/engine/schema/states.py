"""Where a JSON text may stand within a document, and what is known of the containers that are open there.

A `State` is all that what follows depends on; a frame is an open container, known by its number.
"""

from __future__ import annotations

from typing import NamedTuple

from midfill.engine.schema.keys import Keys
from midfill.engine.schema.place import Place

TOP = 0
"""The number of the frame around the document's one value."""


class Frame(NamedTuple):
    """An open container."""

    place: Place
    failed: int
    """Nodes of the place that are false."""
    parent: int
    owners: tuple[int, ...] = ()
    """Of the part that is being written: see `Part`."""
    counted: tuple[int, ...] = ()


class ObjectFrame(NamedTuple):
    """An open object."""

    frame: Frame
    keys: Keys


class ArrayFrame(NamedTuple):
    """An open array."""

    frame: Frame
    length: int = 0
    """As far as it matters."""
    counts: tuple[int, ...] = ()
    """How often `contains` held, for each of the place's `counters`, as far as it matters."""


class Value(NamedTuple):
    """A value comes next."""

    place: Place
    parent: int


class Item(NamedTuple):
    """An item comes next, or, where it `may_end`, the end of the array."""

    may_end: bool
    parent: int


class Key(NamedTuple):
    """A key comes next, or, where it `may_end`, the end of the object."""

    may_end: bool
    parent: int


class InKey(NamedTuple):
    """Inside a key."""

    text: str
    partial: bytes
    parent: int


class Colon(NamedTuple):
    """After a key."""

    place: Place
    parent: int


class InString(NamedTuple):
    """Inside a string value."""

    place: Place
    checked: int
    """State of the place's text rules."""
    partial: bytes
    parent: int


class InNumber(NamedTuple):
    """Inside a number, or behind it."""

    place: Place
    checked: int
    parent: int


class InWord(NamedTuple):
    """Inside true, false or null."""

    place: Place
    word: bytes
    read: int
    parent: int


class After(NamedTuple):
    """After a value."""

    parent: int


class Comment(NamedTuple):
    """Inside a comment, of which `opened` was read last; it ends at the state `back`."""

    opened: bytes
    back: int


State = Value | Item | Key | InKey | Colon | InString | InNumber | InWord | After | Comment
Open = ObjectFrame | ArrayFrame


def owners_of(owners: tuple[int, ...], false: int) -> int:
    """The nodes that are false when these roots of a part are."""
    union = 0
    for index, mask in enumerate(owners):
        if false >> index & 1:
            union |= mask
    return union


def counted(frame: Frame, counts: tuple[int, ...], false: int) -> tuple[int, ...]:
    """The counts after an item of which these roots are false, no higher than it matters."""
    if not frame.counted:
        return counts
    held = 0
    for index, mask in enumerate(frame.counted):
        if not false >> index & 1:
            held |= mask
    nodes = frame.place.nodes
    limits = (max(nodes[index].least_contains, (nodes[index].most_contains or 0) + 1) for index in frame.place.counters)
    counters = zip(frame.place.counters, counts, limits, strict=True)
    return tuple(min(count + (held >> index & 1), limit) for index, count, limit in counters)
