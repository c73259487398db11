"""Real engine processes, each in a folder of its own."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
from tests.engine.peer import PATIENCE_S, Peer, client

from midfill.engine.endpoint import Endpoint
from midfill.engine.scripted import Rule


class EngineFolder:
    """A place for engines, which are ended with it."""

    def __init__(self, path: Path, tcp: bool) -> None:
        self.path, self.endpoint = path, Endpoint(path / "run", tcp, path / "engine.log")
        self.processes: list[subprocess.Popen[bytes]] = []

    def script(self, rules: Sequence[Rule]) -> tuple[str, str]:
        """The arguments that make an engine answer by `rules`."""
        path = self.path / "rules.json"
        path.write_bytes(msgspec.json.encode(rules))
        return "--script", str(path)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """An engine, listening by now unless it has ended."""
        ours, theirs = os.pipe()
        with self.endpoint.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "midfill.engine.worker", "--ready-fd", str(theirs), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs],
                env={**os.environ, **self.endpoint.environment, "OMP_NUM_THREADS": "1"},
            )
        self.processes.append(process)
        os.close(theirs)
        with os.fdopen(ours) as pipe:
            pipe.read()
        return process

    def log(self) -> str:
        return self.endpoint.log.read_text()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Peer]:
        reader, writer = await self.endpoint.connect()
        async with client(reader, writer, self.endpoint.token()) as peer:
            yield peer


@contextmanager
def engine_folder(tcp: bool = False) -> Iterator[EngineFolder]:
    """Short, as a socket's path must be."""
    folder = EngineFolder(Path(tempfile.mkdtemp(prefix="mf", dir="/tmp")), tcp)
    try:
        yield folder
    finally:
        for process in folder.processes:
            process.kill()
            process.wait()
        shutil.rmtree(folder.path)


async def exit_code(process: subprocess.Popen[bytes]) -> int:
    return await asyncio.to_thread(process.wait, PATIENCE_S)
