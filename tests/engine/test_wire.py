"""`midfill.engine.wire`: what a message says survives the wire, and what it must not say is refused there."""

import msgspec
import pytest

from midfill.engine.wire import Infill, InfillRequest, Schema

REQUEST = InfillRequest(document="file:///größe.py", prefix="x = '🙂", suffix="'\r\n", language="python", seed=7)
INFILL = Infill(
    text="\x00\u2028",
    shown=True,
    confidence=0.5,
    steps=6,
    prompt_tokens=480,
    cached_tokens=479,
    prefill_ms=1.5,
    decode_ms=40.25,
)
WITH_SCHEMA = msgspec.structs.replace(
    REQUEST,
    language="json",
    schema=Schema(text='{"$ref": "b.json"}', uri="file:///a.json", others=(("file:///b.json", "{}"),), draft="draft4"),
)
Message = InfillRequest | Infill


@pytest.mark.parametrize("message", [REQUEST, INFILL, WITH_SCHEMA, msgspec.structs.replace(INFILL, valid=True)])
def test_a_message_is_the_same_after_the_wire(message: Message) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=Message) == message


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("max_tokens", 0, "Expected `int` >= 1"),
        ("seed", -1, "Expected `int` >= 0"),
        ("seed", 1 << 63, "Expected `int` <= "),
        ("prefix", None, "Expected `str`, got `None`"),
        ("schema", {"text": "{}", "draft": "draft5"}, "Invalid enum value 'draft5'"),
    ],
)
def test_a_value_that_no_request_may_have_is_refused(field: str, value: object, complaint: str) -> None:
    data = msgspec.msgpack.encode({**msgspec.to_builtins(REQUEST), field: value})
    with pytest.raises(msgspec.ValidationError, match=complaint) as raised:
        msgspec.msgpack.decode(data, type=InfillRequest)
    assert f"$.{field}" in str(raised.value)
