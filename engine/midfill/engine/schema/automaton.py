"""A byte automaton of the JSON texts that a schema accepts; its states are ints, made when they are first reached.

A state is all that what follows depends on: where in JSON's grammar the text stands, and for each open container the
schemas that judge it, which of them have failed, and the keys that it has. Keys may come in any order, each once.
"""

from __future__ import annotations

import functools
import json
import re
from typing import Literal

from midfill.engine.common_prefix import common_prefix
from midfill.engine.schema.constraint import DEAD
from midfill.engine.schema.keys import Keys
from midfill.engine.schema.nodes import KINDS, Kind
from midfill.engine.schema.place import Place, Places
from midfill.engine.schema.states import (
    TOP,
    After,
    ArrayFrame,
    Colon,
    Comment,
    Frame,
    InKey,
    InNumber,
    InString,
    InWord,
    Item,
    Key,
    ObjectFrame,
    Open,
    State,
    Value,
    counted,
    owners_of,
)
from midfill.engine.schema.string_bytes import read_byte

SPACE = frozenset(b" \t\r\n")
WORDS: dict[int, tuple[bytes, bool | None]] = {
    ord("t"): (b"true", True),
    ord("f"): (b"false", False),
    ord("n"): (b"null", None),
}
TRAIL_BYTES = 512
_WHOLE_STRING = re.compile(rb'"(?:[^"\\\x00-\x1f]|\\.)*+"')
_ESCAPED = re.compile(rb"\\u[dD]")
"""Perhaps half of a surrogate pair, which JSON's parsers differ on."""


class Automaton:
    """States and steps of one schema. Steps are remembered."""

    def __init__(self, places: Places, *, has_comments: bool = False) -> None:
        self.places, self.has_comments = places, has_comments
        self.states: list[State | None] = [None]
        self.frames: list[Open | None] = [None]
        self.depths = [0]
        """How many containers are open in each frame, with itself."""
        # Tuples of two classes can be equal: the class is a part of the key.
        self._numbers: dict[tuple[type, State], int] = {}
        self._frame_numbers: dict[tuple[type, Open], int] = {}
        self._doomed: dict[tuple[int, int], bool] = {}
        self._keys_allowed: dict[int, Literal["any", "known", "none"]] = {}
        self._rows: list[dict[int, int]] = [{}]
        self._forgiving_rows: list[dict[int, int]] = [{}]
        self._strings: dict[tuple[int, bytes], int] = {}
        self._forgiven_strings: dict[tuple[int, bytes], int] = {}
        self._forgives = False
        self.no_keys = places.no_keys
        self.start = self._state(Value(places.root, TOP))
        self._trail_of = b""
        self._trail = [(0, self.start)]

    def step(self, state: int, byte: int) -> int:
        """The state after one more byte."""
        row = self._rows[state]
        after = row.get(byte)
        if after is None:
            after = row[byte] = self._next(state, byte)
        return after

    def run(self, state: int, text: bytes) -> int:
        """The state after `text`."""
        return self._run(state, text, self._rows, self._strings)

    def run_forgiving(self, state: int, text: bytes) -> int:
        """The state after a text that is JSON but may break the schema: what is wrong counts as right."""
        self._forgives = True
        try:
            return self._run(state, text, self._forgiving_rows, self._forgiven_strings)
        finally:
            self._forgives = False

    def _run(self, state: int, text: bytes, rows: list[dict[int, int]], strings: dict[tuple[int, bytes], int]) -> int:
        """The state after `text`, of which whole strings are one step."""
        place, length = 0, len(text)
        while place < length and state != DEAD:
            byte = text[place]
            begins = byte == 0x22 and isinstance(self.states[state], Key | Value | Item)
            if begins and (string := _WHOLE_STRING.match(text, place)) is not None:
                key = (state, string[0])
                if key not in strings:
                    strings[key] = self._whole_string(state, string[0], rows)
                state, place = strings[key], string.end()
                continue
            after = rows[state].get(byte)
            if after is None:
                after = rows[state][byte] = self._next(state, byte)
            state, place = after, place + 1
        return state

    def _whole_string(self, state: int, literal: bytes, rows: list[dict[int, int]]) -> int:
        at = self.states[state]
        try:
            text = json.loads(literal)
        except ValueError:
            return DEAD if isinstance(at, Key | Value | Item) else self._by_bytes(state, literal, rows)
        if isinstance(at, Key) and not _ESCAPED.search(literal):
            return self._end_key(text, at.parent)
        if isinstance(at, Value) and not _ESCAPED.search(literal):
            return self._end_string(at.place, text, at.parent)
        if isinstance(at, Item) and not _ESCAPED.search(literal):
            item = self.item(at.parent)
            return DEAD if item is None else self._end_string(item[0], text, item[1])
        return self._by_bytes(state, literal, rows)

    def _by_bytes(self, state: int, text: bytes, rows: list[dict[int, int]]) -> int:
        for byte in text:
            if byte not in rows[state]:
                rows[state][byte] = self._next(state, byte)
            state = rows[state][byte]
        return state

    def _end_string(self, place: Place, text: str, parent: int) -> int:
        failed = place.wrong["string"]
        if place.texts is not None:
            checker = place.texts.checker
            failed |= place.texts.unmet(functools.reduce(checker.step, text, checker.start))
        return self._ended(place, failed, "string", parent)

    def after(self, text: bytes) -> int:
        """The state after a document's first bytes; what they share with the last text asked for is not read again."""
        shared = common_prefix(self._trail_of, text)
        while self._trail[-1][0] > shared:
            self._trail.pop()
        self._trail_of = text
        place, state = self._trail[-1]
        for start in range(place, len(text), TRAIL_BYTES):
            state = self.run(state, text[start : start + TRAIL_BYTES])
            if state == DEAD:
                return DEAD
            if start + TRAIL_BYTES <= len(text):
                self._trail.append((start + TRAIL_BYTES, state))
        return state

    def accepts(self, state: int) -> bool:
        """Whether the text may end here."""
        at = self.states[state]
        if isinstance(at, InNumber) and at.parent == TOP:
            at = self.states[self._end_number(at)]
        if isinstance(at, Comment) and at.opened == b"//":
            return self.accepts(at.back)
        return isinstance(at, After) and at.parent == TOP

    def parent(self, state: int) -> int:
        """The container that a state is in: a frame's number."""
        at = self.states[state]
        while isinstance(at, Comment):
            at = self.states[at.back]
        return TOP if at is None else at.parent

    def depth(self, state: int) -> int:
        """How many containers are open."""
        return self.depths[self.parent(state)]

    def frame(self, number: int) -> Open:
        """An open container."""
        frame = self.frames[number]
        assert frame is not None
        return frame

    # States.

    def _state(self, state: State) -> int:
        key = (state.__class__, state)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.states)
            self.states.append(state)
            self._rows.append({})
            self._forgiving_rows.append({})
        return number

    def _opened(self, frame: Open) -> int:
        key = (frame.__class__, frame)
        number = self._frame_numbers.get(key)
        if number is None:
            number = self._frame_numbers[key] = len(self.frames)
            self.frames.append(frame)
            self.depths.append(self.depths[frame.frame.parent] + 1)
        return number

    def _next(self, state: int, byte: int) -> int:
        at = self.states[state]
        if isinstance(at, InString):
            return self._in_string(at, byte)
        if isinstance(at, InKey):
            return self._in_key(at, byte)
        if isinstance(at, InNumber):
            return self._in_number(at, byte)
        if isinstance(at, InWord):
            return self._in_word(at, byte)
        if isinstance(at, Comment):
            return self._in_comment(at, byte)
        if byte in SPACE:
            return state
        if byte == ord("/") and self.has_comments:
            return self._state(Comment(b"/", state))
        return self._structure(at, byte)

    def _structure(self, at: State | None, byte: int) -> int:
        if isinstance(at, Value):
            return self._begin(at.place, byte, at.parent)
        if isinstance(at, Item):
            return self._end_array(at.parent) if at.may_end and byte == ord("]") else self._begin_item(at.parent, byte)
        if isinstance(at, Key):
            if at.may_end and byte == ord("}"):
                return self._end_object(at.parent)
            return (
                self._state(InKey("", b"", at.parent)) if byte == ord('"') and self._key_may_be(at.parent, "") else DEAD
            )
        if isinstance(at, Colon):
            return self._state(Value(at.place, at.parent)) if byte == ord(":") else DEAD
        return self._after(at.parent, byte) if isinstance(at, After) and at.parent != TOP else DEAD

    def _after(self, parent: int, byte: int) -> int:
        """A comma or the container's end."""
        frame = self.frame(parent)
        if isinstance(frame, ObjectFrame):
            if byte == ord("}"):
                return self._end_object(parent)
            can = byte == ord(",") and (self.has_comments or self._key_may_be(parent, ""))
            return self._state(Key(self.has_comments, parent)) if can else DEAD
        if byte == ord("]"):
            return self._end_array(parent)
        can = byte == ord(",") and (self.has_comments or self.item(parent) is not None)
        return self._state(Item(self.has_comments, parent)) if can else DEAD

    def _in_comment(self, at: Comment, byte: int) -> int:
        if at.opened == b"/":
            return self._state(Comment(b"/" + bytes([byte]), at.back)) if byte in b"/*" else DEAD
        if at.opened == b"//":
            return at.back if byte in b"\r\n" else self._state(at)
        if at.opened == b"/**" and byte == ord("/"):
            return at.back
        return self._state(Comment(b"/**" if byte == ord("*") else b"/*", at.back))

    # Values.

    def _begin(self, place: Place, byte: int, parent: int) -> int:
        """The first byte of a value."""
        if byte == ord('"'):
            checked = 0 if place.texts is None else place.texts.checker.start
            failed = place.wrong["string"] | (0 if place.texts is None else place.texts.failed(checked))
            kept = self._unless_lost(place, failed, "string", parent)
            return (
                DEAD if kept is None else self._state(InString(kept, 0 if kept.texts is None else checked, b"", parent))
            )
        if byte == ord("{"):
            return self._begin_object(place, parent)
        if byte == ord("["):
            return self._begin_array(place, parent)
        if byte in WORDS:
            word, value = WORDS[byte]
            kept = self._unless_lost(place, place.constant(value), "null" if value is None else "boolean", parent)
            return DEAD if kept is None else self._state(InWord(kept, word, 1, parent))
        kept = self._unless_lost(place, place.wrong["number"], "number", parent)
        return DEAD if kept is None else self._in_number(InNumber(kept, kept.numbers.checker.start, parent), byte)

    def _unless_lost(self, place: Place, failed: int, kind: Kind, parent: int) -> Place | None:
        """The place, if a value may be right of which these are false; one without rules where all is forgiven."""
        if not self._is_lost(place, failed, kind, self.no_keys, parent):
            return place
        return self.places.anything if self._forgives else None

    def _is_lost(self, place: Place, failed: int, kind: Kind, keys: Keys, parent: int) -> bool:
        """Whether the document is, when these nodes of a value in it are false."""
        if not failed and place.is_plain:
            return False
        false = place.false_roots(place.hopes(failed, kind, keys))
        return bool(false) and self._is_doomed(parent, false)

    def _can_be(self, place: Place, parent: int) -> bool:
        """Whether there is a kind of value that may be right in a place."""
        return not all(self._is_lost(place, place.wrong[kind], kind, self.no_keys, parent) for kind in KINDS)

    def _is_doomed(self, number: int, false: int) -> bool:
        """Whether the document is, when these roots of a part of that container are false."""
        path: list[tuple[int, int]] = []
        doomed = self._doomed.get((number, false), number == TOP)
        while number != TOP and (number, false) not in self._doomed:
            path.append((number, false))
            opened = self.frame(number)
            frame = opened.frame
            failed = frame.failed | owners_of(frame.owners, false)
            kind: Kind = "object" if isinstance(opened, ObjectFrame) else "array"
            keys = opened.keys if isinstance(opened, ObjectFrame) else self.no_keys
            false = frame.place.false_roots(frame.place.hopes(failed, kind, keys)) if failed != frame.failed else 0
            if not false:
                doomed = False
                break
            number = frame.parent
            doomed = self._doomed.get((number, false), number == TOP)
        self._doomed.update(dict.fromkeys(path, doomed))
        return doomed

    def _ended(self, place: Place, failed: int, kind: Kind, parent: int, keys: Keys | None = None) -> int:
        """The state after a value of which these nodes are false by themselves."""
        true = place.truths(failed, kind, keys)
        false = place.false_roots(true)
        if false and self._is_doomed(parent, false):
            if not self._forgives:
                return DEAD
            false = 0
        if parent == TOP:
            return self._state(After(TOP))
        opened = self.frame(parent)
        frame = opened.frame
        done = frame._replace(failed=frame.failed | owners_of(frame.owners, false), owners=(), counted=())
        if isinstance(opened, ObjectFrame):
            return self._state(After(self._opened(opened._replace(frame=done))))
        counts = counted(frame, opened.counts, false)
        return self._state(After(self._opened(opened._replace(frame=done, counts=counts))))

    def _in_string(self, at: InString, byte: int) -> int:
        texts = at.place.texts
        if byte == ord('"') and not at.partial:
            failed = at.place.wrong["string"] | (0 if texts is None else texts.unmet(at.checked))
            return self._ended(at.place, failed, "string", at.parent)
        read = read_byte(at.partial, byte)
        if read is None:
            return DEAD
        if isinstance(read, bytes):
            return self._state(at._replace(partial=read))
        if texts is None:
            return self._state(at._replace(partial=b""))
        checked = texts.checker.step(at.checked, read)
        failed = texts.failed(checked)
        if (
            failed
            and not self._forgives
            and self._is_lost(at.place, failed | at.place.wrong["string"], "string", self.no_keys, at.parent)
        ):
            return DEAD
        return self._state(at._replace(checked=checked, partial=b""))

    def _in_number(self, at: InNumber, byte: int) -> int:
        numbers = at.place.numbers
        checked = numbers.checker.step(at.checked, byte)
        if checked == DEAD:
            after = self._end_number(at)
            return DEAD if after == DEAD else self._next(after, byte)
        failed = numbers.failed(checked)
        if (
            failed
            and not self._forgives
            and self._is_lost(at.place, failed | at.place.wrong["number"], "number", self.no_keys, at.parent)
        ):
            return DEAD
        return self._state(at._replace(checked=checked))

    def _end_number(self, at: InNumber) -> int:
        numbers = at.place.numbers
        if not numbers.checker.is_complete(at.checked):
            return DEAD
        return self._ended(at.place, numbers.unmet(at.checked) | at.place.wrong["number"], "number", at.parent)

    def _in_word(self, at: InWord, byte: int) -> int:
        if byte != at.word[at.read]:
            return DEAD
        if at.read + 1 < len(at.word):
            return self._state(at._replace(read=at.read + 1))
        value = dict(WORDS.values())[at.word]
        return self._ended(at.place, at.place.constant(value), "null" if value is None else "boolean", at.parent)

    # Objects.

    def _begin_object(self, place: Place, parent: int) -> int:
        kept = self._unless_lost(place, place.wrong["object"], "object", parent)
        if kept is None:
            return DEAD
        frame = Frame(kept, kept.wrong["object"], parent)
        return self._state(Key(True, self._opened(ObjectFrame(frame, self.no_keys))))

    def _in_key(self, at: InKey, byte: int) -> int:
        if byte == ord('"') and not at.partial:
            return self._end_key(at.text, at.parent)
        read = read_byte(at.partial, byte)
        if read is None:
            return DEAD
        if isinstance(read, bytes):
            return self._state(at._replace(partial=read))
        text = at.text + read
        return self._state(InKey(text, b"", at.parent)) if self._key_may_be(at.parent, text) else DEAD

    def _key_may_be(self, parent: int, start: str) -> bool:
        """Whether there may be one more key that begins with `start`."""
        if self._forgives:
            return True
        opened = self.frame(parent)
        assert isinstance(opened, ObjectFrame)
        place, failed = opened.frame.place, opened.frame.failed
        new = self._new_keys(parent)
        if place.has_names and new != "none":
            refused = failed | place.names_refused(start, failed)
            if self._is_lost(place, refused, "object", opened.keys, opened.frame.parent):
                return False
        if new != "known":
            return new == "any"
        if any(key.startswith(start) and key not in opened.keys for key in place.known_keys(failed)):
            return True
        return place.may_match(start, failed)

    def _new_keys(self, parent: int) -> Literal["any", "known", "none"]:
        """Which keys an object may get: any, those that schemas know, or none, as it is full."""
        if parent not in self._keys_allowed:
            opened = self.frame(parent)
            assert isinstance(opened, ObjectFrame)
            frame, place = opened.frame, opened.frame.place
            full = frame.failed | place.too_many_keys(len(opened.keys) + 1)
            refusing = full | place.refuses_new_keys(frame.failed)
            if self._is_lost(place, full, "object", opened.keys, frame.parent):
                self._keys_allowed[parent] = "none"
            elif self._is_lost(place, refusing, "object", opened.keys, frame.parent):
                self._keys_allowed[parent] = "known"
            else:
                self._keys_allowed[parent] = "any"
        return self._keys_allowed[parent]

    def _end_key(self, key: str, parent: int) -> int:
        opened = self.frame(parent)
        assert isinstance(opened, ObjectFrame)
        if key in opened.keys:
            return DEAD
        frame = opened.frame
        part = frame.place.at_key(key, frame.failed)
        failed = frame.failed | part.failed | frame.place.too_many_keys(len(opened.keys) + 1)
        keys = opened.keys.with_all([key])
        if not self._is_lost(frame.place, failed, "object", keys, frame.parent):
            inside = self._opened(ObjectFrame(frame._replace(failed=failed, owners=part.owners), keys))
            if self._can_be(part.place, inside):
                return self._state(Colon(part.place, inside))
        if not self._forgives:
            return DEAD
        return self._state(Colon(self.places.anything, self._opened(ObjectFrame(frame, keys))))

    def _end_object(self, number: int) -> int:
        opened = self.frame(number)
        assert isinstance(opened, ObjectFrame)
        frame = opened.frame
        failed = frame.place.ends_object(frame.failed, opened.keys)
        return self._ended(frame.place, failed, "object", frame.parent, opened.keys)

    # Arrays.

    def _begin_array(self, place: Place, parent: int) -> int:
        kept = self._unless_lost(place, place.wrong["array"], "array", parent)
        if kept is None:
            return DEAD
        frame = Frame(kept, kept.wrong["array"], parent)
        return self._state(Item(True, self._opened(ArrayFrame(frame, counts=(0,) * len(kept.counters)))))

    def item(self, number: int) -> tuple[Place, int] | None:
        """The place of one more item, and the array's frame around it; None if there can be none."""
        opened = self.frame(number)
        assert isinstance(opened, ArrayFrame)
        frame = opened.frame
        part = frame.place.at_index(opened.length, frame.failed)
        failed = frame.failed | part.failed
        length = min(opened.length + 1, frame.place.watched_items + 1)
        if not self._is_lost(frame.place, failed, "array", self.no_keys, frame.parent):
            now = frame._replace(failed=failed, owners=part.owners, counted=part.counted)
            inside = self._opened(opened._replace(frame=now, length=length))
            if self._can_be(part.place, inside):
                return part.place, inside
        if not self._forgives:
            return None
        return self.places.anything, self._opened(opened._replace(length=length))

    def _begin_item(self, number: int, byte: int) -> int:
        item = self.item(number)
        return DEAD if item is None else self._begin(item[0], byte, item[1])

    def _end_array(self, number: int) -> int:
        opened = self.frame(number)
        assert isinstance(opened, ArrayFrame)
        frame = opened.frame
        failed = frame.place.ends_array(frame.failed, opened.length, opened.counts)
        return self._ended(frame.place, failed, "array", frame.parent)
