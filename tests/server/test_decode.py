"""`midfill.server.decode`, with a scripted engine in this process."""

import asyncio
import gc
import logging

import pytest
from tests.server.engine_here import EngineHere, engine_here, until

from midfill.engine.scripted import Rule
from midfill.engine.wire import InfillRequest
from midfill.server.decode import Decode
from midfill.server.reuse import Situation

HERE = Situation("call(", "")
RULES = (
    Rule(after="call(", text="one, two)", drafts=("one",) * 4 + ("one, two)",), steps=5),
    Rule(after="raise", text="nothing", crash="raise"),
)

pytestmark = pytest.mark.asyncio


def begin(here: EngineHere, prefix: str = "call(") -> Decode:
    request = InfillRequest(document="file:///a.py", prefix=prefix, suffix="")
    return Decode(here.client, request, Situation(prefix, ""))


async def test_before_its_first_draft_it_serves_only_where_it_was_asked_for() -> None:
    async with engine_here(*RULES) as here:
        here.hold()
        decode = begin(here)
        typed = Situation("call(o", "")
        assert decode.serves(HERE)
        assert not decode.serves(typed)
        assert decode.may_serve(typed)


async def test_its_draft_decides_which_typing_it_serves() -> None:
    async with engine_here(*RULES) as here:
        here.hold(after_steps=2)
        decode = begin(here)
        await until(lambda: decode.draft)
        assert decode.draft == "one"
        for before, agrees in (("call(o", True), ("call(one, t", True), ("call(x", False), ("cal", False)):
            now = Situation(before, "")
            assert (decode.serves(now), decode.may_serve(now)) == (agrees, agrees)


async def test_cancelling_it_frees_the_engine_without_an_answer() -> None:
    async with engine_here(*RULES) as here:
        here.hold(after_steps=2)
        decode = begin(here)
        await until(lambda: decode.draft)
        decode.cancel()
        await asyncio.wait([decode.task])
        assert decode.task.cancelled()
        here.go_on()
        await here.idle()
        assert (here.scheduler.tally.answered, here.scheduler.tally.dropped) == (0, 1)


async def test_an_error_that_nobody_looks_at_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "midfill.server.decode")
    async with engine_here(*RULES) as here:
        decode = begin(here, "raise")
        await asyncio.wait([decode.task])
        del decode
        gc.collect()  # asyncio complains of errors that nobody looked at when they go
    assert [
        record.getMessage() for record in caplog.records if record.name in ("asyncio", "midfill.server.decode")
    ] == ["no fill: internal error, see the log"]
