"""What the engine has found fit for one document: there, nothing else is shown, and that is shown as it is.

The filters of `ghost` mend what a model may get wrong. A fill that was checked has nothing wrong, and after any change
it would have to be checked again.
"""

import re
from collections import deque
from hashlib import blake2b

from midfill.engine.wire import Infill, InfillRequest, Schema
from midfill.server.document import Window
from midfill.server.ghost import Ghost, Surroundings, verbatim

MAX_CHECKED_BYTES = 1 << 18
"""Of a document; a larger one is not sent whole with every key."""
MAX_TEXTS = 256

_CLOSERS = re.compile(r"[\]}\"]{0,8}")


class Checked:
    """The whole texts, as digests, that accepting a fill makes of the document, and the schema behind them."""

    def __init__(self) -> None:
        self.schema: Schema | None = None
        self.is_in_force = False
        """Whether this document's fills are checked: the engine says so with its first answer."""
        self._texts: deque[bytes] = deque(maxlen=MAX_TEXTS)

    def follow(self, schema: Schema | None) -> bool:
        """Takes a schema over. False if it is the one already; what met another need not meet this one."""
        if schema == self.schema:
            return False
        self.schema = schema
        self._texts.clear()
        return True

    def note(self, request: InfillRequest, infill: Infill) -> None:
        """Takes note of an answer, unless it is one by a schema that does not count any more."""
        if request.schema != self.schema:
            return
        if infill.valid is not None:
            self.is_in_force = True
        # In a text that is broken elsewhere it may show one that makes that no worse.
        if infill.valid or infill.shown:
            fills = (infill.text, *(other.text for other in infill.others))
            self._texts.extend(_digest(request.prefix + fill + request.suffix) for fill in fills)

    def num_replaced(self, fill: str, whole: Window) -> int | None:
        """How many characters the fill has to replace to make a text that was found fit; None if it makes none.

        They are closers that the editor added behind what was typed: the fill brings its own.
        """
        closers = _CLOSERS.match(whole.suffix)
        longest = len(closers[0]) if closers else 0
        made = (whole.prefix + fill + whole.suffix[num:] for num in range(longest + 1))
        return next((num for num, text in enumerate(made) if _digest(text) in self._texts), None)

    def ghost(self, fill: str, whole: Window, around: Surroundings, *, may_split: bool) -> Ghost | None:
        """The fill as it may be shown; None if it may not."""
        replaced = self.num_replaced(fill, whole)
        return None if replaced is None else verbatim(fill, around, replaced, may_split=may_split)


def _digest(text: str) -> bytes:
    """Of the text, whatever its line ends: 0.5 ms for 256 KB."""
    return blake2b(text.replace("\r\n", "\n").encode("utf-8", "surrogatepass"), digest_size=16).digest()
