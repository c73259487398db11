"""Text to tokens and back. Tokenizing is incremental without keeping state that could drift: lines are remembered.

No token of the supported vocabularies holds a line break after another character, so no merge crosses the place before
a run of line breaks. Text can be cut there, each piece tokenized on its own, and the pieces' tokens joined: after an
edit only the changed lines are new work. Where a tokenizer lacks that property, whole texts are tokenized.
"""

import bisect
import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import tokenizers

from midfill.engine.errors import CheckpointError

_PIECE = re.compile(r"[\r\n]*[^\r\n]+|[\r\n]+")
REMEMBERED_PIECES = 1 << 16
LONGEST_REMEMBERED = 2048
"""Characters; longer lines are tokenized each time rather than kept in memory."""


class Tokenizer:
    """A checkpoint's `tokenizer.json`. Special tokens are never made from text, only by `special`."""

    def __init__(self, path: Path) -> None:
        try:
            self._inner = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # noqa: BLE001 (the library raises bare Exception)
            raise CheckpointError(path, "a tokenizer.json", str(error)) from None
        self._inner.encode_special_tokens = True
        self._inner.no_truncation()
        self._inner.no_padding()
        added = self._inner.get_added_tokens_decoder()
        self.special_ids = {token.content: id for id, token in added.items() if token.special}
        self.token_bytes = self._spell_vocabulary(added)
        """What each id stands for: empty for special tokens and for ids without a token."""
        self.is_line_separable = self._is_line_separable()
        self._remember = functools.lru_cache(maxsize=REMEMBERED_PIECES)(self._encode_piece)
        self._sorted = sorted((spelled, id) for id, spelled in enumerate(self.token_bytes) if spelled)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, the same as tokenizing it as a whole."""
        if not self.is_line_separable:
            return list(self._encode_piece(text))
        ids: list[int] = []
        for piece in _PIECE.findall(text):
            ids.extend(self._remember(piece) if len(piece) <= LONGEST_REMEMBERED else self._encode_piece(piece))
        return ids

    def _encode_piece(self, piece: str) -> tuple[int, ...]:
        return tuple(self._inner.encode(piece, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`; special tokens have none, and bytes that are not UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """The UTF-8 bytes of `ids`, of which a first or last character may be cut."""
        return b"".join(self.token_bytes[id] for id in ids)

    def special(self, name: str) -> int | None:
        """Id of the special token `name`, if the vocabulary has it."""
        return self.special_ids.get(name)

    def starting_with(self, start: bytes) -> list[int]:
        """Ids of all tokens whose bytes begin with `start`, itself included."""
        low = bisect.bisect_left(self._sorted, (start, -1))
        high = bisect.bisect_left(self._sorted, (start + b"\xff" * 32, -1), lo=low)
        return [id for _, id in self._sorted[low:high]]

    def begins_longer(self, start: bytes) -> bool:
        """Whether the bytes of some token begin with `start` and go on."""
        after = bisect.bisect_right(self._sorted, (start, len(self.token_bytes)))
        return after < len(self._sorted) and self._sorted[after][0].startswith(start)

    def _spell_vocabulary(self, added: Mapping[int, tokenizers.AddedToken]) -> list[bytes]:
        vocabulary = self._inner.get_vocab(with_added_tokens=False)
        spell = _spell_byte_level if self._is_byte_level() else _spell_sentencepiece
        spelled = [b""] * (1 + max((*vocabulary.values(), *added), default=-1))
        for token, id in vocabulary.items():
            spelled[id] = spell(token)
        for id, token in added.items():
            if token.special:
                spelled[id] = b""
            elif not spelled[id]:
                spelled[id] = token.content.encode()  # matched in the text as it is
        return spelled

    def _is_byte_level(self) -> bool:
        decoder = self._inner.decoder
        return decoder is not None and decoder.decode(["Ċ"]) == "\n"

    def _is_line_separable(self) -> bool:
        if any(_breaks_late(spelled) for spelled in self.token_bytes):
            return False
        # Some tokenizers add a space where a text starts: then a piece on its own is not what it is in its text.
        text, cut = "a\n a", 1
        return self._encode_piece(text) == self._encode_piece(text[:cut]) + self._encode_piece(text[cut:])


def heal(tokenizer: Tokenizer, ids: Sequence[int], most: int = 4) -> tuple[list[int], bytes]:
    """(tokens to keep, partial bytes): takes back the last tokens of `ids` that typing on could merge into one.

    Takes the most tokens, up to `most`, that are whole characters and together the start of some longer token, so
    that `retu|` can become `return`. The first token after the kept ones has to start with the partial bytes. Pure.
    """
    for count in range(min(most, len(ids)), 0, -1):
        partial = tokenizer.decode_bytes(ids[-count:])
        if partial and not _starts_inside_character(partial) and tokenizer.begins_longer(partial):
            return list(ids[:-count]), partial
    return list(ids), b""


def _starts_inside_character(spelled: bytes) -> bool:
    return spelled[0] & 0xC0 == 0x80


def _breaks_late(spelled: bytes) -> bool:
    """Whether a line break comes after another byte."""
    return re.search(rb"[^\r\n][\r\n]", spelled) is not None


def _spell_sentencepiece(token: str) -> bytes:
    if re.fullmatch(r"<0x[0-9A-F]{2}>", token):
        return bytes([int(token[3:5], 16)])
    return token.replace("▁", " ").encode()


def _spell_byte_level(token: str) -> bytes:
    table = _byte_level_alphabet()
    return bytes(table[letter] for letter in token) if all(letter in table for letter in token) else token.encode()


@functools.cache
def _byte_level_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins: visible Latin-1 letters are themselves, other bytes are U+0100 and on."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(0x100 + index): byte for index, byte in enumerate(hidden)}
