"""`midfill.engine.frames`: messages cross a stream whole, and what is no message is refused by name."""

import asyncio
import struct
import tracemalloc
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.errors import MidfillError
from midfill.engine.frames import MAX_FRAME_BYTES, FrameError, pack, read_message
from midfill.engine.wire import Cancel, Forget, FromClient, InfillRequest, Stop, Submit

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def frame(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def read_all(chunks: Sequence[bytes], kind: Any = FromClient, *, breaks: OSError | None = None) -> list[Any]:
    """What a stream that brings `chunks`, one after the other, and then ends or `breaks`, is read as."""

    async def read() -> list[Any]:
        reader = asyncio.StreamReader()

        async def bring() -> None:
            for chunk in chunks:
                reader.feed_data(chunk)
                await asyncio.sleep(0)  # the reader's turn
            reader.feed_eof() if breaks is None else reader.set_exception(breaks)

        bringing = asyncio.create_task(bring())
        messages: list[Any] = []
        try:
            while (message := await read_message(reader, kind)) is not None:
                messages.append(message)
        finally:
            await bringing
        return messages

    return asyncio.run(read())


def error_of(chunks: Sequence[bytes], *, breaks: OSError | None = None) -> str:
    with pytest.raises(FrameError) as raised:
        read_all(chunks, breaks=breaks)
    assert isinstance(raised.value, MidfillError)
    return str(raised.value)


@given(st.lists(st.builds(Forget, document=TEXT) | st.builds(Cancel, id=st.integers(0, 1 << 40))), st.integers(1, 20))
def test_messages_come_in_order_however_the_stream_is_cut(messages: list[Forget | Cancel], size: int) -> None:
    stream = b"".join(map(pack, messages))
    assert read_all([stream[start : start + size] for start in range(0, len(stream), size)]) == messages


def test_a_message_of_a_megabyte_arrives_whole() -> None:
    request = InfillRequest(document="a", prefix="ж🙂" * 170_000, suffix="\r\n")
    assert read_all([pack(Submit(id=1, request=request))]) == [Submit(id=1, request=request)]


def test_a_stream_that_ends_between_frames_ends_cleanly() -> None:
    assert read_all([]) == []
    assert read_all([pack(Stop())]) == [Stop()]


@pytest.mark.parametrize("kept", [1, 4, 5, 9])
def test_a_stream_that_ends_within_a_frame_is_an_error(kept: int) -> None:
    assert error_of([pack(Stop())[:kept]]).startswith("frame: wanted a stream that goes on, got ")


def test_a_stream_that_breaks_between_frames_ends_and_within_one_is_an_error() -> None:
    reset = ConnectionResetError(104, "Connection reset by peer")
    assert read_all([pack(Stop())], breaks=reset) == [Stop()]
    assert error_of([pack(Stop())[:4]], breaks=reset).endswith("Connection reset by peer")


def test_an_oversized_frame_is_refused_by_its_length_alone() -> None:
    assert error_of([struct.pack(">I", MAX_FRAME_BYTES + 1)]) == "frame: wanted at most 16777216 bytes, got 16777217"


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "truncated"),
        (b"\xc1", "malformed"),
        (msgspec.msgpack.encode(Stop()) + b"\x00", "trailing"),
        (b'{"type":"Stop"}', "Expected `object`, got `int`"),
        (msgspec.msgpack.encode(["Stop"]), "Expected `object`, got `array`"),
        (msgspec.msgpack.encode({"type": "Start"}), "Invalid value 'Start'"),
        (msgspec.msgpack.encode({"type": "Cancel"}), "missing required field `id`"),
        (msgspec.msgpack.encode({"type": "Cancel", "id": "1"}), "Expected `int`, got `str` - at `$.id`"),
        (msgspec.msgpack.encode(Forget(document="abc")).replace(b"abc", b"\xff\xfec"), "codec can't decode"),
        (b"\x82\xa4type\xa4Stop\xa1x" + b"\x91" * 100_000, "recursion"),
    ],
)
def test_a_malformed_message_is_refused_with_its_reason(data: bytes, complaint: str) -> None:
    message = error_of([frame(data)])
    assert message.startswith("frame: wanted a valid message, got ")
    assert complaint in message


def test_a_length_that_no_memory_could_hold_costs_none() -> None:
    submit = Submit(id=1, request=InfillRequest(document="d", prefix="", suffix=""))
    data = msgspec.msgpack.encode({**msgspec.to_builtins(submit), "request": {"snippets": 0}})
    tracemalloc.start()
    try:
        error_of([frame(data.replace(b"\xa8snippets\x00", b"\xa8snippets\xdd\xff\xff\xff\xff"))])
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_text_that_no_frame_can_say_is_refused_at_the_sender() -> None:
    with pytest.raises(FrameError, match="Forget: wanted text that UTF-8 can say, got surrogates not allowed"):
        pack(Forget(document="\ud800"))


def test_a_message_larger_than_a_frame_is_refused_at_the_sender() -> None:
    with pytest.raises(FrameError, match="wanted at most 16777216 bytes"):
        pack(Forget(document="x" * MAX_FRAME_BYTES))
