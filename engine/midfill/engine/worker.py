"""The engine's process: one a user and machine. It owns the model, loads it once, and leaves when nobody needs it.

The event loop serves the clients; all that touches the model runs in one thread beside it, the step thread.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import cyclopts
import psutil
from cyclopts import Parameter

from midfill.engine.endpoint import Endpoint
from midfill.engine.errors import EngineError, InputError, MidfillError
from midfill.engine.installed import embedded_model
from midfill.engine.locks import Lock, try_lock
from midfill.engine.scheduler import Failure, Filler, Scheduler, guarded
from midfill.engine.scripted import Rule, ScriptedFiller, read_rules
from midfill.engine.service import Service
from midfill.engine.wire import Broken, Loading, Ready

log = logging.getLogger("midfill.engine.worker")  # where it is run, `__name__` is another

WATCH_S = 1.0
FAREWELL_S = 5.0
"""How long a running step is waited for at the end, and a client to hear that the model could not be loaded."""
SHARE = 0.01
"""Of the weights: clients are told no oftener."""
MOST_THREADS = 4
"""More gain nothing on the small matrices of a canvas, and the editor wants a core."""
MOST_KERNELS = 128
"""Compiled kernels that each of torch's two caches of them keeps: one for every shape of every product in bfloat16.

Both keep 1024 by default, and models whose passes come in any number of rows fill them: an engine grew from 541 MiB
to 752 in 1,000 edits. The embedded model's passes come in 14 numbers of rows: after 180 fills at 60
places a process has 396 MB with 64, 414 with 128 and 407 with 1024, and fills take 246, 231 and 226 ms of a busy core.
"""


class Options(NamedTuple):
    """What the process is started with; `rules` stand for a model."""

    model: Path
    best_model: Path | None
    rules: list[Rule] | None
    threads: int
    idle_exit_s: float

    @property
    def name(self) -> str:
        """What clients are told is loaded."""
        return "script" if self.rules is not None else os.fsencode(self.model.name).decode(errors="replace")


def run(
    *,
    model: Path | None = None,
    best_model: Path | None = None,
    script: Path | None = None,
    threads: int | None = None,
    idle_exit_s: float = 900.0,
    ready_fd: Annotated[int | None, Parameter(show=False)] = None,
) -> None:
    """Run the engine in the foreground, until it is stopped or nobody needs it.

    Where one runs already, this does nothing.

    Parameters
    ----------
    model
        Directory of a checkpoint; the embedded one by default.
    best_model
        Directory of another one, for best mode; by default the same model writes there.
    script
        A JSON file of rules that stand for a model, to try an editor with.
    threads
        Threads of the model on the CPU; by default all cores but one, 4 at most.
    idle_exit_s
        Seconds without a client after which it ends.
    ready_fd
        An open file descriptor: a line is written to it, and it is closed, once clients can connect.
    """
    if threads is not None and threads < 1:
        raise InputError("--threads", "1 or more", threads)
    if idle_exit_s <= 0:
        raise InputError("--idle-exit-s", "more than 0", idle_exit_s)
    rules = None if script is None else read_rules(script)
    options = Options(model or embedded_model(), best_model, rules, threads or usual_threads(), idle_exit_s)
    form = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=form)
    code = asyncio.run(serve(options, Endpoint(), ready_fd))
    logging.shutdown()
    os._exit(code)  # the step thread may be in the midst of a load or a step, and nobody waits for it any more


def usual_threads() -> int:
    """For the model, where the user does not say."""
    cores = psutil.cpu_count(logical=False) or 1
    if hasattr(os, "sched_getaffinity"):
        cores = min(cores, len(os.sched_getaffinity(0)))
    return min(max(cores - 1, 1), MOST_THREADS)


async def serve(options: Options, endpoint: Endpoint, ready_fd: int | None) -> int:
    """Serves at `endpoint` to the end, unless somebody does already; returns the exit code."""
    endpoint.prepare()
    lock = try_lock(endpoint.owner_lock)
    if lock is None:
        log.info("another engine serves at %s", endpoint.socket)
        return 0
    return await Worker(options, endpoint, lock).run(ready_fd)


class Worker:
    """The one engine of `endpoint`, as long as it holds the lock."""

    def __init__(self, options: Options, endpoint: Endpoint, lock: Lock) -> None:
        self._options, self._endpoint, self._lock = options, endpoint, lock
        self._loop = asyncio.get_running_loop()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="step")
        self._stop = asyncio.Event()
        self._scheduler = Scheduler(self._step)
        self._service = Service(self._scheduler, options.name, endpoint.accepts, self._stop.set)
        self._server: asyncio.Server | None = None
        self._listening_at: object = None
        self._share = 0.0
        self._failed = False

    async def run(self, ready_fd: int | None) -> int:
        """Serves until something stops it; returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._loop.call_soon_threadsafe(self._stop.set))
        await self._listen()
        if ready_fd is not None:
            say_ready(ready_fd)
        working = asyncio.create_task(self._work())
        watching = asyncio.create_task(self._watch())
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({working, watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
            await self._end(working)
        for task in (working, watching):
            if task.done() and not task.cancelled() and (error := task.exception()):
                self._failed = True
                log.error("ended by an error", exc_info=error)
        return 1 if self._failed else 0

    async def _listen(self) -> None:
        self._server = await self._endpoint.listen(self._service.serve)
        self._listening_at = self._endpoint.identity()

    async def _step(self, work: Callable[[], Any]) -> Any:
        return await self._loop.run_in_executor(self._executor, work)

    async def _work(self) -> None:
        """Loads the model, then serves with it until `_end`; or tells that it cannot be loaded."""
        name = self._options.name
        self._service.tell(Loading(model=name, share=0.0))
        filler = await self._step(partial(guarded, partial(load, self._options, self._tell_share)))
        if isinstance(filler, Failure):
            self._failed = True
            self._service.tell(Broken(message=filler.message))
            await asyncio.wait({asyncio.create_task(self._service.met.wait())}, timeout=FAREWELL_S)
            return
        log.info("%s is ready on %s", name, filler.device)
        self._service.dtype = filler.dtype
        self._service.best_model, self._service.best_problem = filler.best_model, filler.best_problem
        told = f"best quality: {filler.best_problem}" if filler.best_problem else ""
        self._service.tell(Ready(model=name, device=filler.device, message=told))
        await self._scheduler.run(filler)

    def _tell_share(self, share: float) -> None:
        """Called in the step thread, after each tensor."""
        if share - self._share < SHARE:
            return
        self._share = share
        self._loop.call_soon_threadsafe(self._service.tell, Loading(model=self._options.name, share=share))

    async def _watch(self) -> None:
        """Ends when nobody needs this engine any more; keeps it where clients look for it until then."""
        while True:
            await asyncio.sleep(min(WATCH_S, self._options.idle_exit_s))
            alone_since = self._service.alone_since
            if alone_since is not None and time.monotonic() - alone_since > self._options.idle_exit_s:
                log.info("nobody was here for %g s", self._options.idle_exit_s)
                return
            if not self._still_owns():
                log.warning("another engine took over at %s", self._endpoint.directory)
                return
            if self._endpoint.identity() != self._listening_at:
                await self._listen_again()

    def _still_owns(self) -> bool:
        """Whether this is the one engine. Where its lock was removed, it takes the lock anew if it can."""
        if self._lock.is_current():
            return True
        try:
            self._endpoint.prepare()
            lock = try_lock(self._endpoint.owner_lock)
        except (OSError, EngineError) as error:
            log.warning("the lock is gone and cannot be made: %s", error)
            return True
        if lock is not None:
            self._lock.close()
            self._lock = lock
        return lock is not None

    async def _listen_again(self) -> None:
        """Listens where it listened before: somebody removed the socket."""
        log.warning("%s is gone: listening anew", self._endpoint.socket)
        assert self._server is not None
        self._server.close()  # to new clients; those that are here stay
        try:
            await self._listen()
        except EngineError as error:
            log.warning("%s", error)

    async def _end(self, working: "asyncio.Task[None]") -> None:
        """Tells everybody, and leaves the place to the next engine."""
        log.info("stopping")
        if self._server is not None:
            self._server.close()
        if self._endpoint.identity() == self._listening_at:
            self._endpoint.withdraw()
        self._scheduler.stop()
        if self._scheduler.num_open:  # a step runs; a load is not waited for
            await asyncio.wait({working}, timeout=FAREWELL_S)
        working.cancel()
        self._lock.close()  # first: a client that sees the connection end may start another engine
        await self._service.close()


def say_ready(ready_fd: int) -> None:
    """Tells whoever started this engine that clients can connect."""
    try:
        with os.fdopen(ready_fd, "wb", buffering=0) as pipe:
            pipe.write(b"ready\n")
    except OSError as error:
        log.warning("nobody waits for this engine: %s", error)


def load(options: Options, on_share: Callable[[float], None]) -> Filler:
    """What makes the fills. Runs in the step thread, whose torch threads it sets."""
    if options.rules is not None:
        return ScriptedFiller(options.rules)
    for cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):  # read at the first use
        os.environ.setdefault(cache, str(MOST_KERNELS))
    try:
        import torch  # here: a scripted engine needs none, and the event loop already serves

        from midfill.engine.loading import open_models
    except ImportError as error:
        raise EngineError(f"the engine needs {error.name}: pip install 'midfill[engine]'") from None
    torch.set_num_threads(options.threads)
    filler = open_models(options.model, options.best_model, on_share)
    gc.collect()
    gc.freeze()  # what is loaded stays: to look for garbage in it takes a fill now and then 90 ms (one core of an EPYC)
    return filler


def main() -> None:
    """`python -m midfill.engine.worker`: how a client starts the engine."""
    try:
        cyclopts.run(run)
    except MidfillError as error:
        sys.stderr.write(f"midfill: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
