"""Ways to fill that are compared: each is a line here, the first is what the others are compared with."""

from typing import NamedTuple

from midfill.engine.commands.evaluate import Asked


class Variant(NamedTuple):
    does: str
    """For the report."""
    changes: tuple[str, ...] = ()
    """As after `midfill eval --set`."""
    asked: Asked = Asked()


FIRST = ("search=none", "num_lengths=18", "num_finalists=3", "longest_candidate=24", "suffix_head=16")
"""Settings of the canvas before there was anything beside it."""
BY_PROMPT = ("recall=none",)
"""The rest of the file does not count."""
UNCHECKED = ("syntax_penalty=0", "repeat_penalty=0", *BY_PROMPT)
"""The causal mode chooses alone."""
PLAIN = ("denoise.settle_entropy=0", *UNCHECKED)
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
    "settle-early": Variant("rows that are sure stop denoising", (*FIRST, *UNCHECKED), ANYWHERE),
    "search": Variant("few lengths, drafted in one step, and the causal mode's search from there", UNCHECKED, ANYWHERE),
    "scope": Variant("and fills end with their scope", UNCHECKED),
    "syntax": Variant("and errors of syntax count", ("repeat_penalty=0", *BY_PROMPT)),
    "repeats": Variant("and repeated lines do", BY_PROMPT),
    "all": Variant("and the rest of the file is recalled: as it ships"),
    "best": Variant("best mode", (), Asked(mode="best")),
}
"""By the names that VARIANTS= takes."""
