"""Runs texts through a constraint byte by byte, for the tests."""

from midfill.engine.schema.constraint import DEAD, Constraint
from midfill.engine.schema.gap import Gap
from midfill.engine.schema.load import load_automaton
from midfill.engine.wire import Schema


def hole(schema: Schema | None, prefix: str = "", suffix: str = "", language: str = "json") -> Gap:
    """The constraint of a fill between two texts."""
    return Gap(load_automaton(schema, language), prefix, suffix)


def state_after(constraint: Constraint, text: str | bytes) -> int:
    """The state that a text leads to from the start."""
    state = constraint.start
    for byte in text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"):
        state = constraint.step(state, byte)
        if state == DEAD:
            break
    return state


def accepts(gap: Gap, text: str | bytes) -> bool:
    """Whether the hole may be filled with just this text, and all of the document is right then."""
    return gap.holds == "all" and gap.is_exit(state_after(gap, text))


def accepts_document(schema: Schema | None, text: str | bytes, language: str = "json") -> bool:
    """Whether the automaton takes a whole document: byte by byte, and the same with whole strings at a time."""
    automaton = load_automaton(schema, language)
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    at_once = automaton.accepts(automaton.run(automaton.start, data))
    state = automaton.start
    for byte in data:
        state = automaton.step(state, byte)
    assert automaton.accepts(state) == at_once
    return at_once


def shortest_fill(gap: Gap) -> str | None:
    """What the automaton alone would fill the hole with; None if it finds nothing that keeps the document right."""
    completion = gap.completion(gap.start) if gap.holds == "all" and gap.start != DEAD else None
    return None if completion is None else completion.decode()
