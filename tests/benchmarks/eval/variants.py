"""Ways to fill that are compared: each is a line here, the first is what the others are compared with."""

from typing import NamedTuple

from midfill.engine.commands.evaluate import Asked


class Variant(NamedTuple):
    does: str
    """For the report."""
    changes: tuple[str, ...] = ()
    """As after `midfill eval --set`."""
    asked: Asked = Asked()


FIRST = ("beam=none", "num_lengths=18", "num_finalists=3", "longest_candidate=24", "suffix_head=16")
"""Settings of the canvas before there was anything beside it."""

VARIANTS = {
    "canvas": Variant("the canvas alone, as it was at first", FIRST, Asked(scope="any")),
    "canvas-now": Variant("the canvas alone, its settings as they are", ("beam=none",), Asked(scope="any")),
    "beam": Variant("and a beam search beside it", (), Asked(scope="any")),
    "all": Variant("all together, as it ships"),
    "best": Variant("best mode", (), Asked(mode="best")),
}
"""By the names that VARIANTS= takes."""
