"""How a JSON document is laid out, so that what is written into it looks the same."""

import re
from typing import NamedTuple


class Style(NamedTuple):
    """White space between the parts of a document."""

    indent: str | None
    """Of one level; None if a container stands on one line."""
    line_break: str
    comma: str
    """A comma on a line, and what follows it."""
    colon: str

    def before_item(self, depth: int) -> str:
        """What stands between a container's bracket and an item at so many levels."""
        return "" if self.indent is None else self.line_break + self.indent * depth

    def after_comma(self, depth: int) -> str:
        """What stands between a comma and the next item."""
        return self.comma[1:] if self.indent is None else self.line_break + self.indent * depth


def style_of(text: str) -> Style:
    """The style of a document, or of its first part. Pure."""
    line = re.search(r"[\[{,]\s*?(\r\n|\n|\r)([ \t]+)\S", text)
    colon = re.search(r'"\s*:(\s*)\S', text)
    space = " " if colon is None or colon[1] else ""
    if line is None:
        return Style(None, "\n", ", " if re.search(r",[ ]", text) or space else ",", ":" + space)
    return Style(_indent(text) or line[2], line[1], ", ", ":" + space)


def _indent(text: str) -> str | None:
    """The least indentation of a line in the first few."""
    found = re.findall(r"(?:^|[\r\n])([ \t]+)\S", text[:4096])
    return min(found, key=len, default=None)
