"""When to ask the engine, and when to say nothing: how long to wait after a key, and where a proposal only disturbs."""

import unicodedata
from collections import deque
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pygments.lexer import Lexer

PAUSE_MS = 1000
MIN_INTERVAL_MS, MAX_INTERVAL_MS = 60, 400
MAX_DELAY_MS = 300
DUE_SHARE = 0.75
LEXED_CHARS = 4096

_NUM_INTERVALS = 20
_SAME_KEY_MS = 10
_START_INTERVAL_MS = 150
# LSP's language identifiers that are none of pygments' names.
_LEXERS = {
    "cuda-cpp": "cuda",
    "dockercompose": "yaml",
    "javascriptreact": "jsx",
    "jsonc": "json",
    "objective-cpp": "objective-c++",
    "shellscript": "bash",
    "typescriptreact": "tsx",
    "vb": "vbnet",
}


class Rhythm:
    """How fast the user types, in one document. Times are in ms, of any clock that never goes back."""

    def __init__(self) -> None:
        self._intervals: deque[float] = deque(maxlen=_NUM_INTERVALS)
        self._last_ms: float | None = None
        self._resumed = True

    def typed(self, at_ms: float) -> None:
        """A change has come. Those that come with it, such as the bracket that an editor closes, are the same key."""
        if self._last_ms is not None:
            interval = at_ms - self._last_ms
            if interval < _SAME_KEY_MS:
                return
            self._resumed = interval > PAUSE_MS
            if not self._resumed:
                self._intervals.append(interval)
        self._last_ms = at_ms

    def delay_ms(self, engine_ms: float | None, at_ms: float | None = None) -> float:
        """How long to wait before the engine is asked, for an answer to be there when the next key is nearly due.

        That is DUE_SHARE of the usual interval after the last key, less what the engine is known to take, and less
        what has passed at `at_ms`: some editors wait themselves. None after a pause, when nothing is being typed fast.

        Earlier answers flash by between two keys, later ones keep the user waiting. On a recorded session of 20,000
        keys and an engine of 20 to 100 ms, 0.75 shows an answer 100 ms after the last key before a pause (with 1.0,
        134 ms), and has none to show for the three keys in ten that are followed faster.
        """
        if self._resumed:
            return 0.0
        passed = 0.0 if at_ms is None or self._last_ms is None else max(0.0, at_ms - self._last_ms)
        due = DUE_SHARE * self._usual_ms() - (engine_ms or 0.0) - passed
        return min(max(due, 0.0), MAX_DELAY_MS)

    def _usual_ms(self) -> float:
        middle = sorted(self._intervals)[len(self._intervals) // 2] if self._intervals else _START_INTERVAL_MS
        return min(max(middle, MIN_INTERVAL_MS), MAX_INTERVAL_MS)


def reason_for_quiet(
    before: str, after: str, *, deleted: bool, language: str, in_comments: bool = True, in_strings: bool = True
) -> str | None:
    """Why nothing should be proposed between `before` and `after` unasked, or None. Pure.

    `deleted` says that the last change only took text away. Comments and strings are looked for where the settings do
    not want them filled, in LEXED_CHARS on either side.
    """
    if deleted:
        return "after a delete"
    if _is_word(before[-1:]) and _is_word(after[:1]):
        return "inside a word"
    if in_comments and in_strings:
        return None
    kind = _kind(before[-LEXED_CHARS:], after[:LEXED_CHARS], language)
    if kind == "comment" and not in_comments:
        return "in a comment"
    if kind == "string" and not in_strings:
        return "in a string"
    return None


def _is_word(sign: str) -> bool:
    # Wide letters are those of scripts that put no spaces between words: there, every place is between two letters.
    return sign == "_" or (sign.isalnum() and unicodedata.east_asian_width(sign) not in "WF")


def _kind(before: str, after: str, language: str) -> Literal["comment", "string"] | None:
    """What the cursor is in, where pygments knows the language; a docstring is a comment once it is closed."""
    lexer = _lexer(language)
    if lexer is None:
        return None
    if len(before) == LEXED_CHARS:
        before = before.partition("\n")[2]  # the first line may have been cut inside a string
    before, after = before.replace("\r\n", "\n"), after.replace("\r\n", "\n")
    from pygments.token import Comment, Error, String

    code = (Comment.Preproc, Comment.PreprocFile, Comment.Hashbang)  # comments by name only
    # A letter at the cursor: whether a text there is part of the string is seen from what becomes of it.
    cursor, open_quote = len(before), False
    for start, token, text in lexer.get_tokens_unprocessed(before + "x" + after):
        if start + len(text) > cursor:
            if token in String.Doc or (token in Comment and token not in code):
                return "comment"
            return "string" if token in String or open_quote else None
        # Many lexers know no string without its end: the quote is an error to them.
        open_quote = (open_quote or (token is Error and text in "\"'`")) and "\n" not in text
    return None


@cache
def _lexer(language: str) -> "Lexer | None":
    from pygments.lexers import find_lexer_class_by_name  # here: only those pay for it who ask
    from pygments.util import ClassNotFound

    try:
        return find_lexer_class_by_name(_LEXERS.get(language, language))()
    except ClassNotFound:
        return None
