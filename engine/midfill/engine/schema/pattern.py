"""Regular expressions followed a character at a time, in bounded time and memory whatever the pattern."""

from collections.abc import Sequence
from functools import cached_property

from midfill.engine.schema.char_sets import is_word
from midfill.engine.schema.constraint import DEAD
from midfill.engine.schema.pattern_graph import FINAL, UNREACHABLE, Graph, bits
from midfill.engine.schema.pattern_memory import PatternMemory
from midfill.engine.schema.pattern_syntax import UnsupportedPattern
from midfill.engine.schema.text_search import shortest_texts

MATCHED = 1
"""The state of every pattern in which the text holds a match, whatever comes next."""

_LOST = 2
"""Where a pattern goes that would need more memory than it may have: from there nothing is accepted or ruled out."""

_STATE_BITS = 8192
"""About 1 KiB, of a state beside its set of positions."""
_MAX_SEARCHED = 4096
_PLAIN = "a0AZT-_. bcxyz/:@,;+*=~!?#$%&()[]{}<>|^`'" + "123456789B" + "\u00e9\u4e00\n\t"

_AT_START, _AFTER_WORD, _AFTER_OTHER, _AT_END = range(4)


class Pattern:
    """Whether a text contains a match: states are small integers, made as they are met. See `Patterns`."""

    def __init__(self, graph: Graph, memory: PatternMemory) -> None:
        """Raises `UnsupportedPattern` where there is too little memory left for it."""
        self._graph = graph
        self._share = memory.share_of(self)
        if not self._share.take(len(graph.follow) ** 2):
            raise UnsupportedPattern("more than the memory that is left for patterns")
        self._edges = graph.assertions.get("b", 0) | graph.assertions.get("B", 0)
        self._asserting = sum(graph.assertions.values())
        self._lasting = _lasting(graph)
        self._classes: dict[str, int] = {}
        self._accepted_by: list[tuple[int, bool]] = []
        self._class_ids: dict[tuple[int, bool], int] = {}
        self._ids: dict[tuple[int, int], int] = {}
        self._sets: list[tuple[int, int]] = []
        self._rows: list[dict[str, int]] = []
        self._moves: list[dict[int, int]] = []
        self._accepts: list[bool] = []
        self._distances: list[int | None] = []
        for accepts, distance in ((False, UNREACHABLE), (True, 0), (False, 1)):
            self._new_state(0, _AFTER_OTHER, accepts)
            self._distances[-1] = distance
        start = self._state(graph.first, _AT_START)
        self.start = start if self.distance(start) < UNREACHABLE else DEAD

    def step(self, state: int, char: str) -> int:
        """The state after one more character; `DEAD` if no continuation can hold a match any more."""
        after = self._rows[state].get(char)
        return self._explore(state, char) if after is None else after

    def accepts(self, state: int) -> bool:
        """Whether the text so far contains a match, if it ends here."""
        return self._accepts[state]

    def distance(self, state: int) -> int:
        """How many more characters a match needs at least; `UNREACHABLE` if there is none."""
        known = self._distances[state]
        if known is None:
            known = self._distances[state] = self._far(*self._sets[state])
        return known

    def shortest(self, state: int) -> str | None:
        """The shortest text from here to a match, of equals the plainest; None where none was found."""
        found = shortest_texts(state, self.samples, self.step, self.accepts, self.distance, _MAX_SEARCHED)
        return next(found, None)

    @cached_property
    def samples(self) -> Sequence[str]:
        """One character of each class, the plainest that there is, plainest first."""
        edges = (point for chars in self._graph.chars for span in chars.ranges for point in (*span, span[1] + 1))
        some = (chr(point) for point in edges if point <= 0x10FFFF)
        found: dict[int, str] = {}
        for char in (*_PLAIN, *_of_categories(self._graph), *some):
            found.setdefault(self.class_of(char), char)
        return list(found.values())

    def class_of(self, char: str) -> int:
        """A number that is the same for all characters that this pattern does not tell apart."""
        known = self._classes.get(char)
        if known is None:
            accepted = sum(mask for chars, mask in self._graph.chars.items() if chars.has(char))
            key = (accepted, bool(self._edges) and is_word(char))
            known = self._classes[char] = self._class_ids.setdefault(key, len(self._accepted_by))
            if known == len(self._accepted_by):
                self._accepted_by.append(key)
        return known

    def _explore(self, state: int, char: str) -> int:
        """The step that was not taken before."""
        char_class = self.class_of(char)
        after = state if state <= _LOST else self._moves[state].get(char_class)
        if after is None:
            after = self._moves[state][char_class] = self._move(*self._sets[state], *self._accepted_by[char_class])
        self._rows[state][char] = after
        return after

    def _move(self, positions: int, before: int, accepted: int, word: bool) -> int:
        after = _AFTER_WORD if word else _AFTER_OTHER
        crossed = self._cross(positions, before, after)
        if crossed & FINAL:
            return MATCHED
        moved = self._graph.first | self._graph.followers(crossed & accepted)
        return self._state(moved & self._lasting, after)

    def _state(self, positions: int, before: int) -> int:
        if positions & FINAL:
            return MATCHED
        if not positions:
            return DEAD
        known = self._ids.get((positions, before))
        if known is not None:
            return known
        if not self._share.take(len(self._graph.follow) + _STATE_BITS):
            return _LOST
        accepts = bool(self._cross(positions, before, _AT_END) & FINAL)
        self._ids[positions, before] = self._new_state(positions, before, accepts)
        return len(self._sets) - 1

    def _new_state(self, positions: int, before: int, accepts: bool) -> int:
        self._sets.append((positions, before))
        self._rows.append({})
        self._moves.append({})
        self._accepts.append(accepts)
        self._distances.append(0 if accepts else None)
        return len(self._sets) - 1

    def _cross(self, positions: int, before: int, after: int) -> int:
        """These positions and those behind the assertions that hold between two neighbours."""
        waiting = positions & self._asserting
        while waiting:
            reached = 0
            for position in bits(waiting):
                if _holds(self._graph.assertion(position), before, after):
                    reached |= self._graph.follow[position]
            waiting = reached & self._asserting & ~positions
            positions |= reached
        return positions

    def _far(self, positions: int, before: int) -> int:
        if before == _AT_START:
            positions = self._cross(positions, before, _AFTER_OTHER) | self._cross(positions, before, _AFTER_WORD)
        within = [self._graph.distance[position] for position in bits(positions)]
        return max(1, min(within, default=UNREACHABLE))


def _lasting(graph: Graph) -> int:
    """The positions from which a match can be reached once a character was read."""
    within = (1 << at for at, distance in enumerate(graph.distance) if distance < UNREACHABLE)
    return sum(within)


def _holds(kind: str | None, before: int, after: int) -> bool:
    if kind == "^":
        return before == _AT_START
    if kind == "$":
        return after == _AT_END
    at_edge = (before == _AFTER_WORD) != (after == _AFTER_WORD)
    return at_edge is (kind == "b")


def _of_categories(graph: Graph) -> str:
    """Letters of many kinds, where a pattern names general categories."""
    named = any(chars.categories for chars in graph.chars)
    return "Aaǅʰªःः̀⃝Ⅷ²‿—«»¡$^©\u2028\u2029\x01\xad\ue000\u0378" if named else ""
