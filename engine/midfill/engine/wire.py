"""The messages between whoever asks for a fill and the engine. Offsets are Unicode code points.

A connection starts with the client's `Hello` and the engine's `Welcome` or `Unwelcome`; those three never change, so
that any two versions understand each other's refusal. After that either side sends what it likes, in any order.
"""

from typing import Annotated, Literal

import msgspec

PROTOCOL = 3
"""Version of all messages but the first three. It is part of the socket's name: versions run side by side."""

Mode = Literal["fast", "best"]
"""`fast` is quick enough for typing; `best` also writes left to right, with another model where one is named."""


Eagerness = Literal["low", "balanced", "high"]
"""How sure a fill has to be before it is shown unasked: `low` shows few, and those are right more often."""

Scope = Literal["auto", "line", "block", "any"]
"""How far a fill may go: the cursor's line, its block, anything; `auto` is what the text around the cursor says."""

MOST_CANDIDATES = 10

SchemaDraft = Literal["draft4", "draft6", "draft7", "draft2019-09", "draft2020-12"]
"""Versions of JSON Schema."""


class Snippet(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of another file that may help."""

    path: str
    """Relative to the workspace."""
    text: str


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON Schema that a document has to meet."""

    text: str
    """JSON."""
    uri: str = ""
    """Where it stands: relative references start from here."""
    others: tuple[tuple[str, str], ...] = ()
    """URI and JSON text of schemas that it may refer to. Nothing else is fetched."""
    draft: SchemaDraft | None = None
    """Of schemas that do not say; draft 7 if None."""


class InfillRequest(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A gap in a text: what stands before it, what stands after it, and how large a fill may be."""

    document: str
    """Key of the open file: requests with the same key share cached work."""
    prefix: str
    suffix: str
    language: str | None = None
    """LSP language identifier, such as `python`; None if unknown."""
    snippets: tuple[Snippet, ...] = ()
    """From other files, the most helpful last. A checkpoint that was not trained with any may recall them only."""
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] = 64
    """The longest fill. One canvas holds the likely ones; more than it holds is written canvas after canvas."""
    mode: Mode = "fast"
    scope: Scope = "auto"
    eagerness: Eagerness = "balanced"
    num_candidates: Annotated[int, msgspec.Meta(ge=1, le=MOST_CANDIDATES)] = 1
    """Fills that are wanted, the best and others to choose from."""
    seed: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)] = 0
    schema: Schema | None = None
    """What the whole document has to meet; a fill that does not is never shown."""


class Other(msgspec.Struct, frozen=True, kw_only=True):
    """A fill beside the best one."""

    text: str
    confidence: float


class Infill(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The engine's answer."""

    text: str
    shown: bool
    """Whether an editor would show it: false for an empty or an unlikely fill."""
    confidence: float
    """Probability that it is what the person would write, where a gate was fitted for the checkpoint.

    Without one, and in JSON, the geometric mean probability of its tokens and the one after it, by the causal mode.
    """
    steps: int
    """Passes that looked for the fill: denoise steps, and those that wrote tokens.

    Those count, too, which the model need not compute again, as it did for the document's last fill.
    """
    prompt_tokens: int
    cached_tokens: int
    """Prompt tokens found in the document's cache."""
    prefill_ms: float
    decode_ms: float
    """Time for all that came after the prompt: choosing lengths, denoising, writing, scoring."""
    others: tuple[Other, ...] = ()
    """Where more than one fill was asked for: those that differ, each worth showing, the best first."""
    valid: bool | None = None
    """Whether the document with the fill is valid, as JSON and by its schema; None: not checked."""


class Hello(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The client's first frame."""

    protocol: int
    client: str
    """Who asks, for the log: a program's name and its process id."""
    token: str = ""
    """Secret from the endpoint's file, where the transport is TCP."""


class Welcome(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The engine's first frame."""

    protocol: int
    version: str
    pid: int


class Unwelcome(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The engine's first and last frame to a client that it cannot serve."""

    reason: str


class Submit(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Asks for a fill. It drops the older request of the same document, whoever sent that."""

    id: int
    """The client's choice, unique on its connection."""
    request: InfillRequest
    speculative: bool = False
    """A guess at what will be asked next: it runs when nothing else does."""
    drafts: bool = False
    """Whether `Draft`s are wanted."""


class Cancel(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Ends a request. An id that is not running any more is no error: the answer crossed it."""

    id: int


class Forget(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The file was closed: its cache can go."""

    document: str


class AskStatus(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Asks for a `Status`."""

    id: int


class Stop(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Asks the engine to end, for all its clients."""


class Loading(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The model is being loaded; requests wait. Sent to every client as it goes on."""

    model: str
    share: float
    """Of the work, 0 to 1."""


class Ready(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The model is loaded. Sent to every client, and to those that come later after their `Welcome`."""

    model: str
    device: str
    message: str = ""
    """What a person should know of it."""


class Broken(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The model could not be loaded. The engine ends after it."""

    message: str


class Draft(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The text so far, where it changed."""

    id: int
    text: str


class Done(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The end of a request that was answered."""

    id: int
    infill: Infill


class Dropped(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The end of a request that was not."""

    id: int
    why: Literal["cancelled", "superseded", "busy", "stopping"]


class Failed(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The end of a request that could not be: its own fault, or the engine's."""

    id: int
    message: str


class Status(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """How the engine is doing."""

    id: int
    version: str
    pid: int
    model: str
    device: str
    dtype: str
    uptime_s: float
    resident_bytes: int
    """Memory of the process."""
    kv_bytes: int
    """Memory of the documents' caches."""
    documents: int
    clients: int
    running: int
    """Requests begun or waiting."""
    answered: int
    dropped: int
    failed: int
    p50_ms: float | None
    """Latency of the last requests answered, speculative ones apart, from arrival to answer; None before the first."""
    p90_ms: float | None
    cached_share: float | None
    """Of all prompt tokens, those found in a cache."""
    prompt_tokens: int = 0
    """Those, of the requests that were answered."""
    best_model: str = ""
    """The model that serves best mode, where that is another."""
    best_problem: str = ""
    """Why the model that was meant for best mode does not serve it: then the other does, or none."""


FromClient = Hello | Submit | Cancel | Forget | AskStatus | Stop
FromEngine = Welcome | Unwelcome | Loading | Ready | Broken | Draft | Done | Dropped | Failed | Status
