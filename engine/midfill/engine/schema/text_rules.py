"""What several rules say of one string, read a character at a time: its length, patterns and the texts it may be."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from heapq import nsmallest
from itertools import islice
from typing import NamedTuple

from midfill.engine.schema.constraint import DEAD
from midfill.engine.schema.pattern import Pattern
from midfill.engine.schema.pattern_graph import UNREACHABLE, bits
from midfill.engine.schema.text_search import shortest_texts

MAX_COUNTED = 16_384
"""Lengths beyond are not counted: a rule that asks for more is taken to be met here, and checked at the end."""

_MAX_ENDINGS = 32
_MAX_TRIED = 2048
_MAX_SEARCHED = 1024


class TextRule(NamedTuple):
    """What a string must be: its length in characters, patterns found in it, the only texts it may be."""

    min_length: int = 0
    max_length: int | None = None
    patterns: tuple[Pattern, ...] = ()
    literals: frozenset[str] | None = None


class _Watched(NamedTuple):
    """A rule as it is followed: `patterns` are numbers of the checker's patterns, `literals` are sorted.

    Literals that break the rest of their rule are left out, and then the rest is.
    """

    min_length: int
    max_length: int
    patterns: tuple[int, ...]
    literals: list[str] | None


class _Place(NamedTuple):
    """Where the text is. What only failed rules look at is zero, so that such places are one.

    `spans`: for each rule the part of its literals that start with the text, and the text's length.
    """

    failed: int
    count: int
    patterns: tuple[int, ...]
    spans: tuple[tuple[int, int, int], ...]


_NO_SPAN = (0, 0, 0)


class TextChecker:
    """Several rules on one string: states are small integers, made as they are met."""

    def __init__(self, rules: Sequence[TextRule]) -> None:
        self._patterns = list(dict.fromkeys(pattern for rule in rules for pattern in rule.patterns))
        self._rules = [self._watched(rule) for rule in rules]
        self._ids: dict[_Place, int] = {}
        self._places: list[_Place] = []
        self._rows: list[dict[str, int]] = []
        self._moves: list[dict[str | tuple[int, ...], int]] = []
        self._failed: list[int] = []
        self._unmet: list[int] = []
        self._endings: dict[tuple[int, int], list[str]] = {}
        spans = [_NO_SPAN if rule.literals is None else (0, len(rule.literals), 0) for rule in self._rules]
        self.start = self._state(_Place(0, 0, tuple(pattern.start for pattern in self._patterns), tuple(spans)))

    def step(self, state: int, char: str) -> int:
        """The state after one more character. No state is dead: rules fail, and the text goes on."""
        after = self._rows[state].get(char)
        return self._explore(state, char) if after is None else after

    def failed(self, state: int) -> int:
        """Bit i: no continuation of the text meets rule i."""
        return self._failed[state]

    def unmet(self, state: int) -> int:
        """Bit i: the text, ended here, does not meet rule i."""
        return self._unmet[state]

    def endings(self, state: int, wanted: int) -> list[str]:
        """Texts to append so that the rules of the mask `wanted` all hold, shortest first; at most 32."""
        known = self._endings.get((state, wanted))
        if known is None:
            found = () if self._failed[state] & wanted else self._ends(state, wanted)
            known = self._endings[state, wanted] = list(dict.fromkeys(islice(found, _MAX_ENDINGS)))
        return known

    def _watched(self, rule: TextRule) -> _Watched:
        numbers = tuple(dict.fromkeys(self._patterns.index(pattern) for pattern in rule.patterns))
        most = MAX_COUNTED if rule.max_length is None else rule.max_length
        most = UNREACHABLE if most >= MAX_COUNTED else most
        if rule.literals is not None:
            return _Watched(0, UNREACHABLE, (), sorted(text for text in rule.literals if _is_met(rule, text)))
        return _Watched(min(rule.min_length, MAX_COUNTED), most, numbers, None)

    def _explore(self, state: int, char: str) -> int:
        """The step that was not taken before; all characters that no rule tells apart here are taken together."""
        place = self._places[state]
        literal = any(high for _, high, _ in place.spans)
        kind = char if literal else tuple(pattern.class_of(char) for pattern in self._patterns)
        after = self._moves[state].get(kind)
        if after is None:
            after = self._moves[state][kind] = self._move(place, char)
        self._rows[state][char] = after
        return after

    def _move(self, place: _Place, char: str) -> int:
        patterns = tuple(
            each.step(at, char) if at != DEAD else DEAD for each, at in zip(self._patterns, place.patterns, strict=True)
        )
        spans = tuple(
            _NO_SPAN if rule.literals is None else _narrowed(rule.literals, span, char)
            for rule, span in zip(self._rules, place.spans, strict=True)
        )
        return self._state(_Place(place.failed, place.count + 1, patterns, spans))

    def _state(self, place: _Place) -> int:
        known = self._ids.get(place)
        if known is None:
            known = self._ids[place] = self._judged(place)
        return known

    def _judged(self, place: _Place) -> int:
        """The state of a place that was not come to before, though others that are as good may have been."""
        failed = place.failed
        for number, rule in enumerate(self._rules):
            if not failed >> number & 1 and _is_lost(rule, self._away(rule, place), place, place.spans[number]):
                failed |= 1 << number
        place = self._told_apart(place._replace(failed=failed))
        known = self._ids.get(place)
        if known is None:
            known = self._ids[place] = len(self._places)
            self._places.append(place)
            self._rows.append({})
            self._moves.append({})
            self._failed.append(failed)
            self._unmet.append(self._unmet_at(place))
        return known

    def _told_apart(self, place: _Place) -> _Place:
        """The same place without what no rule looks at that can still be met."""
        alive = [(number, rule) for number, rule in enumerate(self._rules) if not place.failed >> number & 1]
        counted = max((_counted(rule) for _, rule in alive), default=0)
        watched = {number for _, rule in alive for number in rule.patterns}
        kept = {number for number, _ in alive}
        return place._replace(
            count=min(place.count, counted),
            patterns=tuple(at if number in watched else DEAD for number, at in enumerate(place.patterns)),
            spans=tuple(span if number in kept else _NO_SPAN for number, span in enumerate(place.spans)),
        )

    def _unmet_at(self, place: _Place) -> int:
        unmet = place.failed
        for number, rule in enumerate(self._rules):
            low, high, length = place.spans[number]
            if rule.literals is not None:
                met = low < high and len(rule.literals[low]) == length
            else:
                met = rule.min_length <= place.count <= rule.max_length
                met = met and all(self._patterns[each].accepts(place.patterns[each]) for each in rule.patterns)
            unmet |= (not met) << number
        return unmet

    def _away(self, rule: _Watched, place: _Place) -> int:
        """How many more characters the rule needs at least, as far as lengths and patterns tell."""
        far = max((self._patterns[each].distance(place.patterns[each]) for each in rule.patterns), default=0)
        return max(far, rule.min_length - place.count)

    def _ends(self, state: int, wanted: int) -> Iterator[str]:
        rules = [(number, self._rules[number]) for number in bits(wanted)]
        spans = [(self._places[state].spans[number], rule.literals) for number, rule in rules if rule.literals]
        if spans:
            (low, high, length), literals = min(spans, key=lambda each: each[0][1] - each[0][0])
            rests = (text[length:] for text in literals[low:high])
            shortest = nsmallest(_MAX_TRIED, rests, key=lambda text: (len(text), text))
            return (text for text in shortest if not self._unmet[self._run(state, text)] & wanted)
        return self._search(state, wanted, [rule for _, rule in rules])

    def _search(self, state: int, wanted: int, rules: list[_Watched]) -> Iterator[str]:
        def distance(at: int) -> int:
            if self._failed[at] & wanted:
                return UNREACHABLE
            return max((self._away(rule, self._places[at]) for rule in rules), default=0)

        def is_goal(at: int) -> bool:
            return not self._unmet[at] & wanted

        patterns = [
            self._patterns[number] for number in dict.fromkeys(each for rule in rules for each in rule.patterns)
        ]
        budget = _MAX_SEARCHED // max(1, len(patterns))  # each step is one of every pattern
        return shortest_texts(state, _alphabet(patterns), self.step, is_goal, distance, budget)

    def _run(self, state: int, text: str) -> int:
        for char in text:
            state = self.step(state, char)
        return state


def _is_met(rule: TextRule, text: str) -> bool:
    """Whether a text meets a rule's lengths and patterns."""
    if not rule.min_length <= len(text) <= (len(text) if rule.max_length is None else rule.max_length):
        return False
    for pattern in rule.patterns:
        state = pattern.start
        for char in text:
            state = pattern.step(state, char)
        if not pattern.accepts(state):
            return False
    return True


def _is_lost(rule: _Watched, away: int, place: _Place, span: tuple[int, int, int]) -> bool:
    if rule.literals is not None:
        return span[0] >= span[1]
    return away >= UNREACHABLE or place.count + away > rule.max_length


def _counted(rule: _Watched) -> int:
    """The largest length that this rule tells from longer ones."""
    return rule.min_length if rule.max_length == UNREACHABLE else max(rule.min_length, rule.max_length + 1)


def _narrowed(literals: list[str], span: tuple[int, int, int], char: str) -> tuple[int, int, int]:
    """The literals of a span that go on with this character."""
    low, high, length = span

    def at_length(text: str) -> str:
        return text[length : length + 1]

    return (
        bisect_left(literals, char, low, high, key=at_length),
        bisect_right(literals, char, low, high, key=at_length),
        length + 1,
    )


def _alphabet(patterns: list[Pattern]) -> list[str]:
    """One character for each way in which these patterns tell characters apart."""
    found: dict[tuple[int, ...], str] = {}
    for char in ("a", *(char for pattern in patterns for char in pattern.samples)):
        found.setdefault(tuple(pattern.class_of(char) for pattern in patterns), char)
    return list(found.values())
