"""Where text that was written left to right meets the text behind the gap, and has to end. Pure.

A model that writes has seen the suffix, but nothing keeps it from writing it again, from closing brackets that are
closed there, or from going on with what comes after the block.
"""

from typing import NamedTuple

OPENING, CLOSING = "([{", ")]}"
MIN_OVERLAP = 12
"""Characters of the suffix, white space apart, that are no accident when they are written."""
MOST_HEAD = 200


class Seam(NamedTuple):
    """What is known of the end of a fill."""

    head: str
    """The suffix's first text, enough of it to be known again; empty if there is none."""
    may_close: int
    """Brackets of the prefix that the suffix does not close."""
    indent: int
    """Characters that each further line begins with at least, white space, unless it closes a bracket."""
    keeps_break: bool
    """Whether the line break before a line of less indentation is of the fill, as the suffix begins with a line."""

    def end(self, text: str) -> int | None:
        """How many characters of `text`, written so far, are the fill; None as long as it may go on."""
        ends = [self._overlap(text), self._closed(text), self._dedented(text)]
        return min((end for end in ends if end is not None), default=None)

    def _overlap(self, text: str) -> int | None:
        found = text.find(self.head) if self.head else -1
        return None if found < 0 else found

    def _closed(self, text: str) -> int | None:
        """Before the bracket that the suffix closes itself."""
        depth = self.may_close
        for index, char in enumerate(text):
            depth += (char in OPENING) - (char in CLOSING)
            if depth < 0:
                return index
        return None

    def _dedented(self, text: str) -> int | None:
        """After the last line of the block, less the blank ones that follow it."""
        end = text.find("\n")
        while end >= 0:
            begin = end + 1
            end = text.find("\n", begin)
            line = text[begin : end if end >= 0 else len(text)]
            bare = line.lstrip(" \t\r")
            if bare and bare[0] not in CLOSING and len(line) - len(bare) < self.indent:
                kept = text[:begin].rstrip()
                return text.find("\n", len(kept)) + 1 if self.keeps_break else len(kept)
        return None


def seam(prefix: str, suffix: str) -> Seam:
    """The seam of a fill between the two."""
    opened, _ = _unmatched(prefix)
    _, closed = _unmatched(suffix)
    rest = suffix.partition("\n")[0].strip()
    return Seam(
        head=_head(suffix),
        may_close=max(0, opened - closed),
        indent=_indent_between(prefix, suffix),
        keeps_break=bool(rest) and not prefix.rpartition("\n")[2].strip(),
    )


def _head(suffix: str) -> str:
    """The fewest whole lines with `MIN_OVERLAP` characters of text, cut where they are very long; else nothing."""
    end = 0
    while end < len(suffix):
        end = suffix.find("\n", end) + 1 or len(suffix)
        if len("".join(suffix[: min(end, MOST_HEAD)].split())) >= MIN_OVERLAP:
            return suffix[: min(end, MOST_HEAD)].rstrip()
    return ""


def _unmatched(text: str) -> tuple[int, int]:
    """Brackets that are opened and not closed in `text`, and closed and not opened. Strings are not looked for."""
    opened = closed = 0
    for char in text:
        if char in OPENING:
            opened += 1
        elif char in CLOSING and opened:
            opened -= 1
        elif char in CLOSING:
            closed += 1
    return opened, closed


def _indent_between(prefix: str, suffix: str) -> int:
    """The smaller indentation of the cursor's line and of the next line of text; 0 if there is none."""
    own = prefix.rpartition("\n")[2]
    following = (line for line in suffix.split("\n")[1:] if line.strip())
    lines = [own, next(following, "")]
    if not own.strip() and suffix.partition("\n")[0].strip():
        lines[1] = own + suffix.partition("\n")[0]
    return min(len(line) - len(line.lstrip(" \t")) for line in lines)
