"""`midfill.engine.launching`: one engine, detached from who started it, or a reason why there is none."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from tests.engine.engine_peer import Peer, peer_at
from tests.engine.engine_place import engine_place, scripted, until

from midfill.engine import launching
from midfill.engine.connection import Connection
from midfill.engine.endpoint import Endpoint
from midfill.engine.errors import EngineGone
from midfill.engine.launching import launch
from midfill.engine.locks import try_lock


@pytest_asyncio.fixture
async def endpoint(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Endpoint]:
    caplog.set_level(logging.INFO, launching.__name__)
    async with engine_place() as endpoint:
        yield endpoint


async def pid_at(endpoint: Endpoint) -> int:
    connection = await Connection.open(endpoint, "test")
    connection.close()
    return connection.pid


def started(caplog: pytest.LogCaptureFixture) -> list[int]:
    """The processes that were started."""
    lines = [record.getMessage() for record in caplog.records if record.name == launching.__name__]
    return [int(line.rpartition(" ")[2]) for line in lines if line.startswith("started the engine")]


async def reason(endpoint: Endpoint, *arguments: str) -> str:
    with pytest.raises(EngineGone) as raised:
        await launch(endpoint, arguments)
    return str(raised.value)


@pytest.mark.asyncio
async def test_one_engine_is_started_however_many_ask(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    arguments = scripted(endpoint)
    await asyncio.gather(*(launch(endpoint, arguments) for _ in range(3)))
    await launch(endpoint, arguments)
    assert started(caplog) == [await pid_at(endpoint)]


@pytest.mark.asyncio
async def test_the_engine_is_detached_from_who_started_it(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for module in ("msgspec.py", "psutil.py"):
        (tmp_path / module).write_text("raise SystemExit('the workspace must not be imported')")
    await launch(endpoint, scripted(endpoint))
    pid = await pid_at(endpoint)
    assert os.getsid(pid) == pid
    assert psutil.Process(pid).cwd() == "/"
    if Path("/proc").is_dir():
        assert os.readlink(f"/proc/{pid}/fd/0") == os.devnull  # noqa: PTH115 (a link of the kernel's)
        assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (1, 2)} == {str(endpoint.log)}  # noqa: PTH115
    assert endpoint.log.stat().st_mode & 0o777 == 0o600


@pytest.mark.asyncio
async def test_an_engine_that_dies_leaves_no_process_behind(endpoint: Endpoint) -> None:
    await launch(endpoint, scripted(endpoint))
    pid = await pid_at(endpoint)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not psutil.pid_exists(pid))  # a zombie would exist


@pytest.mark.asyncio
async def test_an_engine_that_cannot_start_says_why(endpoint: Endpoint) -> None:
    endpoint.log.write_text("an older engine's last words\n")
    told = await reason(endpoint, "--script", "/no/such/rules.json")
    assert told.startswith("the engine could not start: ")
    assert "/no/such/rules.json: wanted a readable file, got No such file or directory" in told
    assert "idle-exit-s" in await reason(endpoint, "--idle-exit-s", "soon")
    lock = try_lock(endpoint.launch_lock)
    assert lock, "the next one may try"
    lock.close()


@pytest.mark.asyncio
async def test_an_engine_that_dies_without_a_word_is_told_by_its_exit_code(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint.log.write_text("an older engine's last words\n")
    monkeypatch.setattr(launching.sys, "executable", "/bin/false")
    assert await reason(endpoint) == "the engine could not start: exit code 1"
    monkeypatch.setattr(launching.sys, "executable", "/no/such/python")
    assert "the engine cannot be started: [Errno 2] No such file" in await reason(endpoint)


@pytest.mark.asyncio
async def test_in_a_folder_that_is_not_private_nothing_is_started(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.prepare()
    endpoint.directory.chmod(0o755)
    assert "open to other users" in await reason(endpoint)
    assert started(caplog) == []


@pytest.mark.asyncio
async def test_a_start_that_takes_too_long_is_given_up(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(launching, "LAUNCH_S", 0.05)
    assert f"its log is {endpoint.log}" in await reason(endpoint, *scripted(endpoint))
    (pid,) = started(caplog)
    await until(lambda: not psutil.pid_exists(pid))


@pytest.mark.asyncio
async def test_a_start_that_is_cancelled_leaves_no_process(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    starting = asyncio.create_task(launch(endpoint, scripted(endpoint)))
    await until(lambda: started(caplog))
    starting.cancel()
    await asyncio.wait({starting})
    assert starting.cancelled()
    (pid,) = started(caplog)
    await until(lambda: not psutil.pid_exists(pid))


@pytest.mark.asyncio
async def test_who_waits_for_anothers_start_joins_its_engine(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.prepare()
    other = try_lock(endpoint.launch_lock)
    assert other is not None
    starting = asyncio.create_task(launch(endpoint, scripted(endpoint)))
    async with peer_at(endpoint):
        assert not (await asyncio.wait({starting}, timeout=0.1))[0]
        other.close()
        await starting
    assert started(caplog) == []


@pytest.mark.asyncio
async def test_an_engine_that_is_about_to_listen_is_waited_for(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.prepare()
    owner = try_lock(endpoint.owner_lock)  # as one whose socket was removed
    assert owner is not None
    starting = asyncio.create_task(launch(endpoint, scripted(endpoint)))
    await until(lambda: endpoint.log.exists() and "another engine serves" in endpoint.log.read_text())
    assert not starting.done()
    async with await endpoint.listen(Peer(()).serve):
        await starting
    owner.close()
    assert all(not psutil.pid_exists(pid) for pid in started(caplog))


@pytest.mark.asyncio
async def test_an_engine_without_a_log_serves(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    arguments = scripted(endpoint)
    endpoint.log.touch()
    nowhere = Endpoint(endpoint.directory, endpoint.tcp, endpoint.log / "engine.log")
    await launch(nowhere, arguments)
    assert await pid_at(endpoint)
    assert "the engine runs without a log" in caplog.text


@pytest.mark.asyncio
async def test_a_log_that_has_grown_too_large_is_put_aside(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "MAX_LOG_BYTES", 10)
    endpoint.log.write_text("12345678901")
    await launch(endpoint, scripted(endpoint))
    assert endpoint.log.with_name("engine.log.1").read_text() == "12345678901"
    assert "12345678901" not in endpoint.log.read_text()
