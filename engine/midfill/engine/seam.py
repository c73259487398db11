"""Where text that was written left to right meets the text behind the gap, and has to end. Pure.

A model that writes has seen the suffix, but nothing keeps it from writing it again, from closing brackets that are
closed there, or from going on with what comes after the block.
"""

import re
from typing import NamedTuple

OPENING, CLOSING = "([{", ")]}"
_BRACKET = re.compile(f"[{re.escape(OPENING + CLOSING)}]")
MIN_OVERLAP = 12
"""Characters of the suffix, white space apart, that are no accident when they are written."""
MOST_HEAD = 200
"""Characters of it that are looked for."""
_STRING = re.compile(r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*\"""")
"""Within a line."""
_BEGUN = re.compile(r"""['"][^\n]*\Z""")
"""A string that goes on, once the whole ones are taken out."""


class Seam(NamedTuple):
    """What is known of the end of a fill."""

    head: str
    """The suffix's first text, enough of it to be known again; empty if there is none."""
    may_close: int | None
    """Brackets of the prefix that the suffix does not close; None inside a string, where they say nothing."""
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
        if self.may_close is None:
            return None
        depth = self.may_close
        for index, char in enumerate(_blanked(text)):
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
                return self.ended_before(text, begin)
        return None

    def ended_before(self, text: str, line: int) -> int:
        """Where a fill ends whose lines from offset `line` on are not its own: nor are the blank ones before."""
        kept = text[:line].rstrip()
        return text.find("\n", len(kept)) + 1 if self.keeps_break else len(kept)


def seam(prefix: str, suffix: str) -> Seam:
    """The seam of a fill between the two."""
    opened, _ = unmatched(prefix)
    _, closed = unmatched(suffix)
    in_string = _BEGUN.search(_STRING.sub("", prefix.rpartition("\n")[2])) is not None
    rest = suffix.partition("\n")[0].strip()
    return Seam(
        head=_head(suffix),
        may_close=None if in_string else max(0, opened - closed),
        indent=_indent_between(prefix, suffix),
        keeps_break=bool(rest) and not prefix.rpartition("\n")[2].strip(),
    )


def _head(suffix: str) -> str:
    """The fewest whole lines with `MIN_OVERLAP` characters of text, cut where they are very long; else nothing."""
    end = seen = 0
    while end < min(len(suffix), MOST_HEAD) and seen < MIN_OVERLAP:
        begin, end = end, suffix.find("\n", end) + 1 or len(suffix)
        seen += len("".join(suffix[begin : min(end, MOST_HEAD)].split()))
    return suffix[: min(end, MOST_HEAD)].rstrip() if seen >= MIN_OVERLAP else ""


def _blanked(text: str) -> str:
    """The text with its strings blank, and the last one, where it goes on."""
    whole = _STRING.sub(lambda found: " " * len(found[0]), text)
    return _BEGUN.sub(lambda found: " " * len(found[0]), whole)


def unmatched(text: str) -> tuple[int, int]:
    """Brackets that are opened and not closed in `text`, and closed and not opened; those in strings do not count."""
    opened = closed = 0
    for char in _BRACKET.findall(_blanked(text)):
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
