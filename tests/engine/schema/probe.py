"""Runs texts through a constraint byte by byte, for the tests."""

from midfill.engine.schema.constraint import DEAD, Constraint


def state_after(constraint: Constraint, text: str | bytes) -> int:
    """The state that a text leads to from the start."""
    state = constraint.start
    for byte in text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"):
        state = constraint.step(state, byte)
        if state == DEAD:
            break
    return state


def accepts(constraint: Constraint, text: str | bytes) -> bool:
    """Whether the hole may be filled with just this text."""
    state = state_after(constraint, text)
    return state != DEAD and constraint.is_exit(state)


def shortest_fill(constraint: Constraint) -> str | None:
    """What the constraint itself would fill the hole with."""
    completion = constraint.completion(constraint.start) if constraint.start != DEAD else None
    return None if completion is None else completion.decode()
