"""`midfill.server.schema_texts`: files that change, and a web server on loopback."""

import http.client
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from tests.server.engine_here import PATIENCE_S, until
from tests.server.web_here import WebHere, web_here

from midfill.server.ignored import Ignored
from midfill.server.schema_download import SchemaCache
from midfill.server.schema_texts import (
    AT_ONCE_BYTES,
    FETCHED_FRESH_S,
    FRESH_S,
    MAX_SCHEMAS,
    NUM_WORKERS,
    RETRY_S,
    Missing,
    SchemaText,
    SchemaTexts,
    is_elsewhere,
    read_schema,
)

BODY = b'{"type": "object"}'

pytestmark = pytest.mark.asyncio


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def web() -> Iterator[WebHere]:
    with web_here() as web:
        yield web


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path.resolve()


class Here:
    """Schemas of a folder, with a clock of their own."""

    def __init__(self, root: Path, *, may_fetch: bool = False) -> None:
        self.root, self.clock = root, Clock()
        self.cache = SchemaCache(root / "cache")
        self.texts = SchemaTexts(Ignored([root], ["private/"]), self.cache, may_fetch=may_fetch, clock=self.clock)

    def write(self, name: str, body: bytes) -> str:
        """The file's URI."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        return path.as_uri()

    async def found(self, uri: str) -> SchemaText | Missing | None:
        await until(lambda: self.texts.look_up(uri) is not None)
        return self.texts.look_up(uri)

    def pass_s(self, seconds: float) -> None:
        self.clock.now_s += seconds


def own_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "midfill schema"]


async def test_a_file_is_there_at_once(root: Path) -> None:
    here = Here(root)
    uri = here.write("a.json", b'\xef\xbb\xbf{"$ref": "b.json"}')
    found = here.texts.look_up(uri)
    assert isinstance(found, SchemaText)
    assert found.text == '{"$ref": "b.json"}'
    assert [reference.uri for reference in found.references] == [(root / "b.json").as_uri()]


async def test_a_changed_file_is_read_again(root: Path) -> None:
    here = Here(root)
    uri = here.write("a.json", BODY)
    assert here.texts.look_up(uri) == SchemaText('{"type": "object"}')
    here.write("a.json", b"true")
    here.pass_s(FRESH_S)
    assert here.texts.look_up(uri) == SchemaText("true")
    (root / "a.json").unlink()
    here.pass_s(FRESH_S)
    assert isinstance(here.texts.look_up(uri), Missing)
    here.write("a.json", b"true")
    here.pass_s(FRESH_S)
    assert here.texts.look_up(uri) == SchemaText("true")


async def test_a_file_is_not_looked_at_for_every_key(root: Path) -> None:
    here = Here(root)
    uri = here.write("a.json", BODY)
    here.texts.look_up(uri)
    (root / "a.json").unlink()
    assert here.texts.look_up(uri) == SchemaText('{"type": "object"}')


async def test_a_large_file_is_read_beside_the_typing(root: Path) -> None:
    here = Here(root)
    uri = here.write("a.json", BODY + b" " * AT_ONCE_BYTES)
    assert here.texts.look_up(uri) is None
    found = await here.found(uri)
    assert isinstance(found, SchemaText)
    assert found.text.strip() == BODY.decode()


@pytest.mark.parametrize("name", ["private/a.json", "secrets.json", ".env", "out/a.json"])
async def test_a_file_that_stays_out_is_not_read(root: Path, name: str) -> None:
    here = Here(root)
    here.write(".gitignore", b"out/\n")
    assert isinstance(here.texts.look_up(here.write(name, BODY)), Missing)


async def test_what_a_package_brings_is_read_though_git_ignores_it(root: Path) -> None:
    here = Here(root)
    here.write(".gitignore", b"node_modules/\n")
    assert isinstance(here.texts.look_up(here.write("node_modules/a/schema.json", BODY)), SchemaText)
    assert isinstance(here.texts.look_up(here.write("node_modules/a/secrets.json", BODY)), Missing)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"1", b'"a"', b"\xff", b"// no\n{}", b'{"a":' * 100_000], ids=lambda body: repr(body[:9])
)
async def test_what_is_no_schema_is_told(root: Path, body: bytes) -> None:
    here = Here(root)
    found = await here.found(here.write("a.json", body))
    assert isinstance(found, Missing)
    assert "a.json" in found.reason


async def test_what_is_no_file_of_this_machine_is_told(root: Path) -> None:
    here = Here(root)
    os.mkfifo(root / "pipe.json")
    here.write("a.json", BODY)
    for uri in (
        root.as_uri(),
        (root / "pipe.json").as_uri(),
        "file://host/a.json",
        "vscode://a/b.json",
        "file:///a%00b",
        f"file:///{root}/a.json",
        f"file:///%2F{str(root)[1:]}/a.json",
    ):
        assert isinstance(here.texts.look_up(uri), Missing)


async def test_a_path_that_names_a_machine_is_elsewhere() -> None:
    for path in ("//host/share/a.json", r"\\host\share\a.json", r"\\?\UNC\host\share\a.json", r"\\.\pipe\a"):
        assert is_elsewhere(PureWindowsPath(path))
    assert is_elsewhere(PurePosixPath("//host/a.json"))
    assert not is_elsewhere(PureWindowsPath(r"C:\work\a.json"))
    assert not is_elsewhere(PurePosixPath("/work//a.json"))


async def test_nothing_is_fetched_where_that_is_not_allowed(root: Path, web: WebHere) -> None:
    here = Here(root)
    web.pages["/a.json"] = BODY
    found = await here.found(web.url("/a.json"))
    assert isinstance(found, Missing)
    assert found.is_forbidden
    assert web.asked == []


async def test_where_fetching_is_not_allowed_no_thread_is_started(root: Path) -> None:
    found = Here(root).texts.look_up("https://example.com/a.json")
    assert isinstance(found, Missing)
    assert found.is_forbidden


async def test_many_are_fetched_by_few_threads_which_end(root: Path, web: WebHere) -> None:
    await until(lambda: not own_threads())  # of the tests before
    here = Here(root, may_fetch=True)
    go_on, urls = threading.Event(), [web.url(f"/{number}.json") for number in range(40)]

    def answer(request: BaseHTTPRequestHandler) -> None:
        go_on.wait(PATIENCE_S)
        request.send_error(404)

    web.pages = {f"/{number}.json": answer for number in range(40)}
    for url in [*urls, *urls]:
        assert here.texts.look_up(url) is None
    assert 0 < len(own_threads()) <= NUM_WORKERS
    go_on.set()
    await until(lambda: all(isinstance(here.texts.look_up(url), Missing) for url in urls))
    await until(lambda: not own_threads())
    assert sorted(web.asked) == sorted(f"/{number}.json" for number in range(40))


async def test_what_is_being_fetched_is_not_forgotten_for_others(root: Path, web: WebHere) -> None:
    here = Here(root, may_fetch=True)
    go_on = threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        go_on.wait(PATIENCE_S)
        request.send_error(404)

    web.pages["/a.json"] = answer
    assert here.texts.look_up(web.url("/a.json")) is None
    for number in range(2 * MAX_SCHEMAS):
        here.texts.look_up(f"vscode://a/{number}.json")
    assert here.texts.look_up(web.url("/a.json")) is None
    go_on.set()
    await here.found(web.url("/a.json"))
    assert web.asked == ["/a.json"]


async def test_what_is_fetched_is_kept_for_all_that_come_later(root: Path, web: WebHere) -> None:
    here = Here(root, may_fetch=True)
    web.pages["/a.json"] = BODY
    assert here.texts.look_up(web.url("/a.json")) is None
    assert await here.found(web.url("/a.json")) == SchemaText('{"type": "object"}')
    assert await Here(root, may_fetch=True).found(web.url("/a.json")) == SchemaText('{"type": "object"}')
    assert await Here(root).found(web.url("/a.json")) == SchemaText('{"type": "object"}')
    assert web.asked == ["/a.json"]


async def test_what_is_not_there_is_not_asked_for_with_every_key(root: Path, web: WebHere) -> None:
    here = Here(root, may_fetch=True)
    assert isinstance(await here.found(web.url("/a.json")), Missing)
    here.pass_s(RETRY_S - 1)
    assert isinstance(await here.found(web.url("/a.json")), Missing)
    assert web.asked == ["/a.json"]
    web.pages["/a.json"] = BODY
    here.pass_s(1)
    here.texts.look_up(web.url("/a.json"))
    await until(lambda: isinstance(here.texts.look_up(web.url("/a.json")), SchemaText))


async def test_an_old_copy_is_replaced_and_serves_where_there_is_no_other(root: Path, web: WebHere) -> None:
    here = Here(root, may_fetch=True)
    url = web.url("/a.json")
    here.cache.write(url, BODY)
    (file,) = here.cache.folder.iterdir()
    os.utime(file, (1e9, 1e9))
    assert await here.found(url) == SchemaText('{"type": "object"}')
    assert web.asked == ["/a.json"]
    web.pages["/a.json"] = b"true"
    here.pass_s(FETCHED_FRESH_S)
    here.texts.look_up(url)
    await until(lambda: here.texts.look_up(url) == SchemaText("true"))
    cached = here.cache.read(url)
    assert cached is not None
    assert cached.body == b"true"


async def test_what_is_fetched_and_is_no_schema_is_not_kept(root: Path, web: WebHere) -> None:
    here = Here(root, may_fetch=True)
    web.pages["/a.json"] = b"<!doctype html>"
    assert isinstance(await here.found(web.url("/a.json")), Missing)
    assert here.cache.read(web.url("/a.json")) is None


async def test_a_cache_that_cannot_be_written_keeps_no_schema_away(root: Path, web: WebHere) -> None:
    (root / "cache").write_bytes(b"")
    here = Here(root, may_fetch=True)
    web.pages["/a.json"] = BODY
    assert await here.found(web.url("/a.json")) == SchemaText('{"type": "object"}')


async def test_the_web_has_no_say_about_files() -> None:
    body = json.dumps({"anyOf": [{"$ref": "file:///etc/a.json"}, {"$ref": "b.json"}]}).encode()
    found = read_schema(body, "https://example.com/a.json")
    assert isinstance(found, SchemaText)
    assert [reference.uri for reference in found.references] == ["https://example.com/b.json"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_fault_while_fetching_leaves_nothing_waiting(
    root: Path, web: WebHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(answer: http.client.HTTPResponse, size: int) -> bytes:
        raise MemoryError

    here = Here(root, may_fetch=True)
    monkeypatch.setattr(http.client.HTTPResponse, "read1", fail)
    web.pages = {f"/{number}.json": BODY for number in range(2 * NUM_WORKERS)}
    urls = [web.url(path) for path in web.pages]
    assert {here.texts.look_up(url) for url in urls} == {None}
    await until(lambda: all(isinstance(here.texts.look_up(url), Missing) for url in urls))
    await until(lambda: not own_threads())


async def test_a_name_that_is_no_text_is_missing(root: Path) -> None:
    for may_fetch in (False, True):
        assert isinstance(await Here(root, may_fetch=may_fetch).found("http://127.0.0.1:1/\ud800"), Missing)
