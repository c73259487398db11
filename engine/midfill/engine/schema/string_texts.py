"""Texts that the strings of one place may have: such as meet its rules, and such as have the formats named, too."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from midfill.engine.schema.place import Place

MOST_ALONE = 4
"""Schemas in one place, such as those of `anyOf`, whose texts and numbers are looked for one by one."""
MOST_ENDINGS = 2
"""Of one format, where its example does not fit."""


def wanted(place: Place, failed: int) -> list[int]:
    """Masks of nodes that one may try to meet together: all that are not false, then each alone with what it needs."""
    hopes = place.hopes(failed) & ((1 << len(place.nodes)) - 1)
    alone = [1 << index for index in range(len(place.nodes)) if hopes >> index & 1]
    plain = 0  # nodes that every value must meet: the roots, and what those ask of it in any case
    for bit in place.root_bits:
        plain |= bit
    choices = [hopes, *(plain | bit for bit in alone[:MOST_ALONE]), 0]
    return list(dict.fromkeys(mask & hopes for mask in choices))


def names(place: Place, begun: str) -> Iterator[str]:
    """Whole strings beginning with `begun` that are right in a place, those that have its formats first."""
    yield from (begun + ending for ending in formatted(place, begun))
    if place.texts is not None:
        checked = functools.reduce(place.texts.checker.step, begun, place.texts.checker.start)
        for mask in wanted(place, place.wrong["string"] | place.texts.failed(checked)):
            for ending in place.texts.checker.endings(checked, place.texts.rules(mask)):
                yield begun + ending


def formatted(place: Place, begun: str) -> list[str]:
    """What may end a string begun so that it has the formats named in a place, besides all that it must be.

    The best first, and "" among them where the string has them already; none where it names none, or none is possible.
    """
    formats = place.formats
    if formats is None:
        return []
    checker, wrong = formats.checker, place.wrong["string"]
    state = functools.reduce(checker.step, begun, checker.start)
    if place.false_roots(place.hopes(wrong | formats.failed(state), "string")):
        return []

    def is_right(ending: str) -> bool:
        unmet = formats.unmet(functools.reduce(checker.step, ending, state))
        return not place.false_roots(place.truths(wrong | unmet, "string"))

    masks = [mask for mask in wanted(place, wrong | formats.failed(state)) if mask]
    examples = [example for mask in masks for example in _examples(place, mask)]
    found = list(filter(is_right, dict.fromkeys(text[len(begun) :] for text in examples if text.startswith(begun))))
    if begun and is_right(""):
        found.append("")
    if not found:
        signs = ((text, at) for text in examples for at, char in enumerate(text) if begun and not char.isalnum())
        ends = [text[at:] for text, at in signs]  # such as `@example.com`
        ways = [ending for mask in masks for ending in _endings(place, mask, state)]
        found = list(filter(is_right, dict.fromkeys([*ends, *ways])))
    return found


def _examples(place: Place, mask: int) -> Iterator[str]:
    """Of the formats that some nodes name."""
    named = (node.format for index, node in enumerate(place.nodes) if mask >> index & 1)
    return (each.example for each in named if each is not None)


def _endings(place: Place, mask: int, state: int) -> list[str]:
    formats = place.formats
    assert formats is not None
    return formats.checker.endings(state, formats.rules(mask))[:MOST_ENDINGS]
