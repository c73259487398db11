"""`midfill.engine.locks`: one holder at a time, among processes too, and none after its death."""

import subprocess
import sys
from pathlib import Path

from midfill.engine.locks import try_lock

HOLD = """
import sys
from pathlib import Path
from midfill.engine.locks import try_lock
print(try_lock(Path(sys.argv[1])) is not None, flush=True)
sys.stdin.read()
"""


def test_a_lock_has_one_holder_until_it_is_closed(tmp_path: Path) -> None:
    lock = try_lock(tmp_path / "lock")
    assert lock is not None
    assert try_lock(tmp_path / "lock") is None
    lock.close()
    again = try_lock(tmp_path / "lock")
    assert again is not None
    again.close()


def test_a_process_that_is_killed_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        assert try_lock(path) is None
        process.kill()
        process.wait()
        lock = try_lock(path)
        assert lock is not None
        lock.close()


def test_a_holder_sees_that_its_file_was_removed_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = try_lock(path)
    assert lock is not None
    assert lock.is_current()
    path.unlink()
    assert not lock.is_current()
    other = try_lock(path)
    assert other is not None, "a removed lock file must not keep others out for ever"
    assert other.is_current()
    assert not lock.is_current()
    lock.close()
    other.close()


def test_the_file_is_the_users_own(tmp_path: Path) -> None:
    lock = try_lock(tmp_path / "lock")
    assert lock is not None
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
    lock.close()
