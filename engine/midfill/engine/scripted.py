"""An engine without a model: it answers by rules from a file. For tests of servers and editors, and for demonstrations.

The file is a JSON list; see `Rule` for the fields. `[{"after": "def add(a, b):", "text": "\\n    return a + b"}]`
"""

import os
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from midfill.engine.common_prefix import common_prefix
from midfill.engine.errors import InputError, ModeMissing
from midfill.engine.wire import Infill, InfillRequest, Other

CHARACTERS_A_TOKEN = 4
Count = Annotated[int, Meta(ge=0)]
Crash = Literal["exit", "raise", "lose"]


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An answer, and where it is given: after a prefix that ends with `after`, before a suffix that starts so."""

    after: str = ""
    before: str = ""
    text: str
    others: tuple[str, ...] = ()
    """Where more than one fill is asked for."""
    drafts: tuple[str, ...] = ()
    """The text so far over the steps; by default growing parts of the text."""
    steps: Annotated[int, Meta(ge=1)] = 4
    prefill_steps: Count = 1
    step_ms: Annotated[float, Meta(ge=0)] = 0.0
    """What each step takes, prefill too."""
    shown: bool = True
    confidence: Annotated[float, Meta(ge=0, le=1)] = 0.9
    valid: bool | None = None
    """What is said of the document with the fill; nothing checks it."""
    crash: Crash | None = None
    """What happens instead of the second half: the process dies, the step fails, or the device is lost with it."""


NOTHING = Rule(text="", steps=1, shown=False, confidence=0.0)
"""The answer where no rule fits."""


def read_rules(path: Path) -> list[Rule]:
    """The rules in `path`. Raises `InputError` if it holds none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Rule])
    except OSError as error:
        raise InputError(path, "a readable file", error.strerror) from None
    except (ValueError, RecursionError) as error:  # msgspec's and bad UTF-8 are ValueErrors
        raise InputError(path, "a JSON list of rules", error) from None


class ScriptedFiller:
    """Answers each request by the first rule that fits; remembers each document's last text, as a cache would."""

    device = "none"
    dtype = "none"
    best_model = ""
    best_problem = ""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        self._cached: dict[str, str] = {}
        self._is_lost = False

    @property
    def documents(self) -> int:
        """How many documents have something cached."""
        return len(self._cached)

    @property
    def kv_bytes(self) -> int:
        """What is cached, at a byte a character."""
        return sum(map(len, self._cached.values()))

    def forget(self, document: str) -> None:
        """Empties a document's cache."""
        self._cached.pop(document, None)

    def works(self) -> bool:
        """Whether no rule has lost the device."""
        return not self._is_lost

    def fill(self, request: InfillRequest) -> Generator[str, None, Infill]:
        """Yields the text so far after each step; returns the answer. Raises `ModeMissing` for any but fast."""
        if request.mode != "fast":
            raise ModeMissing("a script has none")
        rule = next((rule for rule in self.rules if _fits(rule, request)), NOTHING)
        started = time.perf_counter()
        cached = self._prefill(request)
        for _ in range(rule.prefill_steps):
            time.sleep(rule.step_ms / 1e3)
            yield ""
        prefilled = time.perf_counter()
        for step in range(rule.steps):
            if rule.crash is not None and step >= rule.steps // 2:
                self._crash(rule.crash)
            time.sleep(rule.step_ms / 1e3)
            yield _draft(rule, step + 1)
        return Infill(
            text=rule.text,
            shown=rule.shown,
            confidence=rule.confidence,
            others=tuple(
                Other(text=text, confidence=rule.confidence) for text in rule.others[: request.num_candidates - 1]
            ),
            valid=rule.valid,
            steps=rule.steps,
            prompt_tokens=_tokens(len(request.prefix) + len(request.suffix)),
            cached_tokens=cached,
            prefill_ms=round((prefilled - started) * 1e3, 2),
            decode_ms=round((time.perf_counter() - prefilled) * 1e3, 2),
        )

    def _prefill(self, request: InfillRequest) -> int:
        """Caches the prompt, suffix first as a model's is; returns how many of its tokens were cached before."""
        prompt = request.suffix + request.prefix
        common = common_prefix(self._cached.get(request.document, ""), prompt)
        self._cached[request.document] = prompt
        return _tokens(common)

    def _crash(self, how: Crash) -> None:
        """As a device error does: without a word, from whichever thread."""
        if how == "exit":
            os._exit(70)
        self._is_lost = how == "lose"
        raise RuntimeError("the script says so")


def _fits(rule: Rule, request: InfillRequest) -> bool:
    return request.prefix.endswith(rule.after) and request.suffix.startswith(rule.before)


def _draft(rule: Rule, steps_done: int) -> str:
    """The text so far after so many steps, one at least. Pure."""
    if rule.drafts:
        return rule.drafts[(steps_done * len(rule.drafts) - 1) // rule.steps]
    return rule.text[: -(-len(rule.text) * steps_done // rule.steps)]


def _tokens(characters: int) -> int:
    return characters // CHARACTERS_A_TOKEN
