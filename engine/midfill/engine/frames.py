"""Frames of the wire: a length in four bytes, the largest first, then one message in MessagePack."""

import asyncio
import functools
import struct
from typing import Any

import msgspec

from midfill.engine.errors import MidfillError

MAX_FRAME_BYTES = 16 << 20
"""Far above any request, and small enough that a broken client cannot make the other side hold much."""

_LENGTH = struct.Struct(">I")
_encoder = msgspec.msgpack.Encoder()


class FrameError(MidfillError):
    """Bytes that are no frame, or a message that cannot be one."""


def pack(message: msgspec.Struct) -> bytes:
    """The frame that says `message`. Pure.

    Raises `FrameError` for a text that UTF-8 cannot say (a lone surrogate) and for a frame that is too large.
    """
    try:
        data = _encoder.encode(message)
    except UnicodeEncodeError as error:
        raise FrameError(type(message).__name__, "text that UTF-8 can say", error.reason) from None
    _check_length(len(data))
    return _LENGTH.pack(len(data)) + data


async def read_message(reader: asyncio.StreamReader, kind: Any) -> Any:
    """The next message, of the type or union of types `kind`; None where the stream ends between two frames.

    Raises `FrameError` for a frame that is too large, malformed or none of `kind`, and for a stream that breaks off.
    """
    try:
        head = await reader.readexactly(_LENGTH.size)
        (length,) = _LENGTH.unpack(head)
        _check_length(length)
        data = await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        if not error.partial and error.expected == _LENGTH.size:
            return None
        raise FrameError("frame", f"{error.expected} bytes", len(error.partial)) from None
    except OSError as error:
        raise FrameError("frame", "a stream that goes on", error.strerror or error) from None
    return _decode(data, kind)


def _check_length(length: int) -> None:
    if length > MAX_FRAME_BYTES:
        raise FrameError("frame", f"at most {MAX_FRAME_BYTES} bytes", length)


def _decode(data: bytes, kind: Any) -> Any:
    try:
        return _decoder(kind).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError("frame", "a valid message", error) from None


@functools.cache
def _decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)
