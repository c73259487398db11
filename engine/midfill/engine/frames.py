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
    """The next message, of the type or union of types `kind`; None where no more come: the other side is gone.

    Raises `FrameError` for a frame that is too large, malformed or none of `kind`, and for one that breaks off.
    """
    try:
        head = await reader.readexactly(_LENGTH.size)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise _broken_off(error) from None
        return None
    except OSError:
        return None
    (length,) = _LENGTH.unpack(head)
    _check_length(length)
    try:
        return _decode(await reader.readexactly(length), kind)
    except (asyncio.IncompleteReadError, OSError) as error:
        raise _broken_off(error) from None


def _broken_off(error: Exception) -> FrameError:
    return FrameError("frame", "a stream that goes on", error)


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
