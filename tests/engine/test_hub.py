"""`midfill pull` against a stand-in of the hub on loopback, which can drop connections, tamper and refuse."""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest

from midfill.engine import hub
from midfill.engine.errors import HubError, InputError

REPO, COMMIT = "acme/tiny", "c" * 40
WEIGHTS = random.Random(0).randbytes(300_000)
FILES = {
    "config.json": b"{}",
    "model.safetensors": WEIGHTS,
    "tokenizer.json": b'{"version": "1.0"}',
    "README.md": b"# tiny\n",
    "pytorch_model.bin": b"a pickle",
    "modeling_tiny.py": b"import os\n",
    "onnx/config.json": b"{}",
}
WANTED = {"config.json", "model.safetensors", "tokenizer.json", "README.md"}


class StandIn(ThreadingHTTPServer):
    """A hub with one repository, on a free port. Tests set the attributes and read `sent`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files = dict(FILES)  # what is listed
        self.bodies = self.files  # what is sent
        self.cut_after: list[int] = []  # for each coming download: bytes until the connection breaks
        self.refusal: tuple[int, str] | None = None  # status and X-Error-Code of each coming download
        self.ignores_range = False
        self.content_url: str | None = None  # where downloads are redirected to
        self.sent: list[SimpleNamespace] = []  # method, path, headers of each request; num_bytes of its body

    def listing(self) -> dict[str, Any]:
        siblings = []
        for name, body in self.files.items():
            sibling = {"rfilename": name, "size": len(body), "blobId": git_blob_id(body)}
            if name.endswith(".safetensors"):
                digest = hashlib.sha256(body).hexdigest()
                sibling["lfs"] = {"size": len(body), "sha256": digest, "pointerSize": 134}
            siblings.append(sibling)
        return {"id": REPO, "sha": COMMIT, "siblings": siblings}

    def downloads(self) -> list[str]:
        return [request.path.rpartition("/")[2] for request in self.sent if "/resolve/" in request.path]


class Handler(BaseHTTPRequestHandler):
    server: StandIn

    def do_GET(self) -> None:
        self.request_log = SimpleNamespace(path=self.path, headers=self.headers, num_bytes=0)
        self.server.sent.append(self.request_log)
        match self.path.partition("?")[0].split("/")[1:]:
            case ["api", "models", "acme", "tiny"] | ["api", "models", "acme", "tiny", "revision", "v1"]:
                self.answer(200, {}, json.dumps(self.server.listing()).encode())
            case ["api", "models", "acme", "proxy"]:
                self.answer(200, {}, b"<html>log in first</html>")
            case ["api", "models", "acme", "tiny", "revision", _]:
                self.answer(404, {"X-Error-Code": "RevisionNotFound"})
            case ["acme", "tiny", "resolve", commit, name] if commit == COMMIT:
                self.send_file(name)
            case _:
                self.answer(404, {"X-Error-Code": "RepoNotFound"})

    def send_file(self, name: str) -> None:
        if self.server.content_url:
            return self.answer(302, {"Location": self.server.content_url + self.path})
        if self.server.refusal:
            status, code = self.server.refusal
            return self.answer(status, {"X-Error-Code": code})
        body = self.server.bodies[name]
        start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        if self.server.ignores_range:
            return self.answer(200, {}, body)
        self.answer(206, {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}, body[start:])

    def answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        is_file = "/resolve/" in self.path and status in (200, 206)
        cut = self.server.cut_after.pop(0) if is_file and self.server.cut_after else len(body)
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body[:cut])  # HTTP/1.0: the connection closes now, too early if `cut` is short
        self.request_log.num_bytes = len(body[:cut])

    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output quiet."""


@contextmanager
def serving() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        thread = Thread(target=stand_in.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield stand_in
        finally:
            stand_in.shutdown()
            thread.join()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with serving() as stand_in:
        yield stand_in
    huggingface_hub.close_session()


def git_blob_id(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


def pull(server: StandIn, directory: Path, revision: str | None = None) -> dict[str, int]:
    """Bytes reported for each file."""
    reported: dict[str, int] = {}

    def advance(name: str, count: int) -> None:
        reported[name] = reported.get(name, 0) + count

    hub.fetch(hub.find(REPO, revision, server.url), directory, advance)
    return reported


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def wanted(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: body for name, body in files.items() if name in WANTED}


def test_fetches_what_a_checkpoint_needs_and_nothing_that_runs_code(server: StandIn, tmp_path: Path) -> None:
    reported = pull(server, tmp_path / "model")
    assert contents(tmp_path / "model") == wanted(FILES)
    assert set(server.downloads()) == WANTED
    assert reported == {name: len(body) for name, body in wanted(FILES).items()}


def test_config_comes_last(server: StandIn, tmp_path: Path) -> None:
    pull(server, tmp_path)
    assert server.downloads()[-1] == "config.json"


def test_a_dropped_connection_is_resumed_at_once(server: StandIn, tmp_path: Path) -> None:
    server.files = server.bodies = {"config.json": b"{}", "model.safetensors": WEIGHTS}
    server.cut_after = [100_000, 50_000]
    pull(server, tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == WEIGHTS
    ranges = [request.headers["Range"] for request in server.sent if "safetensors" in request.path]
    assert ranges == ["bytes=0-", "bytes=100000-", "bytes=150000-"]


def test_a_later_run_goes_on_where_the_interrupted_one_stopped(server: StandIn, tmp_path: Path) -> None:
    server.files = server.bodies = {"config.json": b"{}", "model.safetensors": WEIGHTS}
    server.cut_after = [100_000, 0]
    with pytest.raises(HubError, match=r"acme/tiny: wanted a connection to .* run it again"):
        pull(server, tmp_path)
    assert not (tmp_path / "config.json").exists()
    assert not (tmp_path / "model.safetensors").exists()
    reported = pull(server, tmp_path)
    assert contents(tmp_path) == server.files
    assert reported == {"config.json": 2, "model.safetensors": len(WEIGHTS)}
    assert sum(request.num_bytes for request in server.sent if "safetensors" in request.path) == len(WEIGHTS)


def test_a_server_without_ranges_makes_it_begin_anew(server: StandIn, tmp_path: Path) -> None:
    server.files = server.bodies = {"config.json": b"{}", "model.safetensors": WEIGHTS}
    server.ignores_range = True
    server.cut_after = [100_000]
    assert pull(server, tmp_path)["model.safetensors"] == len(WEIGHTS)
    assert (tmp_path / "model.safetensors").read_bytes() == WEIGHTS


def test_a_second_pull_downloads_nothing(server: StandIn, tmp_path: Path) -> None:
    pull(server, tmp_path)
    server.sent.clear()
    pull(server, tmp_path)
    assert server.downloads() == []


def test_a_damaged_file_is_fetched_again(server: StandIn, tmp_path: Path) -> None:
    pull(server, tmp_path)
    server.sent.clear()
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS[:-1] + bytes([WEIGHTS[-1] ^ 1]))
    pull(server, tmp_path)
    assert server.downloads() == ["model.safetensors", "config.json"]
    assert contents(tmp_path) == wanted(FILES)


def test_another_revision_leaves_no_file_of_the_last_one(server: StandIn, tmp_path: Path) -> None:
    server.files = server.bodies = {**FILES, "model-00002-of-00002.safetensors": b"a second shard"}
    pull(server, tmp_path)
    server.files = server.bodies = dict(FILES)
    pull(server, tmp_path, "v1")
    assert contents(tmp_path) == wanted(FILES)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_wrong_checksum_is_refused(server: StandIn, tmp_path: Path, name: str) -> None:
    body = FILES[name]
    server.bodies = {**FILES, name: bytes([body[0] ^ 1]) + body[1:]}
    with pytest.raises(HubError, match=f"acme/tiny/{name}: wanted the checksum [0-9a-f]+, got [0-9a-f]+"):
        pull(server, tmp_path)
    assert name not in contents(tmp_path)
    assert "config.json" not in contents(tmp_path)
    server.bodies = server.files
    pull(server, tmp_path)
    assert contents(tmp_path) == wanted(FILES)


def test_a_short_body_is_refused(server: StandIn, tmp_path: Path) -> None:
    server.bodies = {**FILES, "model.safetensors": WEIGHTS[:1000]}
    with pytest.raises(HubError, match=r"model\.safetensors: wanted the checksum"):
        pull(server, tmp_path)


def test_a_missing_repository_is_named(server: StandIn) -> None:
    with pytest.raises(HubError, match=r"acme/absent: wanted a model on .*, got status 404: no such repository"):
        hub.find("acme/absent", endpoint=server.url)


def test_a_missing_revision_is_named(server: StandIn) -> None:
    with pytest.raises(HubError, match=r"wanted a branch, tag or commit 'v9', got status 404"):
        hub.find(REPO, "v9", server.url)


def test_a_malformed_name_is_refused_without_a_request(server: StandIn) -> None:
    with pytest.raises(InputError, match=r"wanted a repository as ORG/NAME"):
        hub.find("../etc", endpoint=server.url)
    assert server.sent == []


def test_a_repository_without_safetensors_is_refused(server: StandIn) -> None:
    server.files = {"config.json": b"{}", "pytorch_model.bin": b"a pickle"}
    with pytest.raises(HubError, match=r"wanted a checkpoint, config.json and \*.safetensors"):
        hub.find(REPO, endpoint=server.url)


def test_an_answer_that_is_no_hubs_is_told(server: StandIn) -> None:
    with pytest.raises(HubError, match=r"wanted a hub at http.*, got an answer of another kind"):
        hub.find("acme/proxy", endpoint=server.url)


def test_a_gated_repository_says_what_to_do(server: StandIn, tmp_path: Path) -> None:
    server.refusal = (401, "GatedRepo")
    with pytest.raises(HubError, match=r"got status 401: accept its licence on .*/acme/tiny and set HF_TOKEN"):
        pull(server, tmp_path)


def test_a_failing_server_is_told(server: StandIn, tmp_path: Path) -> None:
    server.refusal = (503, "")
    with pytest.raises(HubError, match=r"wanted an answer from http.*, got status 503"):
        pull(server, tmp_path)


def test_no_network_is_told() -> None:
    with serving() as gone:
        url = gone.url
    with pytest.raises(HubError, match=r"wanted a connection to .*, got ConnectError"):
        hub.find(REPO, endpoint=url)


def test_too_little_space_is_told_before_the_download(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(HubError, match=r"wanted 0\.0 GB of free space, got 0\.0 GB"):
        pull(server, tmp_path)
    assert server.downloads() == []


def test_a_disk_that_fills_up_is_told(server: StandIn, tmp_path: Path) -> None:
    part = next(file for file in hub.find(REPO, endpoint=server.url).files if file.size == len(WEIGHTS)).part_name
    (tmp_path / part).symlink_to("/dev/full")
    with pytest.raises(HubError, match=r"wanted room to write its files, got .*No space left on device"):
        pull(server, tmp_path)


def test_the_token_stays_with_the_hub(server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with serving() as elsewhere:
        server.content_url = elsewhere.url
        pull(server, tmp_path)
        assert contents(tmp_path) == wanted(FILES)
        assert {request.headers.get("Authorization") for request in server.sent} == {"Bearer hf_secret"}
        assert {request.headers.get("Authorization") for request in elsewhere.sent} == {None}


def run_command(server: StandIn, data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_ENDPOINT": server.url, "XDG_DATA_HOME": str(data), "HF_HOME": str(data)}
    command = [Path(sys.executable).with_name("midfill"), "pull", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_command_prints_the_directory(server: StandIn, tmp_path: Path) -> None:
    result = run_command(server, tmp_path, REPO, "--revision", "v1")
    assert (result.returncode, result.stderr) == (0, "")
    directory = Path(result.stdout.strip())
    assert directory == tmp_path / "midfill" / "models" / "acme--tiny"
    assert contents(directory) == wanted(FILES)


def test_the_command_tells_the_hub_no_more_than_its_version(server: StandIn, tmp_path: Path) -> None:
    run_command(server, tmp_path, REPO)
    assert all(request.path.startswith(("/api/models/acme/tiny", "/acme/tiny/resolve/")) for request in server.sent)
    agents = {request.headers["User-Agent"] for request in server.sent}
    assert all(set(product_names(agent)) == {"midfill", "hf_hub", "python"} for agent in agents)


def product_names(user_agent: str) -> list[str]:
    return [product.partition("/")[0] for product in user_agent.split("; ")]


def test_the_command_fails_in_one_line(server: StandIn, tmp_path: Path) -> None:
    result = run_command(server, tmp_path, "acme/absent")
    assert result.returncode == 2
    assert result.stderr.startswith("midfill: acme/absent: wanted a model on http://127.0.0.1")
    assert result.stderr.count("\n") == 1
