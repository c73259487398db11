"""`midfill.server.schema_download`: against a web server on loopback."""

import http.client
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from tests.server.web_here import WebHere, redirecting, web_here

from midfill.server.schema_download import SchemaCache, SchemaError, download, safe_address

BODY = b'{"type": "object"}'


@pytest.fixture
def web() -> Iterator[WebHere]:
    with web_here() as web:
        yield web


def test_a_schema_is_fetched(web: WebHere) -> None:
    web.pages["/a.json"] = BODY
    assert download(web.url("/a.json")) == BODY
    assert web.asked == ["/a.json"]


def test_a_redirection_is_followed(web: WebHere) -> None:
    web.pages = {"/a.json": redirecting("/b.json"), "/b.json": BODY}
    assert download(web.url("/a.json")) == BODY


@pytest.mark.parametrize("place", ["file:///etc/hostname", "ftp://127.0.0.1/a", "data:,{}"])
def test_a_redirection_out_of_the_web_is_not_followed(web: WebHere, place: str) -> None:
    web.pages["/a.json"] = redirecting(place)
    with pytest.raises(SchemaError):
        download(web.url("/a.json"))


def test_a_circle_of_redirections_ends(web: WebHere) -> None:
    web.pages["/a.json"] = redirecting("/a.json")
    with pytest.raises(SchemaError):
        download(web.url("/a.json"))


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/hostname",
        "ftp://127.0.0.1/a",
        "data:,{}",
        "a.json",
        "http://[",
        "http://127.0.0.1:1/a",
        "http://127.0.0.1/é",
    ],
)
def test_what_cannot_be_fetched_is_told_with_its_url(url: str) -> None:
    with pytest.raises(SchemaError) as told:
        download(url)
    assert url in str(told.value)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://example.com/a?b#c", "https://example.com/a?b#c"),
        ("https://example.com/a", "https://example.com/a"),
        ("http://localhost.example.com/a", "https://localhost.example.com/a"),
        ("http://localhost:80/a", "http://localhost:80/a"),
        ("http://[::1]/a", "http://[::1]/a"),
    ],
)
def test_no_other_machine_is_spoken_to_in_the_clear(url: str, address: str) -> None:
    assert safe_address(url) == address


def test_what_is_not_there_is_told(web: WebHere) -> None:
    with pytest.raises(SchemaError, match="Not Found"):
        download(web.url("/none.json"))


def test_a_large_one_is_cut_off(web: WebHere) -> None:
    web.pages["/a.json"] = b" " * 1000
    with pytest.raises(SchemaError, match="wanted at most 999 bytes, got more"):
        download(web.url("/a.json"), max_bytes=999)


def test_one_that_trickles_is_cut_off(web: WebHere) -> None:
    is_over = threading.Event()

    def trickle(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while not is_over.wait(0.01):
            request.wfile.write(b" ")

    web.pages["/a.json"] = trickle
    started = time.monotonic()
    try:
        with pytest.raises(SchemaError, match="in time"):
            download(web.url("/a.json"), timeout_s=0.3)
    finally:
        is_over.set()
    assert time.monotonic() - started < 5


def test_one_that_never_begins_is_cut_off(web: WebHere) -> None:
    is_over = threading.Event()

    def wait(request: BaseHTTPRequestHandler) -> None:
        is_over.wait(10)

    web.pages["/a.json"] = wait
    try:
        with pytest.raises(SchemaError, match="timed out"):
            download(web.url("/a.json"), timeout_s=0.2)
    finally:
        is_over.set()


def test_a_connection_that_breaks_is_told_however_it_does(web: WebHere, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(answer: http.client.HTTPResponse, size: int) -> bytes:
        raise ssl.SSLError("bad record")

    monkeypatch.setattr(http.client.HTTPResponse, "read1", fail)
    web.pages["/a.json"] = BODY
    with pytest.raises(SchemaError, match="bad record"):
        download(web.url("/a.json"))


def test_the_cache_gives_back_what_it_was_given(tmp_path: Path) -> None:
    cache = SchemaCache(tmp_path / "schemas")
    assert cache.read("https://example.com/a") is None
    cache.write("https://example.com/a", b"old")
    cache.write("https://example.com/a", BODY)
    cached = cache.read("https://example.com/a")
    assert cached is not None
    assert cached.body == BODY
    assert cached.age_s < 60
    assert cache.has("https://example.com/a")
    assert not cache.has("https://example.com/b")
    assert cache.read("https://example.com/b") is None


def test_only_the_user_can_read_the_cache(tmp_path: Path) -> None:
    cache = SchemaCache(tmp_path / "schemas")
    cache.write("https://example.com/a", BODY)
    (file,) = cache.folder.iterdir()
    assert (file.stat().st_mode & 0o777, cache.folder.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_disk_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    cache = SchemaCache(tmp_path)
    next_name = cache._file("https://example.com/a")  # pyright: ignore[reportPrivateUsage]
    next_name.mkdir()
    with pytest.raises(OSError):
        cache.write("https://example.com/a", BODY)
    assert list(tmp_path.iterdir()) == [next_name]
