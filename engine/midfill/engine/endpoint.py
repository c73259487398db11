"""Where this user's engine is found: a private folder with its socket and its locks, and its log."""

import asyncio
import logging
import os
import socket
import stat
import sys
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import platformdirs

from midfill.engine.errors import EngineError, EngineGone
from midfill.engine.locks import try_lock
from midfill.engine.wire import PROTOCOL

DIRECTORY_VARIABLE = "MIDFILL_RUNTIME_DIR"
TRANSPORT_VARIABLE = "MIDFILL_TRANSPORT"
MAX_SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
OnConnection = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

log = logging.getLogger(__name__)


class _Loopback(msgspec.Struct, frozen=True):
    """What the file at `Endpoint.socket` says where there are no Unix sockets."""

    port: int
    token: str


def _runtime_directory() -> Path:
    if given := os.environ.get(DIRECTORY_VARIABLE):
        return Path(given).absolute()
    with warnings.catch_warnings(record=True) as notes:  # such as no XDG_RUNTIME_DIR: an editor's user cannot help it
        warnings.simplefilter("always")
        try:
            directory = platformdirs.user_runtime_path("midfill", appauthor=False)
        except PermissionError as error:
            raise EngineGone(str(error)) from None
    for note in notes:
        log.debug("%s", note.message)
    return directory


def _uses_tcp() -> bool:
    return not hasattr(socket, "AF_UNIX") or os.environ.get(TRANSPORT_VARIABLE) == "tcp"


@dataclass(frozen=True)
class Endpoint:
    """The engine's place in the file system. `Endpoint()` is the user's own, which the environment can move."""

    directory: Path = field(default_factory=_runtime_directory)
    tcp: bool = field(default_factory=_uses_tcp)
    log: Path = field(
        default_factory=lambda: platformdirs.user_log_path("midfill", appauthor=False).absolute() / "engine.log"
    )

    @property
    def socket(self) -> Path:
        """The socket; with TCP, a file that names the port and the token."""
        return self.directory / f"engine-v{PROTOCOL}.{'port' if self.tcp else 'sock'}"

    @property
    def launch_lock(self) -> Path:
        """Held while an engine is started, by whoever starts it."""
        return self.directory / f"engine-v{PROTOCOL}.launch"

    @property
    def owner_lock(self) -> Path:
        """Held by the engine as long as it lives: only its holder may `listen` and `withdraw`."""
        return self.directory / f"engine-v{PROTOCOL}.owner"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make `Endpoint()` this one in a child process."""
        return {DIRECTORY_VARIABLE: str(self.directory), TRANSPORT_VARIABLE: "tcp" if self.tcp else "unix"}

    def prepare(self) -> None:
        """Makes the folder where there is none. Raises `EngineGone` for one that is not private."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise EngineGone(f"{self.directory}: the folder of the engine's socket cannot be made: {error}") from None
        self._check()

    async def connect(self) -> Stream:
        """A connection to whoever serves here; `token` is to be said in its `Hello`. Raises `EngineGone`."""
        self._check()
        try:
            if not self.tcp:
                return await asyncio.open_unix_connection(self.socket)
            self._check_owner()
            return await asyncio.open_connection("127.0.0.1", self._loopback().port)
        except OSError as error:
            raise EngineGone(f"no engine answers at {self.socket} ({error.strerror or error})") from None

    async def listen(self, on_connection: OnConnection) -> asyncio.Server:
        """Serves here from now on, in the place of what was there before."""
        self.prepare()
        try:
            return await self._listen(on_connection)
        except OSError as error:
            raise EngineError(f"{self.socket}: the engine cannot listen: {error}") from None

    def identity(self) -> object:
        """Tells what is at `socket` now from what was there at another time; None where nothing is."""
        try:
            status = self.socket.lstat()
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino, status.st_mtime_ns

    def withdraw(self) -> None:
        """Removes the socket of an engine that ends."""
        self.socket.unlink(missing_ok=True)

    def token(self) -> str:
        """The secret that a `Hello` must say: empty for a socket, whose folder keeps others out."""
        try:
            return self._loopback().token if self.tcp else ""
        except OSError as error:
            raise EngineGone(f"no engine serves at {self.socket} ({error.strerror})") from None

    def accepts(self, token: str) -> bool:
        """Whether a client that says `token` may come in. Takes the same time for any wrong one."""
        import hmac  # here: it loads OpenSSL's hashes, and clients do without

        try:
            return hmac.compare_digest(token.encode(errors="replace"), self.token().encode())
        except EngineGone:
            return False

    def _check(self) -> None:
        """Raises `EngineGone` unless the folder is there, is the user's own, and is closed to all others."""
        if not self.tcp and (length := len(os.fsencode(self.socket))) > MAX_SOCKET_PATH_BYTES:
            limit = f"a socket's path has at most {MAX_SOCKET_PATH_BYTES} bytes, not {length}"
            raise EngineGone(f"{self.socket}: {limit}; set {DIRECTORY_VARIABLE} to a shorter folder")
        try:
            status = self.directory.lstat()
        except OSError as error:
            raise EngineGone(f"no engine serves at {self.directory} ({error.strerror})") from None
        if sys.platform == "win32":
            return  # no owner and no mode to look at: the folder is in the user's profile, closed to others there
        if not stat.S_ISDIR(status.st_mode):
            raise EngineGone(f"{self.directory}: not a folder, so not safe for the engine's socket")
        if status.st_uid != os.geteuid():
            raise EngineGone(f"{self.directory}: belongs to user {status.st_uid}, so not safe for the engine's socket")
        if status.st_mode & 0o077:
            raise EngineGone(
                f"{self.directory}: open to other users, so not safe for the engine's socket; chmod 700 it"
            )

    def _check_owner(self) -> None:
        """Raises `EngineGone` if no engine lives: the port of a dead one may be another user's by now."""
        if lock := try_lock(self.owner_lock):
            lock.close()
            raise EngineGone(f"no engine serves at {self.socket}")

    async def _listen(self, on_connection: OnConnection) -> asyncio.Server:
        listener = socket.socket(socket.AF_INET if self.tcp else socket.AF_UNIX)
        try:
            new = self.socket.with_suffix(".new")  # moved once the engine listens: whoever finds the socket is served
            new.unlink(missing_ok=True)
            (_bind_to_loopback if self.tcp else _bind_to_file)(listener, new)
            listener.listen()
            new.replace(self.socket)
            return await (asyncio.start_server if self.tcp else asyncio.start_unix_server)(on_connection, sock=listener)
        except BaseException:
            listener.close()
            raise

    def _loopback(self) -> _Loopback:
        try:
            return msgspec.json.decode(self.socket.read_bytes(), type=_Loopback)
        except msgspec.DecodeError as error:
            raise EngineGone(f"{self.socket}: not the port and token of an engine: {error}") from None


def _bind_to_file(listener: socket.socket, file: Path) -> None:
    listener.bind(str(file))
    file.chmod(0o600)


def _bind_to_loopback(listener: socket.socket, file: Path) -> None:
    listener.bind(("127.0.0.1", 0))
    file.touch(mode=0o600, exist_ok=False)
    file.write_bytes(msgspec.json.encode(_Loopback(listener.getsockname()[1], os.urandom(32).hex())))
