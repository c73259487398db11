"""A person's typing, replayed through the language server with the embedded model behind it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.server.editor import home
from tests.server.replay import Report, read_trace, replay

TRACE = Path(__file__).parents[2] / "fixtures" / "traces" / "survey.jsonl"
"""140 edits: slips of the fingers, a bracket that the editor closes, line breaks, suggestions taken, two jumps."""
WARM_BYTES = 8 << 20

replayed = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def module_env() -> Iterator[dict[str, str]]:
    with home() as env:
        yield env


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def report(module_env: dict[str, str]) -> Report:
    """Fills are short, as what is measured here is what stands before them. Guesses ahead would be cached for sure."""
    return await replay(module_env, read_trace(TRACE), maxTokens=2, speculate=False)


@replayed
async def test_the_servers_text_is_the_editors(report: Report) -> None:
    assert report.edits == len(read_trace(TRACE).edits)
    assert report.mismatches == 0


@replayed
async def test_nearly_all_of_each_prompt_comes_from_the_cache(report: Report) -> None:
    assert report.fills > report.edits / 2
    assert report.cached_share > 0.95


@replayed
async def test_no_suggestion_stands_where_it_does_not_belong(report: Report) -> None:
    assert report.suggested > 0
    assert report.stale == []


@replayed
async def test_a_key_that_follows_at_once_overtakes_the_question_before(report: Report) -> None:
    assert report.overtaken > 0


@replayed
async def test_memory_stays_as_it_is_once_all_is_warm(report: Report) -> None:
    for half, whole in (report.engine_rss, report.server_rss):
        assert whole <= 1.05 * half + WARM_BYTES
