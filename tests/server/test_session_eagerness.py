"""`midfill.server.session`: how sure a fill has to be is the user's setting, and goes along with each request."""

from pathlib import Path

import pytest
from tests.server.engine_here import cursor, engine_here

from midfill.engine.scripted import Rule
from midfill.engine.wire import Eagerness
from midfill.server.document import Document
from midfill.server.session import Session
from midfill.server.settings import Settings


@pytest.mark.asyncio
@pytest.mark.parametrize("eagerness", ["low", "balanced", "high"])
async def test_the_engine_is_told_how_eager_to_be(eagerness: Eagerness) -> None:
    settings = Settings(debounce_ms=0, speculate=False, eagerness=eagerness)
    async with engine_here(Rule(text="value"), settings=settings) as here:
        path = Path("/work/a.py")
        session = Session(Document(path.as_uri(), "python", 1, "a = ", "utf-16"), path, here.shared)
        assert await session.suggest(cursor(0, 4), automatic=True)
        assert [request.eagerness for request in here.filler.requests] == [eagerness]


@pytest.mark.asyncio
async def test_who_asks_by_hand_is_shown_more() -> None:
    async with engine_here(Rule(text="value"), settings=Settings(speculate=False, eagerness="low")) as here:
        path = Path("/work/a.py")
        session = Session(Document(path.as_uri(), "python", 1, "a = ", "utf-16"), path, here.shared)
        assert await session.suggest(cursor(0, 4), automatic=False)
        assert [request.eagerness for request in here.filler.requests] == ["high"]


def test_it_is_balanced_unless_it_is_set() -> None:
    assert Settings().eagerness == "balanced"
