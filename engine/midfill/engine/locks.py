"""Locks between processes: an open file that only one of them holds. One that dies lets go."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


@dataclass(frozen=True)
class Lock:
    """A lock held until `close`. Its file stays: were it removed, two processes could hold two files of one name."""

    path: Path
    descriptor: int

    def is_current(self) -> bool:
        """Whether `path` still leads to the file held: somebody may have cleaned the folder up."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self.descriptor))
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Lets another process have it."""
        os.close(self.descriptor)


def try_lock(path: Path) -> Lock | None:
    """The lock of that name, or None while another process, or another call in this one, holds it. Does not wait."""
    while True:
        lock = Lock(path, os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        try:
            _hold(lock.descriptor)
        except OSError as error:
            lock.close()
            if isinstance(error, BlockingIOError | PermissionError):
                return None
            raise
        if lock.is_current():
            return lock
        lock.close()  # the file was removed between the two calls: its next holder would not see this one


if sys.platform == "win32":

    def _hold(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:

    def _hold(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
