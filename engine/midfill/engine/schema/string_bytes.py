"""The inside of a JSON string, read a byte at a time: UTF-8 and escapes to characters."""

_ESCAPES = dict(zip(b'"\\/bfnrt', '"\\/\b\f\n\r\t', strict=True))
_HEX = frozenset(b"0123456789abcdefABCDEF")
# What may follow a first byte, where that is not 80 to BF: no longer forms than needed, and no surrogates.
_SECOND = {0xE0: (0xA0, 0xBF), 0xED: (0x80, 0x9F), 0xF0: (0x90, 0xBF), 0xF4: (0x80, 0x8F)}


def read_byte(partial: bytes, byte: int) -> bytes | str | None:
    """What `byte` makes of a character begun with `partial`: the character, more of its bytes, or None if neither.

    Half a surrogate pair alone is neither. The quote that ends a string is the caller's. Pure.
    """
    if not partial:
        return _first(byte)
    if partial[0] == 0x5C:
        return _escaped(partial, byte)
    low, high = _SECOND.get(partial[0], (0x80, 0xBF)) if len(partial) == 1 else (0x80, 0xBF)
    if not low <= byte <= high:
        return None
    longer = partial + bytes([byte])
    length = 2 if partial[0] < 0xE0 else 3 if partial[0] < 0xF0 else 4
    return longer.decode() if len(longer) == length else longer


def _first(byte: int) -> bytes | str | None:
    if byte == 0x5C or 0xC2 <= byte <= 0xF4:
        return bytes([byte])
    return chr(byte) if 0x20 <= byte < 0x80 else None


def _escaped(partial: bytes, byte: int) -> bytes | str | None:
    r"""More of `\n`, `é` or `🦊`."""
    longer, place = partial + bytes([byte]), len(partial)
    if place == 1 and byte in _ESCAPES:
        return _ESCAPES[byte]
    wanted = {1: b"u", 6: b"\\", 7: b"u", 8: b"dD", 9: b"cdefCDEF"}.get(place, _HEX)
    if byte not in wanted:
        return None
    if place == 11:
        return longer.decode("unicode-escape").encode("utf-16", "surrogatepass").decode("utf-16")
    if place != 5:
        return longer
    code = int(longer[2:], 16)
    if 0xDC00 <= code <= 0xDFFF:
        return None
    return longer if 0xD800 <= code <= 0xDBFF else chr(code)
