"""Starts the engine process: one, whoever asks for it and however many do so at once."""

import asyncio
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from midfill.engine.endpoint import Endpoint
from midfill.engine.errors import EngineGone
from midfill.engine.locks import Lock, try_lock

LAUNCH_S = 30.0
"""The longest that a start may take. The model is loaded after it."""
MAX_LOG_BYTES = 4 << 20
_AGAIN_S = 0.05

log = logging.getLogger(__name__)


async def launch(endpoint: Endpoint, arguments: Sequence[str] = ()) -> None:
    """Returns once an engine listens at `endpoint`: one that was there, or a new one, given `arguments`.

    Paths in `arguments` must be absolute: the engine outlives the caller and does not keep its folder.
    Raises `EngineGone`, with the last line of the engine's log where it died.
    """
    endpoint.prepare()
    try:
        async with asyncio.timeout(LAUNCH_S):
            with closing(await _wait_for(endpoint.launch_lock)):
                while not await _is_served(endpoint):
                    await _start(endpoint, arguments)
    except TimeoutError:
        raise EngineGone(f"the engine was not ready within {LAUNCH_S:.0f} s; its log is {endpoint.log}") from None
    except OSError as error:
        raise EngineGone(f"the engine cannot be started: {error}") from None


async def _wait_for(path: Path) -> Lock:
    # Asked again and again: a thread that waited in `flock` could not be cancelled, and would keep the server alive.
    while (lock := try_lock(path)) is None:
        await asyncio.sleep(_AGAIN_S)
    return lock


async def _is_served(endpoint: Endpoint) -> bool:
    try:
        _, writer = await endpoint.connect()
    except EngineGone:
        return False
    writer.close()
    return True


async def _start(endpoint: Endpoint, arguments: Sequence[str]) -> None:
    """Starts an engine and waits until it listens, or has left because another one serves."""
    ours, theirs = os.pipe()
    with os.fdopen(ours, "rb") as told, os.fdopen(theirs, "wb") as ready, _open_log(endpoint.log) as output:
        start = output.tell()
        process = _spawn(endpoint, arguments, ready, output)
        ready.close()  # else its end in the engine would not be the last
        try:
            is_ready = await _first_byte(told)
        except BaseException:
            process.kill()  # nobody waits for it any more
            raise
    if is_ready:
        return
    if code := await asyncio.to_thread(process.wait):  # it ends: nothing else closes the pipe
        raise EngineGone(f"the engine could not start: {_last_line(endpoint.log, start) or f'exit code {code}'}")
    await asyncio.sleep(_AGAIN_S)  # another engine serves: it is about to listen again, or to end


def _spawn(endpoint: Endpoint, arguments: Sequence[str], ready: BinaryIO, output: BinaryIO) -> subprocess.Popen[bytes]:
    # -P: a torch.py or a midfill/ in the folder where the editor was started must not be what the engine imports.
    command = [sys.executable, "-P", "-X", "faulthandler", "-m", "midfill.engine.worker"]
    process = subprocess.Popen(
        [*command, "--ready-fd", str(ready.fileno()), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=[ready.fileno()],
        start_new_session=True,  # an interrupt typed into the editor's terminal is not for the engine
        cwd=Path(sys.executable).anchor,
        env={**os.environ, **endpoint.environment},
    )
    log.info("started the engine, process %d", process.pid)
    # Takes its exit code when it ends, in hours: a child that nobody waits for stays in the process table.
    threading.Thread(target=process.wait, name="midfill-engine-exit", daemon=True).start()
    return process


async def _first_byte(pipe: BinaryIO) -> bytes:
    """What comes out of the pipe: nothing if its other end was closed."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(pipe, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(pipe)
    return pipe.read(1)


def _open_log(path: Path) -> BinaryIO:
    """The log, to write at its end; nowhere, where it cannot be written. Starts it anew when it has grown too large."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
            path.replace(path.with_name(f"{path.name}.1"))
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")
    except OSError as error:
        log.warning("the engine runs without a log: %s", error)
        return Path(os.devnull).open("ab")


def _last_line(path: Path, start: int) -> str:
    """The last words that were logged after the first `start` bytes; empty if none were."""
    try:
        lines = path.read_bytes()[start:].decode(errors="replace").split("\n")
    except OSError:
        return ""
    words = (line.strip(" │╰╯─") for line in reversed(lines))  # a complaint about an option comes in a frame
    return next((line for line in words if line), "")
