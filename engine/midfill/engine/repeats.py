"""Lines that say again what the line before them says: a small model's habit, and hardly ever what a person writes."""

MIN_CHARS = 3
"""Of a line that counts: closing brackets do stand below each other."""


def repeated_lines(prefix: str, fill: str, suffix: str) -> int:
    """How many lines of the fill equal the line of text before them, the white space around them apart. Pure.

    The first is taken with what stands before it in its line, the last with what stands behind it.
    """
    above, _, own = prefix.rpartition("\n")
    before = above.rstrip().rpartition("\n")[2].strip()
    repeated = 0
    for line in (own + fill + suffix.partition("\n")[0]).split("\n"):
        if not (bare := line.strip()):
            continue
        repeated += bare == before and len(bare) >= MIN_CHARS and any(map(str.isalnum, bare))
        before = bare
    return repeated
