"""The text after a hole: which containers it closes, and which keys it has for them."""

from __future__ import annotations

import json
import re

# A string that does not end is one token, or a search would begin anew at each quote within it.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+("|\\?\Z)|[\[\]{}]', re.DOTALL)
_IS_KEY = re.compile(rb"\s*:")
_STRING_END = re.compile(rb'\A(?:[^"\\]|\\.)*+"', re.DOTALL)


class Rest:
    """A suffix that begins outside of a string, or inside one."""

    def __init__(self, text: bytes, *, is_string: bool) -> None:
        self.text = text
        self.pieces: list[bytes] = []
        """The text, cut behind each bracket that closes a container which was open before it."""
        self._keys: list[frozenset[str]] = []
        self.is_whole = True
        """Whether all its strings end; otherwise it is not to be read so, but for comments."""
        self.containers = b""
        """The brackets that close containers which were open before it, the outermost's first."""
        self._cut(text, is_string)

    @property
    def depth(self) -> int:
        """Containers that it closes and does not open."""
        return len(self._keys) - 1

    def keys(self, depth: int) -> frozenset[str]:
        """The keys that it gives to the container at this depth, if that is an object which is open at the hole's end.

        The document's outermost container is at depth 1.
        """
        return self._keys[self.depth - depth] if 0 < depth <= self.depth else frozenset()

    def _cut(self, text: bytes, is_string: bool) -> None:
        ended = _STRING_END.match(text) if is_string else None
        place = start = ended.end() if ended else 0
        if ended:
            start = 0
        depth, keys, closers = 0, set[str](), bytearray()
        if ended and _IS_KEY.match(text, place):
            keys.add("")  # the end of a key: which one, the hole decides
        self.is_whole = not is_string or ended is not None
        while (token := _TOKEN.search(text, place)) is not None:
            place = token.end()
            if token[0] in (b"{", b"["):
                depth += 1
            elif token[0] in (b"}", b"]"):
                depth -= 1
                if depth < 0:
                    closers += token[0]
                    self.pieces.append(text[start:place])
                    self._keys.append(frozenset(keys))
                    start, depth, keys = place, 0, set()
            elif token[1] != b'"':
                self.is_whole = False
            elif depth == 0 and _IS_KEY.match(text, place):
                keys.add(_decoded(token[0]))
        if start < len(text):
            self.pieces.append(text[start:])
        self._keys.append(frozenset(keys))
        self.containers = bytes(closers[::-1])


def _decoded(literal: bytes) -> str:
    try:
        return json.loads(literal)
    except ValueError:
        return ""
