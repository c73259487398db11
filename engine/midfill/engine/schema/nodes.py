"""What a JSON Schema asks of a value, keyword by keyword, with its subschemas as other nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from midfill.engine.schema.formats import Format
from midfill.engine.schema.keys import Keys
from midfill.engine.schema.number_rules import NumberRule
from midfill.engine.schema.pattern import Pattern
from midfill.engine.schema.text_rules import TextRule

Kind = Literal["object", "array", "string", "number", "boolean", "null"]
KINDS: tuple[Kind, ...] = ("object", "array", "string", "number", "boolean", "null")


@dataclass(eq=False)
class Node:
    """A schema. Compared by identity: equal schemas in different places may refer to different things."""

    number: int
    never: bool = False
    """The schema `false`."""
    kinds: frozenset[Kind] = frozenset(KINDS)
    choices: list[Any] | None = None
    """Of `enum`, as they stand there: the automaton uses the parts below, people see these."""
    suggested: list[Any] = field(default_factory=list[Any])
    """Of `default` and `examples`."""
    constants: frozenset[bool | None] | None = None
    """What `enum` leaves of true, false and null."""
    composites: tuple[Node, ...] = ()
    """What `enum` leaves of objects and arrays; `kinds` tells whether there are any."""
    text: TextRule | None = None
    format: Format | None = None
    """Which its strings should have and need not."""
    numbers: NumberRule | None = None

    properties: dict[str, Node] = field(default_factory=dict[str, "Node"])
    patterns: tuple[tuple[Pattern, Node], ...] = ()
    additional: Node | None = None
    unevaluated: Node | None = None
    """For keys that no schema in the same place declares. Where those fail, more may be unevaluated: see the gate."""
    names: Node | None = None
    required: tuple[str, ...] = ()
    dependent: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    least_properties: int = 0
    most_properties: int | None = None

    first_items: tuple[Node, ...] = ()
    items: Node | None = None
    unevaluated_items: Node | None = None
    contains: Node | None = None
    least_contains: int = 1
    most_contains: int | None = None
    least_items: int = 0
    most_items: int | None = None

    all_of: list[Node] = field(default_factory=list["Node"])
    any_of: list[tuple[Node, ...]] = field(default_factory=list[tuple["Node", ...]])
    one_of: list[tuple[Node, ...]] = field(default_factory=list[tuple["Node", ...]])
    none_of: list[Node] = field(default_factory=list["Node"])
    condition: tuple[Node, Node | None, Node | None] | None = None
    dependent_schemas: dict[str, Node] = field(default_factory=dict[str, "Node"])

    asserts: bool = False
    """Whether there is any value that it refuses, as far as its keywords show."""
    left: set[str] = field(default_factory=set[str])
    """Keywords of it that are checked when the document is whole, not while it is written."""

    def in_place(self) -> Iterator[Node]:
        """The nodes that judge the same value on this one's behalf."""
        yield from self.all_of
        for group in (*self.any_of, *self.one_of):
            yield from group
        yield from self.none_of
        yield from (part for part in self.condition or () if part is not None)
        yield from self.dependent_schemas.values()
        yield from self.composites

    def declares(self, key: str) -> bool:
        """Whether a keyword of its own says what the value at `key` is."""
        return self.additional is not None or key in self.properties or any(self._matching(key))

    def at_key(self, key: str) -> Iterator[Node]:
        """The nodes for the value at `key`."""
        if key in self.properties:
            yield self.properties[key]
        matching = list(self._matching(key))
        yield from matching
        if self.additional is not None and key not in self.properties and not matching:
            yield self.additional

    def _matching(self, key: str) -> Iterator[Node]:
        return (node for pattern, node in self.patterns if matches(pattern, key))

    def at_index(self, index: int) -> Node | None:
        """The node for the item at `index`, `contains` apart."""
        return self.first_items[index] if index < len(self.first_items) else self.items

    def refuses(self, kind: Kind) -> bool:
        """Whether it is false of every value of a kind."""
        wants_what_cannot_be = self.contains is not None and self.contains.never and self.least_contains > 0
        return self.never or kind not in self.kinds or (kind == "array" and wants_what_cannot_be)

    def judges(self, kind: Kind) -> bool:
        """Whether a keyword of its own may be false of a value of this kind, if it does not refuse them all."""
        if kind == "string":
            return self.text is not None
        if kind == "number":
            return self.numbers is not None
        if kind == "object":
            sizes = self.least_properties or self.most_properties is not None
            parts = self.properties or self.patterns or self.additional or self.unevaluated or self.names
            return bool(sizes or parts or self.required or self.dependent)
        if kind == "array":
            sizes = self.least_items or self.most_items is not None
            parts = self.first_items or self.items or self.unevaluated_items or self.contains
            return bool(sizes or parts or "uniqueItems" in self.left)
        return False

    def has_its_keys(self, keys: Keys) -> bool:
        """Whether an object with these keys has those that it has to have, and as many."""
        if len(keys) < self.least_properties or (self.most_properties is not None and len(keys) > self.most_properties):
            return False
        if not all(key in keys for key in self.required):
            return False
        return all(needed in keys for key, others in self.dependent.items() if key in keys for needed in others)

    @property
    def watched_items(self) -> int:
        """Items from this one on are judged alike, but for how often `contains` holds."""
        return max(len(self.first_items), self.least_items, (self.most_items or 0) + 1)


def matches(pattern: Pattern, text: str) -> bool:
    """Whether there is a match somewhere in `text`."""
    return pattern.accepts(run(pattern, text))


def run(pattern: Pattern, text: str) -> int:
    """The pattern's state after `text`."""
    state = pattern.start
    for char in text:
        state = pattern.step(state, char)
    return state
