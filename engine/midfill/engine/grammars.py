"""What fills of JSON documents are held to: grammar and schema as an automaton, and the validator's last word."""

from collections import OrderedDict
from collections.abc import Generator, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from midfill.engine.prompt import Prompt
from midfill.engine.schema.automaton import Automaton
from midfill.engine.schema.gap import Effort, Gap
from midfill.engine.schema.gate import Gate
from midfill.engine.schema.json_text import COMMENTED
from midfill.engine.schema.load import load_automaton
from midfill.engine.schema.patterns import Patterns
from midfill.engine.schema.resumed import Resumed
from midfill.engine.schema.spellings import Spellings
from midfill.engine.schema.token_automaton import FAR, MOST_LOOKS, MOST_OPENED, TokenAutomaton
from midfill.engine.tokenizer import Tokenizer
from midfill.engine.wire import InfillRequest, Schema

JSON = COMMENTED | {"json"}
"""LSP language identifiers of documents that are held to JSON, with a schema or without."""
MOST_GRAMMARS = 8
MOST_STATES = 1 << 18
"""An automaton that has more is made anew, or it would grow as long as people type."""
EFFORT = Effort(start=1500, elsewhere=150)
"""States that searches for a completion look at. Within a lattice there are hundreds of searches, most of them vain."""
READING = 150_000
"""Characters of the suffix that may be read in all: to ask where the hole may end can mean to read the whole, anew."""
FORCED_STARTS = 8
"""Continuations of the hole's start that become whole fills."""


class Grammar(NamedTuple):
    """A schema in both forms."""

    gate: Gate
    automaton: Automaton | None = None
    """None before it is made."""


class Hold:
    """What the fill of one request is held to."""

    def __init__(
        self, gate: Gate, automaton: Automaton, spellings: Spellings, request: InfillRequest, prompt: Prompt
    ) -> None:
        self.prefix, self.suffix, self.partial = request.prefix, prompt.closing + request.suffix, prompt.partial
        self.gate, self.closing, self._spellings = gate, prompt.closing, spellings
        self.has_schema = request.schema is not None
        self.gap = Gap(automaton, self.prefix, self.suffix, EFFORT)

    @cached_property
    def tokens(self) -> TokenAutomaton:
        """The gap as tokens see it, its start opened."""
        looks = READING // (1 + len(self.suffix))
        resumed = Resumed(self.gap, self.partial)
        tokens = TokenAutomaton(resumed, self._spellings, min(MOST_OPENED, 1 + looks // 3), min(MOST_LOOKS, 1 + looks))
        tokens.open_start()
        return tokens

    def settling(self) -> Iterator[None]:
        """Finds out what the search asks first, which takes up to 0.1 s while a schema is new, a little at a time."""
        yield from self.gap.settling()
        if self.shortest is not None:
            yield
            for begin in self._likely():
                self.gap.completion(_after(self.gap, begin))
                yield

    @property
    def is_whole(self) -> bool:
        """Whether the document can become valid by a fill; if not, a fill only brings no new error near it."""
        return self.gap.holds == "all"

    @property
    def shortest(self) -> int | None:
        """Tokens of the shortest fill that is known; None if none is."""
        found = int(self.tokens.to_exit[self.tokens.start])
        return None if found == FAR else found

    def completions(self, tokenizer: Tokenizer, max_tokens: int) -> list[list[int]]:
        """Fills that need no model: the shortest that is known, and such as begin with what may well come first."""
        gap = self.gap
        texts = [gap.completion(gap.start)]
        for begin in self._likely():
            rest = gap.completion(_after(gap, begin))
            texts.append(None if rest is None else begin + rest)
        fills = [tokenizer.encode((self.partial + text).decode(errors="replace")) for text in texts if text]
        return [fill for fill in fills if len(fill) <= max_tokens]

    def _likely(self) -> Sequence[bytes]:
        return self.gap.continuations(self.gap.start)[:FORCED_STARTS]

    def text(self, spelled: bytes) -> str:
        """What the bytes of a fill's tokens add behind the cursor."""
        return spelled[len(self.partial) :].decode(errors="ignore") + self.closing

    def is_valid(self, text: str) -> bool:
        """Whether the document with that fill is."""
        return self.gate.is_valid(self._filled(text))

    def is_preferred(self, text: str) -> bool:
        """Whether the document with that fill has the `format`s, too."""
        return self.gate.prefers(self._filled(text))

    def _filled(self, text: str) -> str:
        return self.prefix + text + self.suffix[len(self.closing) :]


class Grammars:
    """The grammars that were used last."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._spellings: Spellings | None = None
        self._patterns = Patterns()
        self._grammars: OrderedDict[tuple[Schema | None, str], Grammar] = OrderedDict()

    def hold(self, request: InfillRequest, prompt: Prompt) -> Generator[None, None, Hold | None]:
        """What the fill is held to; None where that is nothing: no JSON, or broken beyond what can be read.

        Yields between its parts, so that a newer request need not wait for all of them. What is made of a schema is
        kept even if this is closed. Raises `InputError` for a schema that cannot be used.
        """
        language = request.language or ("json" if request.schema else None)
        if language not in JSON:
            return None
        if self._spellings is None:
            self._spellings = Spellings(self._tokenizer.token_bytes)
            yield
        gate = self._gate(request.schema, language)
        if self._grammars[request.schema, language].automaton is None:
            yield
        automaton = self._automaton(request.schema, language)
        hold = Hold(gate, automaton, self._spellings, request, prompt)
        yield from hold.settling()
        return hold if hold.is_whole or hold.shortest is not None else None

    def _gate(self, schema: Schema | None, language: str) -> Gate:
        """It comes first: it holds the schema to its draft's own schema, and so refuses most that is wrong with it."""
        key = (schema, language)
        if key not in self._grammars:
            self._keep(key, Grammar(Gate(schema, language)))
        return self._grammars[key].gate

    def _automaton(self, schema: Schema | None, language: str) -> Automaton:
        key = (schema, language)
        gate, known = self._gate(schema, language), self._grammars[key].automaton
        if known is None or len(known.states) > MOST_STATES:
            known = load_automaton(schema, language, self._patterns)
        self._keep(key, Grammar(gate, known))
        return known

    def _keep(self, key: tuple[Schema | None, str], grammar: Grammar) -> None:
        self._grammars[key] = grammar
        self._grammars.move_to_end(key)
        while len(self._grammars) > MOST_GRAMMARS:
            self._grammars.popitem(last=False)


def _after(gap: Gap, text: bytes) -> int:
    state = gap.start
    for byte in text:
        state = gap.step(state, byte)
    return state
