"""The schemas that judge one value, and what they make of it while it is written and when it is whole.

A value is judged by some nodes, its roots, and by all nodes that those refer to in place. Which of these are false is a
bit mask. As long as the value is being written a node is only known to be false or not, so two questions are asked:
which may still be true, and, at the end, which are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Generic, NamedTuple, TypeVar

from midfill.engine.schema.compile import Reader
from midfill.engine.schema.keys import Keys
from midfill.engine.schema.nodes import KINDS, Kind, Node, run
from midfill.engine.schema.number_rules import NumberChecker
from midfill.engine.schema.pattern_syntax import UnsupportedPattern
from midfill.engine.schema.patterns import Patterns
from midfill.engine.schema.text_rules import TextChecker, TextRule
from midfill.engine.schema.truth import Form, bits, form_of, holds, may_be, must_be, union

MOST_PARTS = 200
"""No value needs more keys and items, as far as anyone looks for one."""


class Part(NamedTuple):
    """How a part of a value is judged, and what that says of the whole."""

    failed: int
    """Nodes of the whole that are false whatever the part is."""
    place: Place
    owners: tuple[int, ...]
    """For each root of the part's place: the nodes of the whole that are false if it is."""
    counted: tuple[int, ...] = ()
    """For each root: the nodes of the whole whose `contains` it is."""


class Places:
    """All places of a schema, by their roots."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._places: dict[tuple[int, ...], Place] = {}
        self.no_keys = Keys()
        """The empty set of the family to which the keys of all objects belong."""
        self.anything = self.of(())
        """The place where every value is right."""
        self.root = self.of([reader.root])

    def of(self, roots: Sequence[Node]) -> Place:
        """The place with these roots."""
        key = tuple(root.number for root in roots)
        if key not in self._places:
            self._places[key] = Place(len(self._places), roots, self)
        return self._places[key]


class Place:
    """Some roots and what they refer to. Nodes are numbered so that what a node refers to comes before it."""

    def __init__(self, number: int, roots: Sequence[Node], places: Places) -> None:
        self.number, self.roots, self._places = number, tuple(roots), places
        self.nodes: list[Node] = []
        self._index: dict[int, int] = {}
        for root in roots:
            self._gather(root, set())
        self.root_bits = tuple(1 << self._index[root.number] for root in roots)
        self._forms = [form_of(node, self._index) for node in self.nodes]
        self.is_plain = not any(any(form) for form in self._forms)
        """Whether each node speaks for itself alone."""
        self._reach: list[int] = []
        for index, node in enumerate(self.nodes):
            parts = (self._index[part.number] for part in node.in_place())
            self._reach.append((1 << index) | union(self._reach[part] for part in parts if part < index))
        self.wrong: dict[Kind, int] = {kind: self._without(kind) for kind in KINDS}
        """For each kind of value, the nodes that it makes false whatever it holds."""
        self._settled: dict[Kind, int] = {kind: self._with(kind) for kind in KINDS}
        self.texts = (
            _Rules([node.text for node in self.nodes], TextChecker) if any(node.text for node in self.nodes) else None
        )
        self.numbers = _Rules([node.numbers for node in self.nodes], NumberChecker)
        self.counters = tuple(index for index, node in enumerate(self.nodes) if node.contains is not None)
        """Nodes with a `contains`."""
        self.watched_items = max((node.watched_items for node in self.nodes), default=0)
        """Items from this one on are judged alike, but for how often `contains` holds."""
        self.has_names = any(node.names is not None for node in self.nodes)
        self._needs: dict[tuple[int, Keys, bool], tuple[str, ...]] = {}
        self._known: dict[int, list[str]] = {}
        self._least: int | None = None
        self._parts: dict[tuple[str | int, int], Part] = {}
        self._hopes: dict[tuple[int, Kind | None, Keys], int] = {}

    def _gather(self, node: Node, above: set[int]) -> None:
        """Adds a node behind those it refers to. One that refers to itself says by that no more than it says anyway."""
        if node.number in self._index or node.number in above:
            return
        above.add(node.number)
        for part in self._places.reader.opened(node).in_place():
            self._gather(part, above)
        self._index[node.number] = len(self.nodes)
        self.nodes.append(node)

    def _without(self, kind: Kind) -> int:
        return union(1 << index for index, node in enumerate(self.nodes) if node.refuses(kind))

    def _with(self, kind: Kind) -> int:
        """The nodes whose own keywords are true of every value of a kind that they are not false of at once."""
        return union(1 << index for index, node in enumerate(self.nodes) if not node.judges(kind))

    # What is true.

    def hopes(self, failed: int, kind: Kind | None = None, keys: Keys | None = None) -> int:
        """The nodes that may be true of a value of which those of the mask `failed` are false."""
        if self.is_plain:
            return ~failed
        keys = self._places.no_keys if keys is None else keys
        key = (failed, kind, keys)
        if key not in self._hopes:
            self._hopes[key] = self._hope(failed, kind, keys)
        return self._hopes[key]

    def _hope(self, failed: int, kind: Kind | None, keys: Keys) -> int:
        hopeful = sure = 0
        for index, (node, form) in enumerate(zip(self.nodes, self._forms, strict=True)):
            bit = 1 << index
            if failed & bit or not may_be(form, hopeful, sure, kind, keys):
                continue
            hopeful |= bit
            is_settled = not node.asserts or (kind is not None and self._settled[kind] & bit)
            if is_settled and must_be(form, hopeful, sure, kind):
                sure |= bit
        return hopeful

    def truths(self, failed: int, kind: Kind, keys: Keys | None = None) -> int:
        """The nodes that are true of a whole value of which those of the mask `failed` are false by themselves."""
        if self.is_plain:
            return ~failed
        keys = self._places.no_keys if keys is None else keys
        true = 0
        for index, form in enumerate(self._forms):
            if not failed >> index & 1 and holds(form, true, kind, keys):
                true |= 1 << index
        return true

    def false_roots(self, true: int) -> int:
        """Of the nodes `true`, which roots are missing: bit i for root i."""
        return union(1 << index for index, bit in enumerate(self.root_bits) if not true & bit)

    @cached_property
    def formats(self) -> _Rules[TextChecker] | None:
        """The rules for strings with the `format`s, which no string must have; None where none is named."""
        if not any(node.format for node in self.nodes):
            return None
        patterns = self._places.reader.patterns
        return _Rules([_with_format(node, patterns) for node in self.nodes], TextChecker)

    # Parts of values.

    def constant(self, value: bool | None) -> int:
        """The nodes that are false of true, false or null."""
        kind: Kind = "null" if value is None else "boolean"
        refusing = (
            1 << index
            for index, node in enumerate(self.nodes)
            if node.constants is not None and not any(each is value for each in node.constants)
        )
        return self.wrong[kind] | union(refusing)

    def at_key(self, key: str, failed: int) -> Part:
        """How the value at `key` is judged, by all nodes but those that have failed."""
        if (key, failed) not in self._parts:
            gathering = _Gathering()
            for index, node in self._living(failed):
                parts = list(node.at_key(key))
                if node.unevaluated is not None and not self._declares(index, key):
                    parts.append(node.unevaluated)
                gathering.add(parts, 1 << index)
                if node.names is not None and not self._places.of([node.names]).accepts_text(key):
                    gathering.failed |= 1 << index
            self._parts[key, failed] = gathering.part(self._places)
        return self._parts[key, failed]

    def at_index(self, index: int, failed: int) -> Part:
        """How the item at `index` is judged."""
        if (index, failed) not in self._parts:
            gathering = _Gathering()
            for number, node in self._living(failed):
                part = node.at_index(index)
                if part is None and node.unevaluated_items is not None and not self._has_items(number, index):
                    part = node.unevaluated_items
                gathering.add([] if part is None else [part], 1 << number)
                if node.most_items is not None and index >= node.most_items:
                    gathering.failed |= 1 << number
                if node.contains is not None:
                    gathering.count(node.contains, 1 << number)
            self._parts[index, failed] = gathering.part(self._places)
        return self._parts[index, failed]

    def _living(self, failed: int) -> Iterable[tuple[int, Node]]:
        return ((index, node) for index, node in enumerate(self.nodes) if not failed >> index & 1)

    def _declares(self, index: int, key: str) -> bool:
        """Whether the node at `index`, or one that it refers to in place, says what is at `key`."""
        reached = self._reached(index)
        return any(node.declares(key) or (each != index and node.unevaluated is not None) for each, node in reached)

    def _has_items(self, index: int, item: int) -> bool:
        """The same of the item at `item`; what `contains` looks for may be any."""
        return any(
            node.at_index(item) is not None
            or node.contains is not None
            or (each != index and node.unevaluated_items is not None)
            for each, node in self._reached(index)
        )

    def _reached(self, index: int) -> Iterable[tuple[int, Node]]:
        """The node at `index` and those that it refers to in place."""
        return ((each, node) for each, node in enumerate(self.nodes) if self._reach[index] >> each & 1)

    def accepts_text(self, text: str) -> bool:
        """Whether the string is right here."""
        failed = self.wrong["string"]
        if self.texts is not None:
            state = self.texts.checker.start
            for char in text:
                state = self.texts.checker.step(state, char)
            failed |= self.texts.unmet(state)
        return not self.false_roots(self.truths(failed, "string"))

    def may_begin(self, text: str) -> bool:
        """Whether a string that begins so can be right here."""
        failed = self.wrong["string"]
        if self.texts is not None:
            state = self.texts.checker.start
            for char in text:
                state = self.texts.checker.step(state, char)
            failed |= self.texts.failed(state)
        return not self.false_roots(self.hopes(failed, "string"))

    def refuses_new_keys(self, failed: int) -> int:
        """The nodes that are false of every object with a key that no node names and no pattern matches."""
        refusing = 0
        for index, node in self._living(failed):
            open_ones = (
                each.additional or (number != index and each.unevaluated) for number, each in self._reached(index)
            )
            is_closed = node.unevaluated is not None and node.unevaluated.never and not any(open_ones)
            if is_closed or (node.additional is not None and node.additional.never):
                refusing |= 1 << index
        return refusing

    def names_refused(self, start: str, failed: int) -> int:
        """The nodes that refuse every key that begins with `start` by their `propertyNames`."""
        return union(
            1 << index
            for index, node in self._living(failed)
            if node.names is not None and not self._places.of([node.names]).may_begin(start)
        )

    def known_keys(self, failed: int) -> list[str]:
        """Keys that nodes name, those that must be there first, in the schema's order."""
        if failed not in self._known:
            living = [node for _, node in self._living(failed)]
            required = [key for node in living for key in node.required]
            self._known[failed] = list(dict.fromkeys([*required, *(key for node in living for key in node.properties)]))
        return self._known[failed]

    def needs(self, failed: int, keys: Keys, *, are_whole: bool = True) -> tuple[str, ...]:
        """Keys that an object with these keys still needs; of alternatives, those of the one that needs the fewest.

        Where not all their values `are_whole`, what depends on those is left out.
        """
        if (failed, keys, are_whole) not in self._needs:
            hopes = self.hopes(failed, "object", keys)
            found: dict[int, tuple[str, ...]] = {}
            for index, (node, form) in enumerate(zip(self.nodes, self._forms, strict=True)):
                dependent = (name for key, names in node.dependent.items() if key in keys for name in names)
                wanted = dict.fromkeys(name for name in (*node.required, *dependent) if name not in keys)
                surely = form.all_of | union(bit for key, bit in form.dependent if key in keys)
                wanted.update(dict.fromkeys(name for part in bits(surely) for name in found[part]))
                groups = (*(tuple(bits(group)) for group in form.any_of), *form.one_of)
                for group in groups:
                    choices = [found[each] for each in group if hopes >> each & 1]
                    wanted.update(dict.fromkeys(min(choices, key=len, default=())))
                branch = self._branch(form, hopes, keys) if are_whole else None
                wanted.update(dict.fromkeys(found[branch] if branch is not None else ()))
                found[index] = tuple(wanted)
            roots = (found[bit.bit_length() - 1] for bit in self.root_bits)
            self._needs[failed, keys, are_whole] = tuple(dict.fromkeys(name for names in roots for name in names))
        return self._needs[failed, keys, are_whole]

    def _branch(self, form: Form, hopes: int, keys: Keys) -> int | None:
        """The index of the node that a condition leads to, where all that it asks about is there."""
        if form.condition is None:
            return None
        test, then, otherwise = form.condition
        branch = otherwise
        if hopes & test:
            asked = self.nodes[test.bit_length() - 1]
            branch = then if all(key in keys for key in (*asked.properties, *asked.required)) else None
        return branch.bit_length() - 1 if branch else None

    def least_parts(self) -> int:
        """A guess at how many keys and items a value here has at least, those of the values in it with them."""
        if self._least is None:
            self._least = 0  # what stands within itself is not counted again
            least = [self._least_of(kind) for kind in KINDS if not self.false_roots(self.hopes(self.wrong[kind], kind))]
            self._least = min(*least, MOST_PARTS) if least else MOST_PARTS
        return self._least

    def _least_of(self, kind: Kind) -> int:
        failed = self.wrong[kind]
        if kind == "object":
            return sum(self.parts_at(key, failed) for key in self.needs(failed, self._places.no_keys)[:MOST_PARTS])
        if kind == "array":
            count = self.needed_items(failed)
            return min(count, MOST_PARTS) * self.parts_at(0, failed) if count else 0
        return 0

    def parts_at(self, place: str | int, failed: int) -> int:
        """The same of a key or an item with its value."""
        part = self.at_key(place, failed) if isinstance(place, str) else self.at_index(place, failed)
        return 1 + part.place.least_parts()

    def needed_items(self, failed: int) -> int:
        """How many items an array has at least."""
        hopes = self.hopes(failed, "array")
        every = (node.least_items for index, node in self._living(failed) if hopes >> index & 1)
        return max(every, default=0)

    def needed_keys(self, failed: int) -> int:
        """How many keys an object has at least, whichever they are."""
        hopes = self.hopes(failed, "object")
        every = (node.least_properties for index, node in self._living(failed) if hopes >> index & 1)
        return max(every, default=0)

    def may_match(self, start: str, failed: int) -> bool:
        """Whether some pattern may match a key that begins with `start`."""
        return any(run(pattern, start) for _, node in self._living(failed) for pattern, _ in node.patterns)

    # Whole objects and arrays.

    def too_many_keys(self, count: int) -> int:
        """The nodes that are false of every object with so many keys."""
        most = ((1 << index, node.most_properties) for index, node in enumerate(self.nodes))
        return union(bit for bit, number in most if number is not None and count > number)

    def ends_object(self, failed: int, keys: Keys) -> int:
        """The nodes that are false of an object with these keys."""
        return failed | union(1 << index for index, node in self._living(failed) if not node.has_its_keys(keys))

    def ends_array(self, failed: int, length: int, counts: tuple[int, ...]) -> int:
        """The nodes that are false of an array of this length, in which each of `counters` counted so many."""
        for index, node in self._living(failed):
            if length < node.least_items:
                failed |= 1 << index
        for index, count in zip(self.counters, counts, strict=True):
            node = self.nodes[index]
            if count < node.least_contains or (node.most_contains is not None and count > node.most_contains):
                failed |= 1 << index
        return failed


Checker = TypeVar("Checker", TextChecker, NumberChecker)


class _Rules(Generic[Checker]):
    """A checker for the rules that some nodes have, and its masks as masks of nodes."""

    def __init__(self, rules: Sequence[object | None], make: Callable[..., Checker]) -> None:
        self._bits = [1 << index for index, rule in enumerate(rules) if rule is not None]
        self.checker = make([rule for rule in rules if rule is not None])
        self._seen: dict[int, int] = {}

    def failed(self, state: int) -> int:
        return self._nodes(self.checker.failed(state))

    def unmet(self, state: int) -> int:
        return self._nodes(self.checker.unmet(state))

    def rules(self, nodes: int) -> int:
        """The mask of the checker's rules that the nodes of a mask have."""
        return union(1 << index for index, bit in enumerate(self._bits) if nodes & bit)

    def _nodes(self, rules: int) -> int:
        if rules not in self._seen:
            self._seen[rules] = union(bit for index, bit in enumerate(self._bits) if rules >> index & 1)
        return self._seen[rules]


class _Gathering:
    """The schemas of a part, each with those of the whole that it can make false."""

    def __init__(self) -> None:
        self.failed = 0
        self._nodes: dict[int, Node] = {}
        self._owners: dict[int, int] = {}
        self._counted: dict[int, int] = {}

    def add(self, parts: Iterable[Node], owner: int) -> None:
        for part in parts:
            if part.never:
                self.failed |= owner
            elif part.asserts:
                self._nodes[part.number] = part
                self._owners[part.number] = self._owners.get(part.number, 0) | owner

    def count(self, part: Node, owner: int) -> None:
        self._nodes[part.number] = part
        self._counted[part.number] = self._counted.get(part.number, 0) | owner

    def part(self, places: Places) -> Part:
        numbers = sorted(self._nodes)
        owners = tuple(self._owners.get(number, 0) for number in numbers)
        counted = tuple(self._counted.get(number, 0) for number in numbers) if self._counted else ()
        return Part(self.failed, places.of([self._nodes[number] for number in numbers]), owners, counted)


def _with_format(node: Node, patterns: Patterns) -> TextRule | None:
    if node.format is None:
        return node.text
    rule = node.text or TextRule()
    try:
        return rule._replace(patterns=(*rule.patterns, patterns.compile(node.format.pattern)))
    except UnsupportedPattern:  # too little memory is left
        return node.text
