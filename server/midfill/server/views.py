"""What is looked at of a document around a gap. Pure."""

from midfill.server.document import Document, Window
from midfill.server.ghost import NUM_LINES, Surroundings
from midfill.server.offers import Gap
from midfill.server.reuse import SITUATION_CHARS, Situation


def situation_at(document: Document, gap: Gap) -> Situation:
    """What the gap stands between, as far as it matters for whether it is the same gap."""
    before = document.before(gap.start, SITUATION_CHARS) + gap.typed
    return Situation(before[-SITUATION_CHARS:], document.after(gap.end, SITUATION_CHARS))


def whole_text(document: Document, gap: Gap) -> Window:
    """All of the text on either side."""
    before = document.before(gap.start, document.num_bytes) + gap.typed
    return Window(before, document.after(gap.end, document.num_bytes))


def surroundings_at(document: Document, gap: Gap) -> Surroundings:
    """What the post-filters look at."""
    lines, first, last = document.lines, gap.start.line, gap.end.line
    return Surroundings(
        line_before=lines[first][: gap.start.column] + gap.typed,
        line_after=_bare(lines[last][gap.end.column :]),
        above=[_bare(line) for line in lines[max(0, first - NUM_LINES) : first]],
        below=[_bare(line) for line in lines[last + 1 : last + 1 + NUM_LINES]],
        eol=document.eol,
        indent=None,
    )


def _bare(line: str) -> str:
    return line.rstrip("\r\n")
