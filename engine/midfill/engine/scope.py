"""How far a fill may go: to the end of the cursor's line, of its block, or anywhere. Pure.

A suggestion of more lines than were in question is what annoys most, and its first line may be right. Told by line
breaks, indentation and brackets alone, as a text that is being typed seldom parses.
"""

import re
from functools import cache
from typing import Literal, NamedTuple

from midfill.engine.seam import CLOSING, OPENING, Seam, unmatched
from midfill.engine.wire import Scope

PROSE = frozenset({"asciidoc", "git-commit", "latex", "markdown", "mdx", "plaintext", "restructuredtext", "tex"})
_HASH = frozenset(
    {"cmake", "coffeescript", "dockerfile", "elixir", "julia", "makefile", "nix", "perl", "powershell", "python"}
    | {"r", "ruby", "shellscript", "toml", "yaml"}
)
"""Languages whose comments begin with it."""
_DASH = frozenset({"ada", "elm", "haskell", "lua", "sql", "vhdl"})
_SLASH_STAR = re.compile(r"^[ \t]*/\*(?:(?!\*/).)*\Z", re.MULTILINE | re.DOTALL)
"""A comment that goes on at the end of the text. Within a line, `/*` is more often of a path."""
_LONG = ('"""', "'''")
_STRINGS = r"""\"{3}.*?(?:\"{3}|\Z)|'{3}.*?(?:'{3}|\Z)|`[^`]*(?:`|\Z)|"(?:[^"\\\n]|\\.)*\"|"""
_CHARACTER, _QUOTED = r"'(?:[^'\\\n]|\\[^\n]{1,8})'", r"'(?:[^'\\\n]|\\.)*'"
_OPENS = re.compile(r"(?:[:({\[]|=>|->|\b(?:begin|do|else|then))\s*\Z")
_CLOSERS = " \t\r,;:)]}>\"'`"
"""What editors and people put behind the cursor before there is anything in front of it."""
_BRANCHES = ("end", "fi", "done", "esac", "else", "elif", "elsif", "elseif", "except", "finally", "rescue", "ensure")
"""What ends a statement of several blocks, or begins the next of them."""
_GOES_ON = re.compile(r"(?:\\|[=|]|&&|(?<!\+)\+)[ \t\r]*\Z")
_SIGN = re.compile(r"[()\[\]{}\n]")


class FillScope(NamedTuple):
    """What is known of how far a fill may go."""

    kind: Literal["line", "block", "any"]
    begins_line: bool
    """Whether nothing but white space stands before the cursor in its line."""
    indent: int
    """Characters of white space that the cursor's line begins with."""
    opened: int
    """Brackets of the cursor's line that are not closed in it."""
    within: str
    """The quote or the mark of a comment that the cursor stands behind; empty in code."""
    noise: re.Pattern[str] | None
    """Strings and comments of the language; None of prose."""

    def end(self, text: str, seam: Seam) -> int | None:
        """How many characters of `text`, written so far, are in scope; None as long as all may be."""
        if self.kind == "any":
            return None
        if self.noise is None:
            return self._end_of_prose(text, seam)
        breaks = self._breaks(text)
        if self.kind == "line":
            end = next((end for end in breaks if text[:end].strip()), None)
            return end if end is None else seam.ended_before(text, end)
        return self._end_of_block(text, breaks, seam)

    def _end_of_prose(self, text: str, seam: Seam) -> int | None:
        """The end of the line that the cursor is in; of the paragraph, where that begins with the fill."""
        found = re.search(r"\S[^\n]*\n" if self.kind == "line" else r"\S[ \t\r]*\n[ \t\r]*\n", text)
        return None if found is None else seam.ended_before(text, found.end())

    def _end_of_block(self, text: str, breaks: list[int], seam: Seam) -> int | None:
        """Before the first line that belongs neither to the block nor to what closes it."""
        told = [(end + 1, line) for end in breaks if (line := _line(text, end + 1)).bare]
        if not told:
            return None
        inside = self._inside(text[: breaks[0]], told[0][1].indent)
        ends = (begin for begin, line in told if line.indent < inside and not line.closes)
        begin = next(ends, None)
        return None if begin is None else seam.ended_before(text, begin)

    def _inside(self, first: str, next_indent: int) -> int:
        """The least indentation of the block's lines.

        What follows a line that the cursor stands in is what that opens or is continued by. A fill that begins with a
        line break leaves it as it is: then lines beside it may follow too.
        """
        if self.begins_line and first.strip():
            return self.indent
        if first.strip() or (next_indent > self.indent and not self.begins_line):
            return self.indent + 1
        return min(self.indent, next_indent)

    def _breaks(self, text: str) -> list[int]:
        """The line breaks outside strings and brackets, where no line goes on."""
        code, depth, begin, breaks = self._code(text), self.opened, 0, list[int]()
        for found in _SIGN.finditer(code):
            depth += (found[0] in OPENING) - (found[0] in CLOSING)
            if found[0] == "\n" and depth <= 0 and not _GOES_ON.search(code, begin, found.start()):
                breaks.append(found.start())
            if found[0] == "\n":
                depth, begin = max(depth, 0), found.end()
        return breaks

    def _code(self, text: str) -> str:
        """The text with all that is in strings or comments blank, line breaks too but in the one the cursor is in."""
        assert self.noise is not None
        begun = _length_within(self.within, text)
        return re.sub(r"[^\n]", " ", text[:begun]) + self.noise.sub(_blank, text[begun:])


class _Line(NamedTuple):
    """A line of a fill."""

    indent: int
    bare: str
    """Without its indentation."""

    @property
    def closes(self) -> bool:
        """Whether it ends a block that begins before it, or goes on with another of the same statement."""
        if self.bare[0] in CLOSING:
            return True
        word = re.split(r"\W", self.bare, maxsplit=1)[0]
        return word in _BRANCHES or any(branch.startswith(self.bare) for branch in _BRANCHES)  # may become one


def ends_at(scope: FillScope, seam: Seam, text: str) -> int | None:
    """How many characters of `text` are the fill: in scope, and not what stands behind it anyway; None if all are."""
    ends = (scope.end(text, seam), seam.end(text))
    return min((end for end in ends if end is not None), default=None)


def scope_of(prefix: str, suffix: str, language: str | None, asked: Scope = "auto") -> FillScope:
    """The scope of a fill between the two; `asked` is what the text says, where it is `auto`."""
    own, rest = prefix.rpartition("\n")[2], suffix.partition("\n")[0]
    noise = None if language in PROSE else _noise(language)
    within = "" if noise is None else _within(prefix, own, noise, language)
    opened = 0
    if noise is not None and not within:
        opened = max(0, unmatched(noise.sub(_blank, own))[0] - unmatched(noise.sub(_blank, rest))[1])
    return FillScope(
        kind=_kind(own, suffix, noise is None or bool(within)) if asked == "auto" else asked,
        begins_line=not own.strip(),
        indent=_indent(own),
        opened=opened,
        within=within,
        noise=noise,
    )


def _kind(own: str, suffix: str, is_text: bool) -> Literal["line", "block", "any"]:
    """What the text around the cursor says.

    At the start of a line nothing says which block the cursor is in. A line whose block stands there already, and one
    that goes on behind the cursor, can be filled up, and no more.
    """
    if is_text:
        return "line" if own.strip() else "block"
    if not own:
        return "any"
    rest, _, below = suffix.partition("\n")
    following = next((line for line in below.split("\n") if line.strip()), "")
    goes_on = bool(rest.strip(_CLOSERS)) or (_indent(following) > _indent(own) and _OPENS.search(own) is None)
    return "line" if own.strip() and goes_on else "block"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t\r"))


def _line(text: str, begin: int) -> _Line:
    whole = text[begin:].partition("\n")[0]
    return _Line(_indent(whole), whole.strip())


def _mark_of_comments(language: str | None) -> str:
    if language is None:
        return ""
    return "#" if language in _HASH else "--" if language in _DASH else "//"


@cache
def _noise(language: str | None) -> re.Pattern[str]:
    """Strings and comments. A quote in Rust begins a lifetime more often than a character."""
    strings = _STRINGS + (_CHARACTER if language == "rust" else _QUOTED)
    mark = _mark_of_comments(language)
    comments = rf"|{mark}[^\n]*" if mark else ""
    return re.compile(strings + comments + (r"|/\*.*?(?:\*/|\Z)" if mark == "//" else ""), re.DOTALL)


def _within(prefix: str, own: str, noise: re.Pattern[str], language: str | None) -> str:
    """What the cursor stands behind. Only long strings and comments may have begun before its line."""
    mark = _mark_of_comments(language)
    if mark == "//" and _SLASH_STAR.search(prefix):
        return "/*"
    told = prefix[_top_level(prefix) :]
    if long := next((quotes for quotes in _LONG if told.count(quotes) % 2), ""):
        return long
    last = next((found[0] for found in noise.finditer(own) if found.end() == len(own)), "")
    if mark and last.startswith(mark):
        return mark
    if last.startswith("`") and (last == "`" or not last.endswith("`")):
        return "`"
    begun = re.search('"' if language == "rust" else "[\"']", noise.sub(_blank, own))
    return "" if begun is None else begun[0]


def _top_level(prefix: str) -> int:
    """Where the last definition at the left edge begins: no string goes on there, though `prefix` may begin in one."""
    return max(0, *(prefix.rfind(f"\n{word}") for word in ("def ", "async def ", "class ", "@")))


def _length_within(within: str, text: str) -> int:
    """How much of the text is still of what the cursor stands behind."""
    if not within:
        return 0
    is_long = within in {*_LONG, "/*", "`"}
    closing = "*/" if within == "/*" else within
    ends = [text.find(closing) + len(closing)] if closing in text else []
    ends += [text.find("\n")] if not is_long and "\n" in text else []
    return min(ends, default=len(text))


def _blank(found: re.Match[str]) -> str:
    return " " * len(found[0])
