"""`midfill.engine.endpoint`: only the user's own processes reach the engine, and find it where it is."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from midfill.engine import endpoint as endpoint_module
from midfill.engine.endpoint import Endpoint
from midfill.engine.errors import EngineError, EngineGone
from midfill.engine.locks import try_lock
from midfill.engine.wire import PROTOCOL


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, as a socket's path must be."""
    path = Path(tempfile.mkdtemp(prefix="mf", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(params=[False, True], ids=["unix", "tcp"])
def endpoint(request: pytest.FixtureRequest, folder: Path) -> Endpoint:
    return Endpoint(folder / "run", request.param, folder / "engine.log")


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A peer that says what it hears, once."""
    writer.write(await reader.readline())
    writer.close()
    await writer.wait_closed()


async def ask(endpoint: Endpoint) -> bytes:
    reader, writer = await endpoint.connect()
    writer.write(b"hello\n")
    said = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return said


async def reason_for_no_connection(endpoint: Endpoint) -> str:
    with pytest.raises(EngineGone) as raised:
        await endpoint.connect()
    return str(raised.value)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def hold_owner_lock(endpoint: Endpoint) -> None:
    """Until this process ends, or a `close` that no test needs."""
    endpoint.prepare()
    assert try_lock(endpoint.owner_lock)


@pytest.mark.asyncio
async def test_a_client_reaches_the_engine_that_listens(endpoint: Endpoint) -> None:
    hold_owner_lock(endpoint)
    async with await endpoint.listen(answer):
        assert await ask(endpoint) == b"hello\n"


@pytest.mark.asyncio
async def test_folder_and_socket_are_closed_to_others(endpoint: Endpoint) -> None:
    previous = os.umask(0)
    try:
        async with await endpoint.listen(answer):
            assert mode(endpoint.directory) == 0o700
            assert mode(endpoint.socket) == 0o600
            assert [path for path in endpoint.directory.iterdir() if path.suffix == ".new"] == []
    finally:
        os.umask(previous)


@pytest.mark.asyncio
@pytest.mark.parametrize("opened", [0o710, 0o701, 0o770, 0o755])
async def test_a_folder_open_to_others_is_refused_by_both_sides(opened: int, endpoint: Endpoint) -> None:
    endpoint.directory.mkdir(mode=0o700)
    endpoint.directory.chmod(opened)
    assert "open to other users" in await reason_for_no_connection(endpoint)
    with pytest.raises(EngineGone, match="chmod 700"):
        await endpoint.listen(answer)


@pytest.mark.asyncio
async def test_a_link_to_a_folder_is_refused(endpoint: Endpoint, folder: Path) -> None:
    (folder / "theirs").mkdir(mode=0o700)
    endpoint.directory.symlink_to(folder / "theirs")
    assert "not a folder" in await reason_for_no_connection(endpoint)


@pytest.mark.asyncio
async def test_another_users_folder_is_refused(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint.prepare()
    monkeypatch.setattr(os, "geteuid", lambda: endpoint.directory.stat().st_uid + 1)
    assert "belongs to user" in await reason_for_no_connection(endpoint)
    with pytest.raises(EngineGone, match="belongs to user"):
        endpoint.prepare()


@pytest.mark.asyncio
async def test_a_folder_that_cannot_be_made_is_named(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(EngineGone, match="cannot be made"):
        await Endpoint(folder / "file" / "run").listen(answer)


@pytest.mark.asyncio
async def test_no_engine_is_an_engine_gone_and_leaves_nothing_behind(endpoint: Endpoint) -> None:
    assert str(endpoint.directory) in await reason_for_no_connection(endpoint)
    assert not endpoint.directory.exists()
    endpoint.prepare()
    assert str(endpoint.socket) in await reason_for_no_connection(endpoint)
    assert not endpoint.socket.exists()


@pytest.mark.asyncio
async def test_a_dead_engines_socket_is_no_engine_and_is_replaced(endpoint: Endpoint) -> None:
    server = await endpoint.listen(answer)
    server.close()
    await server.wait_closed()
    before = endpoint.identity()
    assert endpoint.socket.name in await reason_for_no_connection(endpoint)
    hold_owner_lock(endpoint)
    async with await endpoint.listen(answer):
        assert endpoint.identity() != before
        assert await ask(endpoint) == b"hello\n"


@pytest.mark.asyncio
async def test_a_path_too_long_for_a_socket_is_one_clear_error(folder: Path) -> None:
    endpoint = Endpoint(folder / ("x" * 100), tcp=False)
    with pytest.raises(EngineGone, match=r"at most 10[37] bytes, not 1[0-9]+; set MIDFILL_RUNTIME_DIR to a shorter"):
        await endpoint.listen(answer)
    with pytest.raises(EngineGone, match="MIDFILL_RUNTIME_DIR"):
        await endpoint.connect()


@pytest.mark.asyncio
async def test_the_longest_path_that_a_socket_may_have_serves(folder: Path) -> None:
    name = "x" * (endpoint_module.MAX_SOCKET_PATH_BYTES - len(str(folder / "x" / f"engine-v{PROTOCOL}.sock")) + 1)
    endpoint = Endpoint(folder / name, tcp=False)
    async with await endpoint.listen(answer):
        assert await ask(endpoint) == b"hello\n"


@pytest.mark.asyncio
async def test_an_engine_that_cannot_listen_says_so(endpoint: Endpoint) -> None:
    endpoint.prepare()
    endpoint.socket.with_suffix(".new").mkdir()
    with pytest.raises(EngineError, match="cannot listen"):
        await endpoint.listen(answer)


@pytest.mark.asyncio
async def test_the_identity_tells_a_socket_from_its_successor(endpoint: Endpoint) -> None:
    assert endpoint.identity() is None
    async with await endpoint.listen(answer):
        first = endpoint.identity()
        assert first is not None
        assert endpoint.identity() == first
        endpoint.withdraw()
        assert endpoint.identity() is None
    async with await endpoint.listen(answer):
        assert endpoint.identity() not in (None, first)


@pytest.mark.asyncio
async def test_over_tcp_only_who_read_the_private_file_comes_in(folder: Path) -> None:
    endpoint = Endpoint(folder / "run", tcp=True)
    async with await endpoint.listen(answer):
        token = endpoint.token()
        assert len(token) > 40
        assert endpoint.accepts(token)
        assert not any(endpoint.accepts(wrong) for wrong in ("", token[:-1], token.swapcase(), "größer", "\ud800"))
    async with await endpoint.listen(answer):
        assert endpoint.token() != token


@pytest.mark.asyncio
async def test_over_tcp_the_engine_listens_on_the_loopback_alone(folder: Path) -> None:
    async with await Endpoint(folder / "run", tcp=True).listen(answer) as server:
        assert [name.getsockname()[0] for name in server.sockets] == ["127.0.0.1"]


@pytest.mark.asyncio
async def test_over_tcp_the_port_of_a_dead_engine_is_not_trusted(folder: Path) -> None:
    endpoint = Endpoint(folder / "run", tcp=True)
    async with await endpoint.listen(answer):  # whoever has the port now: nobody holds the owner's lock
        assert "no engine serves" in await reason_for_no_connection(endpoint)


@pytest.mark.asyncio
async def test_over_tcp_a_broken_file_is_named(folder: Path) -> None:
    endpoint = Endpoint(folder / "run", tcp=True)
    hold_owner_lock(endpoint)
    endpoint.socket.write_text("{}")
    assert "not the port and token" in await reason_for_no_connection(endpoint)
    assert not endpoint.accepts("")


def test_over_a_socket_no_token_is_needed(folder: Path) -> None:
    endpoint = Endpoint(folder, tcp=False)
    assert endpoint.token() == ""
    assert endpoint.accepts("")


def test_the_environment_moves_the_users_endpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    endpoint = Endpoint()
    assert endpoint.socket == folder / "midfill" / f"engine-v{PROTOCOL}.sock"
    assert endpoint.log.name == "engine.log"
    assert endpoint.log.is_relative_to(folder / "state")
    monkeypatch.setenv("MIDFILL_RUNTIME_DIR", str(folder / "other"))
    monkeypatch.setenv("MIDFILL_TRANSPORT", "tcp")
    assert Endpoint().socket == folder / "other" / f"engine-v{PROTOCOL}.port"


def test_a_desktop_without_a_runtime_folder_has_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.delenv("MIDFILL_RUNTIME_DIR", raising=False)
    assert Endpoint().directory.name == "midfill"


def test_a_child_process_finds_the_same_endpoint(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in endpoint.environment.items():
        monkeypatch.setenv(name, value)
    assert (Endpoint().directory, Endpoint().tcp) == (endpoint.directory, endpoint.tcp)
