"""From a JSON Schema to nodes, each made when it is first asked for: a large schema costs what of it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import referencing
import referencing.exceptions
from jsonschema_specifications import REGISTRY
from referencing.jsonschema import lookup_recursive_ref

from midfill.engine.errors import InputError
from midfill.engine.schema.drafts import DEFAULT, URIS, draft_of, specification
from midfill.engine.schema.formats import FORMATS
from midfill.engine.schema.keywords import KEYWORDS, PASSED_OVER
from midfill.engine.schema.nodes import KINDS, Kind, Node
from midfill.engine.schema.number_rules import NumberRule
from midfill.engine.schema.pattern import Pattern
from midfill.engine.schema.pattern_syntax import UnsupportedPattern
from midfill.engine.schema.patterns import Patterns
from midfill.engine.schema.text_rules import TextRule
from midfill.engine.wire import SchemaDraft

IGNORES_BESIDE_REF: tuple[SchemaDraft, ...] = ("draft4", "draft6", "draft7")


class Reader:
    """Makes the nodes of one schema. Raises `InputError` where that cannot be one; of its keywords see `fault`.

    `others` are the schemas, by URI, that it may refer to; nothing is ever fetched. A reference that leads nowhere
    accepts everything, and is in the `left` of its node.
    """

    def __init__(
        self,
        schema: Any,
        uri: str = "",
        others: Mapping[str, Any] | None = None,
        draft: SchemaDraft | None = None,
        patterns: Patterns | None = None,
    ) -> None:
        self.patterns = patterns or Patterns()
        self.fault: InputError | None = None
        """The first thing found wrong in what was read so far. The keyword it is in is left to the gate."""
        self._default: SchemaDraft = draft or DEFAULT
        self._nodes: dict[object, Node] = {}
        self._kept: list[Any] = []
        self._unread: dict[int, tuple[Any, Any, SchemaDraft]] = {}
        resources = {each: self._resource(other) for each, other in (others or {}).items()}
        root = self._resource(schema)
        # Anchors, and schemas with an id inside others, are found by walking all: once here rather than at each use.
        registry = REGISTRY.with_resources([*resources.items(), (uri, root)]).crawl()
        self.is_dynamic = any(map(_refers_dynamically, [schema, *(others or {}).values()]))
        self.root = self.node(schema, registry.resolver(uri).in_subresource(root), draft_of(schema) or self._default)

    def _resource(self, schema: Any) -> referencing.Resource[Any]:
        if not isinstance(schema, bool | dict):
            raise InputError("schema", "an object, true or false", type(schema).__name__)
        return specification(draft_of(schema) or self._default).create_resource(schema)

    def node(self, schema: Any, resolver: Any, draft: SchemaDraft) -> Node:
        """The node of a subschema, which is read when `opened`."""
        if not isinstance(schema, bool | dict):
            raise InputError("schema", "an object, true or false for each subschema", type(schema).__name__)
        scope = tuple(uri for uri, _ in resolver.dynamic_scope()) if self.is_dynamic else ()
        key = (schema if isinstance(schema, bool) else id(schema), type(schema), scope)
        if key not in self._nodes:
            node = self._nodes[key] = Node(len(self._nodes))
            node.never = schema is False
            node.asserts = schema is False or _asserts(schema, draft)
            if isinstance(schema, dict):
                self._kept.append(schema)  # its id stays its own as long as it lives
                self._unread[node.number] = (schema, resolver, draft)
        return self._nodes[key]

    def opened(self, node: Node) -> Node:
        """The same node, its keywords read. Never fails: documents are being written when most nodes are opened."""
        unread = self._unread.pop(node.number, None)
        if unread is not None:
            _Keywords(self, node, *unread).read()
        return node


class _Keywords:
    """Reads the keywords of one schema into its node."""

    def __init__(self, reader: Reader, node: Node, schema: dict[str, Any], resolver: Any, draft: SchemaDraft) -> None:
        self.reader, self.node, self.resolver = reader, node, resolver
        self.draft: SchemaDraft = draft_of(schema) or draft
        self.current = ""
        """The keyword that is read now."""
        passed_over = schema.keys() & PASSED_OVER[self.draft]
        self.schema = {key: schema[key] for key in schema if key not in passed_over} if passed_over else schema

    def read(self) -> None:
        if "$ref" in self.schema and self.draft in IGNORES_BESIDE_REF:
            self._attempt(self._references)
            return
        for group in (self._references, self._type, self._suggested, self._enumerated, self._text, self._numbers):
            self._attempt(group)
        for group in (self._object, self._array, self._in_place):
            self._attempt(group)

    def _attempt(self, group: Callable[[], None]) -> None:
        """Reads some keywords, up to the first that is wrong: what is additional, say, depends on those before it."""
        try:
            group()
        except InputError as error:
            self._leave(error)
        except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
            self._leave(InputError(f"schema, {self.current}", "what can be read", str(error)[:200]))

    def _leave(self, fault: InputError) -> None:
        self.node.left.add(self.current)
        self.reader.fault = self.reader.fault or fault

    # What a keyword holds, checked.

    def _get(self, keyword: str, wanted: str, *types: type) -> Any:
        """The value of `keyword`, None if it is not there. Raises `InputError`."""
        self.current = keyword
        value = self.schema.get(keyword)
        is_odd_bool = isinstance(value, bool) and bool not in types
        if value is not None and (not isinstance(value, types) or is_odd_bool):
            raise InputError(f"schema, {keyword}", wanted, type(value).__name__)
        return value

    def _count(self, keyword: str) -> int | None:
        value = self._get(keyword, "a number of 0 or more", int, float, Decimal)
        if value is not None and (value < 0 or value != int(value)):
            raise InputError(f"schema, {keyword}", "a whole number of 0 or more", value)
        return None if value is None else int(value)

    def _number(self, keyword: str) -> Decimal | None:
        value = self._get(keyword, "a number", int, float, Decimal)
        return None if value is None else Decimal(str(value))

    def _sub(self, schema: Any) -> Node:
        resolver = self.resolver
        if isinstance(schema, dict) and ("$id" in schema or "id" in schema):
            resolver = resolver.in_subresource(specification(self.draft).create_resource(schema))
        return self.reader.node(schema, resolver, self.draft)

    def _node(self, keyword: str) -> Node | None:
        self.current = keyword
        return self._sub(self.schema[keyword]) if keyword in self.schema else None

    def _nodes(self, keyword: str) -> tuple[Node, ...]:
        return tuple(map(self._sub, self._get(keyword, "an array of schemas", list) or ()))

    def _named(self, keyword: str) -> Iterator[tuple[str, Any]]:
        yield from (self._get(keyword, "an object", dict) or {}).items()

    def _names(self, keyword: str, names: Any) -> tuple[str, ...]:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError(f"schema, {keyword}", "an array of names", type(names).__name__)
        return tuple(names)

    def _pattern(self, keyword: str, source: str) -> Pattern | None:
        try:
            return self.reader.patterns.compile(source)
        except UnsupportedPattern:
            self.node.left.add(keyword)
            return None

    # Keywords by what they are about.

    def _references(self) -> None:
        for keyword in ("$ref", "$dynamicRef"):
            if keyword in self.schema:
                self._reference(keyword, self.resolver.lookup)
        if "$recursiveRef" in self.schema:
            self._reference("$recursiveRef", lambda _: lookup_recursive_ref(self.resolver))

    def _reference(self, keyword: str, look_up: Callable[[str], Any]) -> None:
        reference = self._get(keyword, "a URI reference", str)
        try:
            found = look_up(reference)
        except (referencing.exceptions.Unresolvable, ValueError):
            self.node.left.add(keyword)
            return
        self.node.all_of.append(self.reader.node(found.contents, found.resolver, self.draft))

    def _type(self) -> None:
        named = self._get("type", "a type's name, or several", str, list)
        if named is None:
            return
        names = {named} if isinstance(named, str) else set(filter(lambda each: isinstance(each, str), named))
        if "integer" in names and "number" not in names:
            self.node.numbers = NumberRule(integer=True)
        kinds: dict[str, Kind] = {**{kind: kind for kind in KINDS}, "integer": "number"}
        self.node.kinds = frozenset(kinds[name] for name in names if name in kinds)

    def _suggested(self) -> None:
        examples = self.schema.get("examples")
        default = [self.schema["default"]] if "default" in self.schema else []
        self.node.suggested = default + (examples if isinstance(examples, list) else [])
        named = self.schema.get("format")
        self.node.format = FORMATS.get(named) if isinstance(named, str) else None

    def _enumerated(self) -> None:
        """`const` is an `enum` of one. Where both stand, `const` is a schema of its own, in the same place."""
        values = self._get("enum", "an array", list)
        if "const" in self.schema:
            if values is not None:
                self.node.all_of.append(self._sub({"const": self.schema["const"]}))
            else:
                values = [self.schema["const"]]
        if values is None:
            return
        node = self.node
        node.composites = tuple(self._sub(_equal_to(value)) for value in values if isinstance(value, dict | list))
        node.choices = values
        node.constants = frozenset(value for value in values if value is None or isinstance(value, bool))
        node.kinds &= frozenset(_kind(value) for value in values)
        numbers = frozenset(Decimal(str(value)) for value in values if _kind(value) == "number")
        node.numbers = (node.numbers or NumberRule())._replace(literals=numbers)
        node.text = TextRule(literals=frozenset(value for value in values if isinstance(value, str)))

    def _text(self) -> None:
        least, most = self._count("minLength"), self._count("maxLength")
        source = self._get("pattern", "a regular expression", str)
        pattern = None if source is None else self._pattern("pattern", source)
        if least is not None or most is not None or pattern is not None:
            rule = self.node.text or TextRule()
            patterns = () if pattern is None else (pattern,)
            self.node.text = rule._replace(min_length=least or 0, max_length=most, patterns=patterns)

    def _numbers(self) -> None:
        rule = self.node.numbers or NumberRule()
        bounds = {keyword: self._number(keyword) for keyword in ("minimum", "maximum", "multipleOf")}
        changed = rule._replace(
            minimum=bounds["minimum"], maximum=bounds["maximum"], multiple_of=bounds["multipleOf"] or None
        )
        changed = self._exclusive(changed)
        if changed != NumberRule():
            self.node.numbers = changed

    def _exclusive(self, rule: NumberRule) -> NumberRule:
        """In draft 4 a bound is made exclusive; later ones have exclusive bounds."""
        low, high = self.schema.get("exclusiveMinimum"), self.schema.get("exclusiveMaximum")
        if low is True:
            rule = rule._replace(minimum=None, exclusive_minimum=rule.minimum)
        if high is True:
            rule = rule._replace(maximum=None, exclusive_maximum=rule.maximum)
        if not isinstance(low, bool) and low is not None:
            rule = rule._replace(exclusive_minimum=self._number("exclusiveMinimum"))
        if not isinstance(high, bool) and high is not None:
            rule = rule._replace(exclusive_maximum=self._number("exclusiveMaximum"))
        return rule

    def _object(self) -> None:
        node = self.node
        node.properties = {name: self._sub(schema) for name, schema in self._named("properties")}
        patterns = [
            (self._pattern("patternProperties", source), schema) for source, schema in self._named("patternProperties")
        ]
        node.patterns = tuple((pattern, self._sub(schema)) for pattern, schema in patterns if pattern is not None)
        # Where a pattern cannot be told, neither can what is additional to it.
        if all(pattern is not None for pattern, _ in patterns):
            node.additional = self._node("additionalProperties")
            node.unevaluated = self._node("unevaluatedProperties")
        node.names = self._node("propertyNames")
        required = self._get("required", "an array of names", list, bool)
        node.required = self._names("required", required) if isinstance(required, list) else ()
        node.least_properties, node.most_properties = self._count("minProperties") or 0, self._count("maxProperties")
        for name, names in self._named("dependentRequired"):
            node.dependent[name] = self._names("dependentRequired", names)
        for name, schema in self._named("dependentSchemas"):
            node.dependent_schemas[name] = self._sub(schema)
        for name, either in self._named("dependencies"):
            if isinstance(either, list):
                node.dependent[name] = self._names("dependencies", either)
            else:
                node.dependent_schemas[name] = self._sub(either)

    def _array(self) -> None:
        node = self.node
        items = self.schema.get("items")
        if isinstance(items, list) and self.draft != "draft2020-12":
            node.first_items, node.items = self._nodes("items"), self._node("additionalItems")
        else:
            node.first_items, node.items = self._nodes("prefixItems"), self._node("items")
        node.unevaluated_items = self._node("unevaluatedItems")
        least, node.most_contains = self._count("minContains"), self._count("maxContains")
        node.least_contains = 1 if least is None else least
        node.contains = self._node("contains")
        node.least_items, node.most_items = self._count("minItems") or 0, self._count("maxItems")
        if self.schema.get("uniqueItems") is True:
            node.left.add("uniqueItems")

    def _in_place(self) -> None:
        node = self.node
        node.all_of += self._nodes("allOf")
        node.any_of += [group for group in [self._nodes("anyOf")] if group]
        node.one_of += [group for group in [self._nodes("oneOf")] if group]
        refused, condition = self._node("not"), self._node("if")
        if refused is not None:
            node.none_of.append(refused)
        if condition is not None:
            node.condition = (condition, self._node("then"), self._node("else"))


def _refers_dynamically(contents: Any) -> bool:
    """Whether what a reference in it leads to may depend on the way there. A reference may lead anywhere in it."""
    waiting = [contents]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "$dynamicRef" in value or "$recursiveRef" in value or _is_of_meta_schema(value.get("$ref")):
                return True
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return False


def _is_of_meta_schema(reference: Any) -> bool:
    return isinstance(reference, str) and reference.startswith("https://json-schema.org/draft/20")


def _asserts(schema: Any, draft: SchemaDraft) -> bool:
    if not isinstance(schema, dict):
        return False
    named = schema.keys() - PASSED_OVER[draft_of(schema) or draft]
    return any(KEYWORDS.get(each, "unknown") in ("automaton", "end") for each in named)


def _kind(value: Any) -> Kind:
    if value is None:
        return "null"
    kinds: dict[type, Kind] = {bool: "boolean", str: "string", dict: "object", list: "array"}
    return kinds.get(type(value), "number")


def _equal_to(value: Any) -> dict[str, Any]:
    """A schema, in any draft from 6 on, of the values equal to `value`."""
    if isinstance(value, dict):
        properties = {name: _equal_to(part) for name, part in value.items()}
        return {"type": "object", "properties": properties, "required": list(value), "additionalProperties": False}
    if isinstance(value, list):
        items = [_equal_to(part) for part in value]
        size = {"minItems": len(value), "maxItems": len(value)}
        return {"$schema": URIS["draft2020-12"], "type": "array", "prefixItems": items, **size}
    return {"enum": [value]}
