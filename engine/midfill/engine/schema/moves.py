"""What may well come next in a document: keys that are missing, values that the schema names, closing brackets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from midfill.engine.schema.automaton import Automaton
from midfill.engine.schema.nodes import Node, run
from midfill.engine.schema.place import Place
from midfill.engine.schema.rest import Rest
from midfill.engine.schema.states import (
    TOP,
    After,
    ArrayFrame,
    Colon,
    Comment,
    InKey,
    InNumber,
    InString,
    InWord,
    Item,
    Key,
    ObjectFrame,
    Value,
)
from midfill.engine.schema.string_texts import formatted, names, wanted
from midfill.engine.schema.style import Style

MOST_CHOICES = 48
OPTIONAL = 24
"""What a key or an item that nothing asks for costs more than one that must be."""


PART_COST = 12
"""Guessed, of a key with its value, or of an item: rather too much, which leads straight on."""


class Move(NamedTuple):
    """Text that goes on from a state, and what it costs to choose it."""

    text: bytes
    cost: int


def moves(automaton: Automaton, state: int, style: Style, rest: Rest, begun: str | None = None) -> list[Move]:
    """Texts that may lead on from `state`, no two alike; some lead nowhere.

    Where the end of a text is there already, as `rest`, its beginning is one too. `begun` is the string value that the
    state is in, as far as it goes, where that is known: the state alone does not tell whether it has a format.
    """
    found: dict[bytes, int] = {}
    for text, cost in _moves(automaton, state, style, rest, begun):
        data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
        for beginning in (data, *_beginnings(data, rest.text)):
            found.setdefault(beginning, cost)
    found.pop(b"", None)
    return [Move(text, cost) for text, cost in found.items()]


def _beginnings(text: bytes, suffix: bytes) -> Iterator[bytes]:
    """What is missing of `text` before `suffix`, if that begins with the rest of it."""
    place = text.find(suffix[:1], 1) if suffix else -1
    while 0 < place < len(text):
        if suffix.startswith(text[place:]):
            yield text[:place]
        place = text.find(suffix[:1], place + 1)


def _moves(
    automaton: Automaton, state: int, style: Style, rest: Rest, begun: str | None
) -> Iterator[tuple[str | bytes, int]]:
    at = automaton.states[state]
    depth = automaton.depth(state)
    match at:
        case Value():
            yield from _values(at.place)
        case Colon():
            yield style.colon, 1
        case Item():
            if at.may_end:
                yield "]", 1
            yield from _items(automaton, at.parent, style, depth)
        case Key():
            yield from _keys(automaton, at, style, depth, rest.keys(depth))
        case InKey():
            yield from _key_endings(automaton, at, rest.keys(depth))
        case InString():
            yield from _string_endings(at, begun)
        case InNumber():
            yield from _number_endings(at)
            if at.parent != TOP:
                yield from _after(automaton, at.parent, style, depth, rest.keys(depth))
        case InWord():
            yield at.word[at.read :], 1
        case After() if at.parent != TOP:
            yield from _after(automaton, at.parent, style, depth, rest.keys(depth))
        case Comment():
            yield ("\n" if at.opened == b"//" else "*/"), 1
        case _:
            pass


def _after(
    automaton: Automaton, parent: int, style: Style, depth: int, later: frozenset[str]
) -> Iterator[tuple[str, int]]:
    """Another item or key, or the end of the container."""
    opened = automaton.frame(parent)
    closer = "}" if isinstance(opened, ObjectFrame) else "]"
    yield style.before_item(depth - 1) + closer, 1
    wants_more = isinstance(opened, ObjectFrame) and (missing_keys(opened, later) or lacking_keys(opened, later))
    yield ",", 1 if wants_more else OPTIONAL


def missing_keys(opened: ObjectFrame, later: frozenset[str]) -> tuple[str, ...]:
    """Keys that an open object needs, has not, and does not get `later` in the document."""
    keys = opened.keys.with_all(later - {""})
    return opened.frame.place.needs(opened.frame.failed, keys, are_whole=not opened.frame.owners)


def lacking_keys(opened: ObjectFrame, later: frozenset[str]) -> int:
    """How many more keys an open object has to have, whichever they are."""
    return max(0, opened.frame.place.needed_keys(opened.frame.failed) - len(opened.keys.with_all(later - {""})))


def _hopeful(place: Place, failed: int) -> Iterator[Node]:
    hopes = place.hopes(failed)
    return (node for index, node in enumerate(place.nodes) if hopes >> index & 1)


def _keys(automaton: Automaton, at: Key, style: Style, depth: int, later: frozenset[str]) -> Iterator[tuple[str, int]]:
    """Keys: the first that is missing before all others, as to try them in each order would take for ever.

    Those that come `later` in the document cannot come now, where they are not of another object after all.
    """
    opened = automaton.frame(at.parent)
    assert isinstance(opened, ObjectFrame)
    space = style.after_comma(depth) if opened.keys else style.before_item(depth)
    missing = missing_keys(opened, later)
    if at.may_end:
        yield "}", OPTIONAL if missing else 1
    known = [key for key in opened.frame.place.known_keys(opened.frame.failed) if key not in opened.keys]
    wants_more = bool(missing) or lacking_keys(opened, later) > 0
    for order, key in enumerate(dict.fromkeys([*missing, *known][:MOST_CHOICES])):
        is_first = order == 0 and wants_more and key not in later
        yield f"{space}{_spelled(key)}", 1 if is_first else OPTIONAL + PART_COST * (1 + (key in later))
    others = [key for key in dict.fromkeys(_other_keys(automaton, opened, "")) if key not in opened.keys]
    for order, key in enumerate(others):
        is_first = order == 0 and wants_more and not known
        yield f"{space}{_spelled(key)}", 1 if is_first else 2 * OPTIONAL + min(order, PART_COST)
    yield f'{space}"', 1 if "" in later else 3 * OPTIONAL  # the empty one: a key whose end is there already


def _other_keys(automaton: Automaton, opened: ObjectFrame, start: str) -> Iterator[str]:
    """Keys with this start that no schema names: those that patterns and `propertyNames` want, and plain ones."""
    for node in _hopeful(opened.frame.place, opened.frame.failed):
        for pattern, _ in node.patterns:
            rest = pattern.shortest(run(pattern, start))
            yield from (start + rest + more for more in ("", "a", "1") if rest is not None)
        if node.names is not None:
            yield from names(automaton.places.of([node.names]), start)
    yield from (start + letter for letter in "abcdefgh1")


def _key_endings(automaton: Automaton, at: InKey, later: frozenset[str]) -> Iterator[tuple[str | bytes, int]]:
    opened = automaton.frame(at.parent)
    assert isinstance(opened, ObjectFrame)
    if at.partial:
        yield from _character_endings(at.partial)
        return
    missing = missing_keys(opened, later)
    known = opened.frame.place.known_keys(opened.frame.failed)
    for key in dict.fromkeys([*missing, *known]):
        if key.startswith(at.text) and key not in opened.keys:
            yield _spelled(key[len(at.text) :])[1:-1] or '"', (1 if key in missing else 2) + 2 * (key in later)
    yield '"', 2
    for order, key in enumerate(dict.fromkeys(_other_keys(automaton, opened, at.text))):
        yield _spelled(key[len(at.text) :])[1:-1], PART_COST + min(order, PART_COST)


def _character_endings(partial: bytes) -> Iterator[tuple[bytes, int]]:
    """The rest of a character of which the bytes `partial` are there."""
    if partial[:1] == b"\\":
        yield rb"\ud83d\ude00"[len(partial) :] if len(partial) > 6 else (rb"\u0041"[len(partial) :] or rb"\ude00"), 1
        yield b"n", 2
        yield rb"\ude00", 2
        yield from ((bytes([digit]), OPTIONAL) for digit in b"04dcu\\")
        return
    length = 2 if partial[0] < 0xE0 else 3 if partial[0] < 0xF0 else 4
    for middle in (b"\x80", b"\x9f", b"\xa0", b"\x90"):
        yield (middle + b"\x80" * 3)[: length - len(partial)], 1


def _string_endings(at: InString, begun: str | None) -> Iterator[tuple[str | bytes, int]]:
    if at.partial:
        yield from _character_endings(at.partial)
        return
    texts = at.place.texts
    is_met = texts is None or not texts.unmet(at.checked)
    in_format = [] if begun is None else formatted(at.place, begun)
    yield '"', 1 if is_met and (not in_format or "" in in_format) else 3
    # With the quote: without it many an ending leads to the same state, and so, for a search, nowhere.
    yield from ((_spelled(ending)[1:], 1 + place) for place, ending in enumerate(in_format))
    if texts is None:
        return
    for mask in wanted(at.place, at.place.wrong["string"] | texts.failed(at.checked)):
        endings = texts.checker.endings(at.checked, texts.rules(mask))
        for place, ending in enumerate(endings[:MOST_CHOICES]):
            yield _spelled(ending)[1:-1], 1 + min(3 * place, OPTIONAL) + PART_COST * is_met


def _number_endings(at: InNumber) -> Iterator[tuple[str, int]]:
    numbers = at.place.numbers
    is_met = numbers.checker.is_complete(at.checked) and not numbers.unmet(at.checked)
    for mask in wanted(at.place, at.place.wrong["number"] | numbers.failed(at.checked)):
        endings = numbers.checker.endings(at.checked, numbers.rules(mask))
        for place, ending in enumerate(endings[:MOST_CHOICES]):
            yield ending, 1 + min(3 * place, OPTIONAL) + PART_COST * is_met


def _items(automaton: Automaton, parent: int, style: Style, depth: int) -> Iterator[tuple[str, int]]:
    item, opened = automaton.item(parent), automaton.frame(parent)
    assert isinstance(opened, ArrayFrame)
    space = style.after_comma(depth) if opened.length else style.before_item(depth)
    if item is not None:
        for text, cost in _values(item[0]):
            yield f"{space}{text}", cost


def _values(place: Place) -> Iterator[tuple[str, int]]:
    """Starts of values, or whole ones where the schema names them."""
    hopeful = list(_hopeful(place, 0))
    named = [choice for node in hopeful for choice in node.choices or ()]
    for order, choice in enumerate(named[:MOST_CHOICES]):
        yield _dumped(choice), 2 + min(3 * order, OPTIONAL)
    yield from ((_spelled(text), 2 + order) for order, text in enumerate(formatted(place, "")))
    for choice in [choice for node in hopeful for choice in node.suggested][:8]:
        yield _dumped(choice), 4
    yield from (('"', 2), ("true", 3), ("false", 4), ("null", 3), ("{", 4), ("[", 3))
    numbers = place.numbers.checker
    for mask in wanted(place, place.wrong["number"]):
        for order, ending in enumerate(numbers.endings(numbers.start, place.numbers.rules(mask))[:4]):
            yield ending, 3 + 2 * order


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _spelled(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
