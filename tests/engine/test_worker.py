"""`midfill.engine.worker`: the real process, from its start to its end."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
import torch
from tests.engine.engine_process import EngineFolder, engine_folder, exit_code

from midfill.engine.checkpoint import load
from midfill.engine.cpu_layers import lay_out_for_cpu
from midfill.engine.errors import EngineGone
from midfill.engine.gate import read_gate
from midfill.engine.infill import Infiller
from midfill.engine.installed import embedded_model
from midfill.engine.locks import try_lock
from midfill.engine.scripted import Rule
from midfill.engine.settings import settings_for
from midfill.engine.tokenizer import Tokenizer
from midfill.engine.wire import (
    AskStatus,
    Broken,
    Done,
    Draft,
    Dropped,
    Failed,
    Infill,
    InfillRequest,
    Loading,
    Ready,
    Status,
    Stop,
    Submit,
)
from midfill.engine.worker import MOST_THREADS, say_ready, usual_threads

RULES = [
    Rule(after="slow", text="abcd", steps=500, step_ms=20),
    Rule(after="die", text="abcd", crash="exit"),
    Rule(after="lose", text="abcd", crash="lose"),
    Rule(after="x = ", text="1 + 2"),
]


@pytest.fixture(params=["socket", "tcp"])
def folder(request: pytest.FixtureRequest) -> Iterator[EngineFolder]:
    with engine_folder(tcp=request.param == "tcp") as made:
        yield made


@pytest.fixture
def on_socket() -> Iterator[EngineFolder]:
    with engine_folder() as made:
        yield made


@pytest.mark.asyncio
async def test_it_answers_as_soon_as_it_says_that_it_is_ready(folder: EngineFolder) -> None:
    process = folder.start(*folder.script(RULES))
    async with folder.client() as peer:
        peer.submit(1, "x = ")
        end = await peer.end(1)
        assert isinstance(end, Done)
        assert end.infill.text == "1 + 2"
        peer.send(AskStatus(id=2))
        assert (await peer.until(Status)).pid == process.pid


@pytest.mark.asyncio
async def test_a_script_needs_no_torch(on_socket: EngineFolder) -> None:
    process = on_socket.start(*on_socket.script(RULES))
    async with on_socket.client() as peer:
        await peer.until(Ready)
        assert "torch" not in Path(f"/proc/{process.pid}/maps").read_text()


@pytest.mark.asyncio
async def test_of_two_engines_the_second_leaves_without_a_word(folder: EngineFolder) -> None:
    first = folder.start(*folder.script(RULES))
    second = folder.start(*folder.script(RULES))
    assert await exit_code(second) == 0
    async with folder.client() as peer:
        peer.send(AskStatus(id=1))
        assert (await peer.until(Status)).pid == first.pid


@pytest.mark.asyncio
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, None])
async def test_it_ends_in_order_when_asked_to(on_socket: EngineFolder, how: signal.Signals | None) -> None:
    process = on_socket.start(*on_socket.script(RULES))
    async with on_socket.client() as peer:
        peer.submit(1, "slow", drafts=True)
        peer.submit(2, "x = ", document="b", speculative=True)
        await peer.until(Draft)
        if how is None:
            peer.send(Stop())
        else:
            process.send_signal(how)
        ends = [await peer.until(Dropped), await peer.until(Dropped)]
        assert {(end.id, end.why) for end in ends} == {(1, "stopping"), (2, "stopping")}
    assert await exit_code(process) == 0
    assert not on_socket.endpoint.socket.exists()


@pytest.mark.asyncio
@pytest.mark.parametrize(("how", "code"), [("die", 70), ("lose", 1)])
async def test_an_engine_that_dies_leaves_the_place_to_the_next(folder: EngineFolder, how: str, code: int) -> None:
    process = folder.start(*folder.script(RULES))
    async with folder.client() as peer:
        peer.submit(1, how)
        while await peer.receive() is not None:
            pass
    assert await exit_code(process) == code
    folder.start(*folder.script(RULES))
    async with folder.client() as peer:
        peer.submit(1, "x = ")
        assert isinstance(await peer.end(1), Done)


async def _connected(folder: EngineFolder) -> int:
    """The process that answers, once one does."""
    while True:
        try:
            async with folder.client() as peer:
                peer.send(AskStatus(id=1))
                return (await peer.until(Status)).pid
        except EngineGone:
            await asyncio.sleep(0.05)


@pytest.mark.asyncio
@pytest.mark.parametrize("lost", ["the socket", "the folder", "the folder's permissions"])
async def test_it_can_be_found_again_after_its_place_was_cleaned_up(folder: EngineFolder, lost: str) -> None:
    process = folder.start(*folder.script(RULES))
    async with folder.client() as old:
        if lost == "the socket":
            folder.endpoint.socket.unlink()
        elif lost == "the folder":
            shutil.rmtree(folder.endpoint.directory)
        else:
            folder.endpoint.directory.chmod(0o755)
            folder.endpoint.socket.unlink()
            await asyncio.sleep(1.2)  # it looks, and does not listen where others can reach it
            assert not folder.endpoint.socket.exists()
            folder.endpoint.directory.chmod(0o700)
        async with asyncio.timeout(20):
            assert await _connected(folder) == process.pid
        old.submit(1, "x = ")
        assert isinstance(await old.end(1), Done)
    assert await exit_code(folder.start(*folder.script(RULES))) == 0


@pytest.mark.asyncio
async def test_one_whose_place_was_taken_ends_and_leaves_it(on_socket: EngineFolder) -> None:
    old = on_socket.start(*on_socket.script(RULES))
    endpoint = on_socket.endpoint
    endpoint.owner_lock.unlink()
    lock = try_lock(endpoint.owner_lock)
    assert lock is not None
    async with await endpoint.listen(lambda reader, writer: asyncio.sleep(0)):
        ours = endpoint.identity()
        assert await exit_code(old) == 0
        assert endpoint.identity() == ours
    lock.close()


@pytest.mark.asyncio
async def test_it_leaves_once_nobody_needs_it(on_socket: EngineFolder) -> None:
    process = on_socket.start(*on_socket.script(RULES), "--idle-exit-s", "0.3")
    async with on_socket.client() as peer:
        await asyncio.sleep(1)  # longer than it would stay alone
        peer.submit(1, "x = ")
        assert isinstance(await peer.end(1), Done)
    assert await exit_code(process) == 0
    assert not on_socket.endpoint.socket.exists()


@pytest.mark.asyncio
async def test_a_missing_model_is_told_even_to_those_who_come_late(on_socket: EngineFolder) -> None:
    process = on_socket.start("--model", "/nowhere/model")
    async with on_socket.client() as peer:
        broken = await peer.until(Broken)
        assert broken.message == "/nowhere/model: wanted a model directory, got no such directory"
    assert await exit_code(process) == 1


def opened(dtype: str) -> Infiller:
    """The embedded model in this process, in `dtype`: what a busy machine measures may differ from one to the next."""
    checkpoint = load(embedded_model(), torch.device("cpu"), getattr(torch, dtype))
    lay_out_for_cpu(checkpoint.model)
    tokenizer = Tokenizer(checkpoint.tokenizer_path)
    settings = settings_for(tokenizer, checkpoint.generation, checkpoint.config.canvas_length)
    return Infiller(checkpoint.model, tokenizer, settings, gate=read_gate(embedded_model()))


def without_times(infill: Infill) -> Infill:
    return msgspec.structs.replace(infill, prefill_ms=0.0, decode_ms=0.0)


@pytest.mark.asyncio
async def test_the_embedded_model_answers_what_it_answers_without_a_process(on_socket: EngineFolder) -> None:
    if not any(embedded_model().glob("*.safetensors")):
        pytest.skip("the embedded model has no weights here")
    requests = [
        InfillRequest(document="a", prefix="def add(a, b):\n    return ", suffix="\n", language="python", max_tokens=8),
        InfillRequest(document="a", prefix="def add(a, b):\n    return a", suffix="\n", language="python", seed=1),
        InfillRequest(document="b", prefix='{"name": "', suffix='"}\n', language="json", max_tokens=8),
    ]
    process = on_socket.start("--threads", "1")
    async with on_socket.client() as peer:
        assert await peer.receive() == Loading(model="nano", share=0.0)
        answers: list[Infill] = []
        for id, request in enumerate(requests):
            peer.send(Submit(id=id, request=request))
            answers.append((await peer.until(Done)).infill)
        peer.send(AskStatus(id=9))
        status = await peer.until(Status)
    process.terminate()
    assert await exit_code(process) == 0
    infiller = opened(status.dtype)
    for request, answer in zip(requests, answers, strict=True):
        assert without_times(answer) == without_times(infiller.complete(request))
    assert (status.device, status.documents, status.kv_bytes) == ("cpu", 2, infiller.kv_bytes)


WRITTEN = InfillRequest(document="a", prefix="def add(a, b):\n    ", suffix="\n", language="python", mode="best")


@pytest.mark.asyncio
async def test_a_key_overtakes_best_mode_whose_texts_were_told_as_they_grew(on_socket: EngineFolder) -> None:
    on_socket.start("--threads", "1")
    async with on_socket.client() as peer:
        peer.send(Submit(id=1, request=WRITTEN, drafts=True))
        assert (await peer.until(Draft)).text
        peer.send(Submit(id=2, request=msgspec.structs.replace(WRITTEN, prefix="def add(a, b):\n    r", mode="fast")))
        assert await peer.end(1) == Dropped(id=1, why="superseded")
        assert isinstance(await peer.end(2), Done)
        peer.send(Submit(id=3, request=WRITTEN))
        end = await peer.end(3)
        assert isinstance(end, Done)
        assert end.infill.cached_tokens > 0


@pytest.mark.asyncio
async def test_best_mode_without_its_model_is_refused_and_fast_mode_goes_on(on_socket: EngineFolder) -> None:
    on_socket.start("--threads", "1", "--best-model", "/nowhere/gemma")
    async with on_socket.client() as peer:
        ready = await peer.until(Ready)
        assert ready.message.startswith("best quality: /nowhere/gemma")
        peer.send(Submit(id=1, request=WRITTEN))
        end = await peer.end(1)
        assert isinstance(end, Failed)
        assert end.message.startswith("best quality is not available; /nowhere/gemma")
        peer.send(Submit(id=2, request=msgspec.structs.replace(WRITTEN, mode="fast")))
        assert isinstance(await peer.end(2), Done)
        peer.send(AskStatus(id=3))
        assert (await peer.until(Status)).best_problem.startswith("/nowhere/gemma")


GROWS = """
import gc
import psutil
from midfill.engine.installed import embedded_model
from midfill.engine.worker import Options, load

cache = load(Options(embedded_model(), None, None, 1, 900.0), lambda share: None).cache
slot = cache._new_slot()

def resident_mib_after(lengths):
    for length in lengths:
        slot.trim(0)
        cache.encode(slot, [7] * length)
    return psutil.Process().memory_info().rss >> 20

before = resident_mib_after(range(1, 81))
print(resident_mib_after(range(81, 161)) - before, gc.get_freeze_count())
"""


def test_a_model_takes_no_memory_with_every_length_of_a_pass_and_is_no_garbage() -> None:
    """In bfloat16, torch compiles the products of each length anew, and would keep 3 MiB of code and weights of it."""
    if not any(embedded_model().glob("*.safetensors")):
        pytest.skip("the embedded model has no weights here")
    ended = subprocess.run([sys.executable, "-c", GROWS], capture_output=True, text=True, check=True)
    grown_mib, num_frozen = map(int, ended.stdout.split())
    assert grown_mib < 40
    assert num_frozen > 10_000


@pytest.mark.asyncio
async def test_it_can_be_stopped_in_the_midst_of_loading(on_socket: EngineFolder) -> None:
    process = on_socket.start()
    async with on_socket.client() as peer:
        peer.submit(1, "x = ")
        process.terminate()
        assert await peer.end(1) == Dropped(id=1, why="stopping")
    assert await exit_code(process) == 0


@pytest.mark.asyncio
async def test_it_logs_who_comes_and_never_a_text(on_socket: EngineFolder) -> None:
    process = on_socket.start(*on_socket.script([Rule(after="secret", text="secret", crash="raise")]))
    async with on_socket.client() as peer:
        peer.submit(1, "secret")
        await peer.end(1)
    process.terminate()
    await exit_code(process)
    assert "a test came" in on_socket.log()
    assert "RuntimeError" in on_socket.log()
    assert "secret" not in on_socket.log()


def test_whoever_started_it_may_be_gone(caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    say_ready(writer)
    assert "nobody waits" in caplog.text
    with pytest.raises(OSError):
        os.close(writer)  # it is closed


@pytest.mark.asyncio
async def test_it_does_nothing_while_there_is_nothing_to_do(on_socket: EngineFolder) -> None:
    process = psutil.Process(on_socket.start(*on_socket.script(RULES)).pid)
    async with on_socket.client() as peer:
        peer.submit(1, "x = ")
        await peer.end(1)
        before = process.cpu_times().user + process.cpu_times().system
        await asyncio.sleep(2)
        assert process.cpu_times().user + process.cpu_times().system - before <= 0.05


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--script", "/nowhere"], "midfill: /nowhere: wanted a readable file, got No such file or directory\n"),
        (["--threads", "0"], "midfill: --threads: wanted 1 or more, got 0\n"),
        (["--idle-exit-s", "0"], "midfill: --idle-exit-s: wanted more than 0, got 0.0\n"),
    ],
)
def test_a_wrong_argument_is_told_in_one_line(arguments: list[str], complaint: str) -> None:
    command = [sys.executable, "-m", "midfill.engine.worker", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (2, complaint)


def test_it_leaves_a_core_to_the_editor() -> None:
    assert 1 <= usual_threads() <= min(MOST_THREADS, max(1, (os.cpu_count() or 1) - 1))
