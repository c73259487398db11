"""The patterns that schemas in use have: each made once, and all of them within one bound of memory."""

import weakref

from midfill.engine.schema.pattern import Pattern
from midfill.engine.schema.pattern_graph import graph_of
from midfill.engine.schema.pattern_memory import MOST_BITS, PatternMemory
from midfill.engine.schema.pattern_syntax import parse


class Patterns:
    """Patterns by their text, for as long as any schema has them."""

    def __init__(self, most_bits: int = MOST_BITS) -> None:
        self.memory = PatternMemory(most_bits)
        self._known: weakref.WeakValueDictionary[str, Pattern] = weakref.WeakValueDictionary()

    def compile(self, source: str) -> Pattern:
        """A pattern as JSON Schema has it, to be searched for; raises `UnsupportedPattern`."""
        known = self._known.get(source)
        if known is None:
            known = self._known[source] = Pattern(graph_of(parse(source)), self.memory)
        return known
