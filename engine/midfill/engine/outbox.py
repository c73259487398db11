"""What a client is still to be told: it waits here, within limits, while the client does not read."""

import asyncio
import logging

from midfill.engine.frames import pack
from midfill.engine.wire import Done, Draft, Dropped, Failed, FromEngine

log = logging.getLogger(__name__)

MAX_BYTES = 8 << 20


class Outbox:
    """Frames in order. A draft that was not sent yet gives way to the next one of its request, and to its end."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._frames: dict[object, bytes] = {}
        self._num_bytes = 0
        self._closed = False
        self._wake = asyncio.Event()

    def put(self, message: FromEngine) -> None:
        """Sends `message` as soon as the client reads. One that leaves `MAX_BYTES` unread is cut off."""
        if isinstance(message, Draft | Done | Dropped | Failed):
            self._num_bytes -= len(self._frames.pop(message.id, b""))
        key = message.id if isinstance(message, Draft) else object()
        self._frames[key] = pack(message)
        self._num_bytes += len(self._frames[key])
        if self._num_bytes > MAX_BYTES:
            log.warning("a client does not read: %d bytes wait", self._num_bytes)
            self._frames.clear()
            self._num_bytes = 0
            self._writer.transport.abort()
        self._wake.set()

    def close(self) -> None:
        """Lets `run` end once all is sent."""
        self._closed = True
        self._wake.set()

    async def run(self) -> None:
        """Sends what is put, until `close` or until the client is gone; then closes the connection."""
        try:
            while self._frames or not self._closed:
                self._wake.clear()
                while self._frames:
                    frame = self._frames.pop(next(iter(self._frames)))
                    self._num_bytes -= len(frame)
                    self._writer.write(frame)
                    await self._writer.drain()
                if not self._closed:
                    await self._wake.wait()
        except OSError as error:
            log.debug("a client is gone: %s", error)  # whoever reads from it sees its end, too
        finally:
            self._writer.close()
