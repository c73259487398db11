"""`midfill.server.statistics`: written by several at once, onto disks that fail, read whatever is in the file."""

import logging
import multiprocessing
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from midfill.server import statistics
from midfill.server.statistics import MAX_FILE_BYTES, Event, Statistics, delete_events, read_events


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "midfill" / "statistics.jsonl"


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def record(path: Path, *languages: str) -> None:
    kept = Statistics(path)
    for language in languages:
        kept.record("shown", language)
    kept.close()


def languages(path: Path) -> list[str]:
    return [event.language for event in read_events(path)]


def test_what_is_recorded_is_read_again(path: Path) -> None:
    kept = Statistics(path)
    kept.record("shown", "python", source="engine", latency_ms=83.14)
    kept.record("accepted", "python")
    kept.close()
    shown, accepted = read_events(path)
    assert shown == Event(kind="shown", at=shown.at, language="python", source="engine", latency_ms=83.1)
    assert accepted == Event(kind="accepted", at=accepted.at, language="python")
    assert 0 <= accepted.at - shown.at < 60


def test_only_the_user_can_read_them(path: Path) -> None:
    record(path, "python")
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_nothing_is_written_while_an_event_is_recorded(path: Path) -> None:
    kept = Statistics(path)
    kept.record("shown", "python")
    assert not path.exists()
    kept.close()
    assert languages(path) == ["python"]


def test_events_are_written_soon_without_being_asked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append, written = statistics._append, threading.Event()

    def append_and_tell(path: Path, lines: bytes) -> None:
        append(path, lines)
        written.set()

    monkeypatch.setattr(statistics, "WRITE_AFTER_S", 0.01)
    monkeypatch.setattr(statistics, "_append", append_and_tell)
    kept = Statistics(path)
    for language in ("python", "lua"):  # after one write, the next event starts another
        kept.record("shown", language)
        assert written.wait(timeout=30)
        written.clear()
    assert languages(path) == ["python", "lua"]


def test_closing_with_nothing_to_write_makes_no_file(path: Path) -> None:
    Statistics(path).close()
    assert not path.exists()


def _record_many(path: Path, language: str) -> None:
    kept = Statistics(path)
    for _ in range(200):
        kept.record("shown", language)
        kept.flush()
    kept.close()


def test_several_servers_write_to_one_file(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    servers = [context.Process(target=_record_many, args=(path, name)) for name in ("a", "b", "c")]
    for server in servers:
        server.start()
    for server in servers:
        server.join()
    assert sorted(languages(path)) == ["a"] * 200 + ["b"] * 200 + ["c"] * 200


def test_a_full_file_becomes_the_old_one_and_the_old_one_goes(path: Path) -> None:
    for name in ("first", "second", "third"):
        line = b'{"kind":"shown","at":1,"language":"%s"}\n' % name.encode()
        record(path, "before")
        write(path, line.ljust(MAX_FILE_BYTES))
    record(path, "last")
    assert languages(path) == ["third", "last"]
    assert path.stat().st_size < 200


@pytest.mark.parametrize(
    "line",
    [
        b'{"kind":"shown","at":1,"lang',
        b"",
        b"\x00\xff\xfe",
        b"null",
        b"[1]",
        b'{"kind":"undone","at":1}',  # of a newer version
        b'{"kind":"shown","at":1e300}',
        b'{"kind":"shown","at":1,"latencyMs":-5}',
        b'{"kind":"shown"}',
        b"[" * 100_000,
    ],
)
def test_a_line_that_cannot_be_read_does_not_hide_the_others(path: Path, line: bytes) -> None:
    record(path, "before")
    with path.open("ab") as file:
        file.write(line)  # and no line end: torn
    record(path, "after")
    assert languages(path) == ["before", "after"]


def test_a_field_of_a_newer_version_is_passed_over(path: Path) -> None:
    write(path, b'{"kind":"shown","at":1,"language":"lua","colour":"red"}\n')
    assert languages(path) == ["lua"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_told_once_and_the_server_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    kept = Statistics(Path("/dev/full"))
    for _ in range(3):
        kept.record("shown", "python")
        kept.flush()
    kept.close()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "statistics are not kept: [Errno 28] No space left on device"
    ]


def test_a_disk_that_fills_up_within_a_line_loses_that_line_only(path: Path) -> None:
    record(path, "before")
    script = (
        "import resource, sys; from pathlib import Path; from midfill.server.statistics import Statistics\n"
        "path = Path(sys.argv[1]); limit = path.stat().st_size + 20\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
        "kept = Statistics(path); kept.record('shown', 'lost')\n"
        "kept.flush(); kept.record('shown', 'lost'); kept.close()"
    )
    result = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    assert result.stderr == "statistics are not kept: [Errno 28] No space left on device\n"
    assert path.stat().st_size > len(b'{"kind"')
    record(path, "after")
    assert languages(path) == ["before", "after"]


def a_file_where_the_folder_should_be(path: Path) -> None:
    write(path.parent.parent / "midfill", b"")


def a_folder_where_the_file_should_be(path: Path) -> None:
    path.mkdir(parents=True)


@pytest.mark.parametrize("obstruct", [a_file_where_the_folder_should_be, a_folder_where_the_file_should_be])
def test_a_place_that_cannot_be_written_is_told_once(
    path: Path, caplog: pytest.LogCaptureFixture, obstruct: Callable[[Path], None]
) -> None:
    obstruct(path)
    record(path, "python")
    kept = Statistics(path)
    for _ in range(2):
        kept.record("shown", "python")
        kept.flush()
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 2  # one a server


def test_deleting_removes_both_files_and_servers_begin_anew(path: Path) -> None:
    assert not delete_events(path)
    kept = Statistics(path)
    kept.record("shown", "python")
    kept.flush()
    write(path.with_name("statistics.jsonl.1"), b"")
    assert delete_events(path)
    assert list(path.parent.iterdir()) == []
    kept.record("shown", "lua")
    kept.close()
    assert languages(path) == ["lua"]
