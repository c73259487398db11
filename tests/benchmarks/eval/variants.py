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
PLAIN = ("denoise.commit_entropy=0", "syntax_penalty=0")
"""Without what came later."""
ANYWHERE = Asked(scope="any")

VARIANTS = {
    "canvas": Variant("the canvas alone, as it was at first", (*FIRST, *PLAIN), ANYWHERE),
    "pins-unmarked": Variant(
        "no pin is marked in the self-conditioning", (*FIRST, *PLAIN, "denoise.mark_pins_from_step=99"), ANYWHERE
    ),
    "pins-late": Variant(
        "pins are marked from the second step on", (*FIRST, *PLAIN, "denoise.mark_pins_from_step=1"), ANYWHERE
    ),
    "early-commit": Variant("rows that are sure stop denoising", (*FIRST, "syntax_penalty=0"), ANYWHERE),
    "beam": Variant(
        "fewer lengths, drafted in one step, and a beam search beside them", ("syntax_penalty=0",), ANYWHERE
    ),
    "scope": Variant("and fills end with their scope", ("syntax_penalty=0",)),
    "all": Variant("and errors of syntax count: as it ships"),
    "best": Variant("best mode", (), Asked(mode="best")),
}
"""By the names that VARIANTS= takes."""
