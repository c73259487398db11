"""A hole in a JSON document: what may stand in it, given all that stands before and after."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from midfill.engine.schema.automaton import Automaton
from midfill.engine.schema.constraint import DEAD
from midfill.engine.schema.json_text import begun_string
from midfill.engine.schema.moves import PART_COST, Move, lacking_keys, missing_keys, moves
from midfill.engine.schema.place import MOST_PARTS
from midfill.engine.schema.rest import Rest
from midfill.engine.schema.states import TOP, ArrayFrame, Colon, InKey, InString, ObjectFrame, Value
from midfill.engine.schema.style import style_of

MOST_CONTINUATIONS = 64
MOST_READ = 2_000_000
"""Bytes of the suffix that searches may read, in all: each asks where the hole may end, and may read it anew."""
OPENING_COST = 48
"""A guess at what another container costs, with the comma and the key before it."""
SPACE = b" \t\r\n"


STATES_A_STEP = 8
"""Each takes up to a millisecond while a schema is new."""
Holding = Literal["all", "grammar", "near"]
"""All of the document; where that is broken elsewhere, only its grammar, with no new error before the next comma or
bracket; where even that is broken, what is near.
"""


class Effort(NamedTuple):
    """How many states a search for a completion looks at."""

    start: int = 1500
    elsewhere: int = 150


class Gap:
    """The constraint of a fill between `prefix` and `suffix`.

    It takes a while to find out how the hole begins: `settling` does so a little at a time, or the first question does.
    """

    def __init__(self, automaton: Automaton, prefix: str, suffix: str, effort: Effort | None = None) -> None:
        self.automaton, self._effort = automaton, effort or Effort()
        self._before = prefix.encode(errors="replace")
        self._suffix = suffix.encode(errors="replace")
        self._style = style_of(prefix[-8192:] + suffix[:8192])
        self._is_spaced = self._before[-1:] in SPACE and bool(self._before)
        self._continuations: dict[int, list[bytes]] = {}
        self._wanted: dict[int, int] = {}
        self._stacks = {TOP: 0}
        self._outside, self._inside = Rest(self._suffix, is_string=False), Rest(self._suffix, is_string=True)
        self._likely = self._inside if self._inside.is_whole and not self._outside.is_whole else self._outside
        self._unread = MOST_READ
        self._exits: dict[int, bool] = {}
        self._ends: dict[tuple[bool, int, int], bool] = {}
        self._completions: dict[int, bytes | None] = {}
        self._begun = begun_string(prefix)
        self._holds: Holding = "all"
        self._start = DEAD
        self._settling = self._settle()

    def settling(self) -> Iterator[None]:
        """Finds out what there is to know of the start; yields every few milliseconds. Read to its end, it is known."""
        yield from self._settling

    @property
    def start(self) -> int:
        """The state before the hole's first byte."""
        for _ in self._settling:
            pass
        return self._start

    @property
    def holds(self) -> Holding:
        """How much of the document a fill can be held to."""
        for _ in self._settling:
            pass
        return self._holds

    def _settle(self) -> Iterator[None]:
        self._start = self.automaton.after(self._before)
        if self._start == DEAD:
            self._holds = "grammar"
            self._start = self.automaton.run_forgiving(self.automaton.start, self._before)
        yield
        while self._start != DEAD:
            yield from self._search(self._start, self._effort.start)
            if self._completions.setdefault(self._start) is not None or self._holds == "near":
                return
            self._holds = "grammar" if self._holds == "all" and self._unread > 0 else "near"
            self._unread = max(self._unread, MOST_READ // 4)
            self._exits.clear()
            self._completions.clear()

    def step(self, state: int, byte: int) -> int:
        """The state after one more byte."""
        return self.automaton.step(state, byte)

    def is_exit(self, state: int) -> bool:
        """Whether the hole may end here."""
        if state not in self._exits:
            self._exits[state] = state != DEAD and self._leads_out(state)
        return self._exits[state]

    def _leads_out(self, state: int) -> bool:
        if self._holds == "all":
            return self._has_depth(state) and self._ends_well(state)
        if self._holds == "grammar" and not self._has_depth(state):
            return False
        is_near = self.automaton.run(state, self._nearest()) != DEAD
        if self._holds == "near" or not is_near:
            return is_near
        self._unread -= len(self._suffix)
        return self.automaton.accepts(self.automaton.run_forgiving(state, self._suffix))

    def _nearest(self) -> bytes:
        """The suffix up to the next comma or bracket, which is where an error before it must have shown."""
        length = next((place for place, byte in enumerate(self._suffix) if byte in b",]}"), len(self._suffix) - 1)
        return self._suffix[: length + 1]

    def _has_depth(self, state: int) -> bool:
        """Whether as many containers are open as the suffix closes; where comments may be, that cannot be counted."""
        if self.automaton.has_comments:
            return True
        return self._rest(state).depth == self.automaton.depth(state)

    def _rest(self, state: int) -> Rest:
        """The suffix as it is read from a state."""
        at = self.automaton.states[state]
        return self._inside if isinstance(at, InString | InKey) else self._outside

    def _ends_well(self, state: int) -> bool:
        """Whether the document is right if it goes on from `state` with the suffix.

        Remembered where an enclosing container ends: what stood in it makes little difference from there on.
        """
        rest = self._rest(state)
        is_inside = rest is self._inside
        path: list[tuple[bool, int, int]] = []
        for number, piece in enumerate(rest.pieces):
            if state == DEAD or (is_inside, number, state) in self._ends:
                break
            path.append((is_inside, number, state))
            self._unread -= len(piece)
            state = self.automaton.run(state, piece)
        ends = self._ends.get((is_inside, len(path), state))
        ends = state != DEAD and self.automaton.accepts(state) if ends is None else ends
        self._ends.update(dict.fromkeys(path, ends))
        return ends

    def continuations(self, state: int) -> Sequence[bytes]:
        """Texts that may well come next."""
        if state not in self._continuations:
            cheapest = sorted(self._moves_from(state), key=lambda move: move.cost)[:MOST_CONTINUATIONS]
            living = [move.text for move in cheapest if self.automaton.run(state, move.text) != DEAD]
            self._continuations[state] = living
        return self._continuations[state]

    def _moves_from(self, state: int) -> list[Move]:
        if state == DEAD:
            return []
        begun = self._begun if state == self._start else None
        found = moves(self.automaton, state, self._style, self._likely, begun)
        if state != self._start or not self._is_spaced:
            return found
        stripped = [Move(move.text.lstrip(SPACE), move.cost) for move in found]  # the white space is there already
        return [move for move in stripped if move.text]

    def completion(self, state: int) -> bytes | None:
        """A short text from here to an exit, the cheapest that a bounded search finds."""
        if state not in self._completions:
            self._completions[state] = None
            for _ in self._search(state, self._effort.start if state == self._start else self._effort.elsewhere):
                pass
        return self._completions[state]

    def _search(self, start: int, effort: int) -> Iterator[None]:
        """Looks for an exit, cheapest texts first, and remembers what was found for all states on the way there.

        The cost of a state is what led to it and what it still needs, by a guess. A move is only tried when its turn
        comes: most never do.
        """
        order = itertools.count()
        waiting = [(0, next(order), 0, start, Move(b"", 0))]
        came: dict[int, tuple[int, bytes]] = {}
        done: set[int] = {DEAD}
        while waiting and len(done) <= effort and self._unread > 0:
            _, _, spent, before, move = heapq.heappop(waiting)
            state = self.automaton.run(before, move.text)
            if state in done:
                continue
            done.add(state)
            if len(done) % STATES_A_STEP == 0:
                yield
            if move.text:
                came[state] = (before, move.text)
            known = self._completions.get(state)
            if known is not None or self.is_exit(state):
                self._remember(state, known or b"", came)
                return
            far = self._far(state)
            for each in self._moves_from(state):
                total = spent + each.cost
                heapq.heappush(waiting, (total + far, next(order), total, state, each))

    def _far(self, state: int) -> int:
        """A guess at what it costs from here to an exit: brackets to close, and keys and items that must be there."""
        number, depth = self.automaton.parent(state), self.automaton.depth(state)
        far = self._stack_far(number)
        at = self.automaton.states[state]
        if isinstance(at, Value | Colon):
            far += PART_COST * at.place.least_parts()
        while number != TOP:
            far += self._wants(number, depth)
            number, depth = self.automaton.frame(number).frame.parent, depth - 1
        return far

    def _stack_far(self, number: int) -> int:
        """The part of that guess for containers to close, and to open since the suffix closes them."""
        shared = self._shared(number)
        return self.automaton.depths[number] - shared + OPENING_COST * (self._likely.depth - shared)

    def _shared(self, number: int) -> int:
        """How many of the open containers, from the outermost, are such as the suffix closes."""
        path: list[int] = []
        while number not in self._stacks:
            path.append(number)
            number = self.automaton.frame(number).frame.parent
        shared = self._stacks[number]
        for number in reversed(path):
            above = self.automaton.depths[number] - 1
            closer = b"}" if isinstance(self.automaton.frame(number), ObjectFrame) else b"]"
            is_such = shared == above and self._likely.containers[above : above + 1] == closer
            self._stacks[number] = shared = shared + is_such
        return shared

    def _wants(self, number: int, depth: int) -> int:
        """The part of that guess for one open container."""
        if number not in self._wanted:
            opened = self.automaton.frame(number)
            if isinstance(opened, ObjectFrame):
                later = self._likely.keys(depth)
                missing = missing_keys(opened, later)[:MOST_PARTS]
                wanted = sum(opened.frame.place.parts_at(key, opened.frame.failed) for key in missing)
                wanted = max(wanted, min(lacking_keys(opened, later), MOST_PARTS))
            else:
                wanted = self._wanted_items(opened) if depth > self._likely.depth else 0
            self._wanted[number] = PART_COST * wanted
        return self._wanted[number]

    def _wanted_items(self, opened: ArrayFrame) -> int:
        place, failed = opened.frame.place, opened.frame.failed
        missing = min(place.needed_items(failed) - opened.length, MOST_PARTS)
        return missing * place.parts_at(opened.length, failed) if missing > 0 else 0

    def _remember(self, state: int, text: bytes, came: dict[int, tuple[int, bytes]]) -> None:
        self._completions[state] = text
        while state in came:
            state, step = came[state]
            text = step + text
            self._completions[state] = text
