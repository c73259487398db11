"""Which JSON Schema a document has to meet: the one that it names, that the settings name for it, or that is known."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import msgspec

from midfill.engine.errors import RequestFailed
from midfill.engine.wire import Schema
from midfill.server.document import Document, Place
from midfill.server.file_match import fits
from midfill.server.json_text import JSON_LANGUAGES, SCANNED_CHARS, declared_schema
from midfill.server.schema_catalogue import known_schema
from midfill.server.schema_download import MAX_BYTES
from midfill.server.schema_references import Reference
from midfill.server.schema_texts import Found, Missing, SchemaText, SchemaTexts, read_schema
from midfill.server.settings import SchemaRule

log = logging.getLogger(__name__)

MAX_OTHERS = 64
"""So many that a schema refers to are looked for, found or not."""
MAX_REFUSED = 16
METASCHEMAS = frozenset(
    [f"http://json-schema.org/draft-0{number}/schema" for number in (4, 6, 7)]
    + [f"https://json-schema.org/draft/{draft}/schema" for draft in ("2019-09", "2020-12")]
)
"""Every validator has these, so that schemas can be written without fetching any."""


class _Candidate(NamedTuple):
    uri: str
    found: Found | None
    is_set: bool = False
    """Whether the settings name it."""


class Sought(NamedTuple):
    """What is known of the schema that a document has to meet."""

    schema: Schema | None
    """None if it has none, or none that is there."""
    is_being_found: bool = False
    """Whether it is still read or fetched: there may be one, and what is filled by then may not meet it."""


class _Assembled(NamedTuple):
    parts: list[SchemaText]
    schema: Schema


class Schemas:
    """Those of one workspace. `tell` complains to the person, `inform` gives notice."""

    def __init__(
        self,
        roots: Sequence[Path],
        rules: Sequence[SchemaRule],
        texts: SchemaTexts,
        *,
        tell: Callable[[str], None],
        inform: Callable[[str], None],
    ) -> None:
        self._roots, self._rules, self._texts, self._tell, self._inform = roots, rules, texts, tell, inform
        self._inlines: dict[str, Found] = {}
        self._assembled: dict[str, _Assembled] = {}
        self._refused: deque[Schema] = deque(maxlen=MAX_REFUSED)

    def schema_for(self, document: Document, path: Path | None, cursor: Place) -> Sought:
        """The schema, the same object as long as nothing changes; none before all of it is there."""
        if document.language not in JSON_LANGUAGES:
            return Sought(None)
        sought = self._sought(document, path, cursor)
        return Sought(None) if sought.schema in self._refused else sought

    async def news(self) -> None:
        """Waits until more is known of the schemas that are being found."""
        await self._texts.news()

    def note_failure(self, schema: Schema, error: RequestFailed) -> None:
        """Where the engine cannot use a schema, documents are filled as if there were none, and it is told why."""
        names = ("schema", schema.uri, *(uri for uri, _ in schema.others))
        if str(error).startswith(tuple(filter(None, names))):
            self._refused.append(schema)
            self._tell(f"{error}; files are filled without it")

    def _sought(self, document: Document, path: Path | None, cursor: Place) -> Sought:
        for candidate in self._candidates(document, path, cursor):
            if isinstance(candidate.found, SchemaText):
                schema = self._assemble(candidate.uri, candidate.found)
                return Sought(schema, is_being_found=schema is None)
            if candidate.found is None:
                return Sought(None, is_being_found=True)
            self._note(candidate, document)
        return Sought(None)

    def _candidates(self, document: Document, path: Path | None, cursor: Place) -> Iterator[_Candidate]:
        """The first that is there counts."""
        if (uri := self._declared(document, cursor)) is not None:
            yield self._named(uri)
        name = path or Path(unquote(urlsplit(document.uri).path))
        for number, rule in enumerate(self._rules):
            if fits(rule.file_match, name, self._roots):
                yield self._ruled(number, rule, path)
        if (uri := known_schema(name)) is not None:
            yield self._named(uri)

    def _named(self, uri: str) -> _Candidate:
        meta = uri.replace("https://json-schema.org/draft-0", "http://json-schema.org/draft-0")  # many write it so
        if meta in METASCHEMAS:
            return _Candidate(meta, SchemaText(msgspec.json.encode({"$ref": meta}).decode()))
        return _Candidate(uri, self._texts.look_up(uri))

    def _declared(self, document: Document, cursor: Place) -> str | None:
        """The document's own; None while it is being written."""
        declared = declared_schema(document.after(Place(0, 0), SCANNED_CHARS))
        if declared is None or declared.start < document.offset(cursor) < declared.end:
            return None
        try:
            uri = urldefrag(urljoin(document.uri, declared.value)).url
        except ValueError:  # of a bracket where an address is expected
            return None
        return uri if urlsplit(uri).scheme else None

    def _ruled(self, number: int, rule: SchemaRule, path: Path | None) -> _Candidate:
        """What a rule of the settings names; a path is one in the document's root."""
        roots = [root for root in self._roots if path is not None and path.is_relative_to(root)] or self._roots
        folder = Path(*roots[:1]).absolute()
        if rule.schema is not None:
            return self._inline(rule.schema, (folder / f"settings-schemas-{number}.json").as_uri())
        try:
            is_address = urlsplit(rule.url).scheme in ("file", "http", "https")
            uri = rule.url if is_address else (folder / _expanded(rule.url)).as_uri()
        except ValueError as error:  # of a bracket where an address is expected, and of what no path holds
            return _Candidate(rule.url, Missing(f"{rule.url}: wanted a path or an address, got {error}"), is_set=True)
        return _Candidate(uri, self._texts.look_up(uri), is_set=True)

    def _inline(self, schema: dict[str, object] | bool, uri: str) -> _Candidate:
        """One that the settings hold: no other has its URI, which stands for a file in the root."""
        if uri not in self._inlines:
            self._inlines[uri] = read_schema(msgspec.json.encode(schema), uri)
        return _Candidate(uri, self._inlines[uri], is_set=True)

    def _note(self, candidate: _Candidate, document: Document) -> None:
        """Says why a schema is not used: of one that the settings name each time anew, of fetching once for ever."""
        missing = candidate.found
        assert isinstance(missing, Missing)
        log.debug("no schema: %s", missing.reason)
        if missing.is_forbidden:
            if self._texts.cache.is_first_notice():
                name = Path(unquote(urlsplit(document.uri).path)).name
                self._inform(f"a schema for {name} is known at {candidate.uri}: set fetchSchemas to true to use it")
        elif candidate.is_set:
            self._tell(f"schemas: {missing.reason}")

    def _assemble(self, uri: str, root: SchemaText) -> Schema | None:
        """The schema with all that it refers to; None while some of that is being found."""
        others = self._others(root)
        if others is None:
            return None
        parts = [root, *others.values()]
        last = self._assembled.get(uri)
        if last is not None and last.parts == parts:
            return last.schema
        texts = tuple((name, other.text) for name, other in others.items())
        self._assembled[uri] = _Assembled(parts, Schema(text=root.text, uri=uri, others=texts))
        return self._assembled[uri].schema

    def _others(self, root: SchemaText) -> dict[str, SchemaText] | None:
        """By URI. None while some are being found; those that are missing are left out."""
        others: dict[str, SchemaText] = {}
        waiting, seen, num_chars, is_whole = [*root.references], set[str](), len(root.text), True
        while waiting and len(seen) < MAX_OTHERS:
            reference = waiting.pop(0)
            if reference.uri in seen or reference.uri in METASCHEMAS:
                continue
            seen.add(reference.uri)
            found = self._find(reference)
            is_whole = is_whole and found is not None
            if isinstance(found, SchemaText) and num_chars + len(found.text) <= MAX_BYTES:
                num_chars += len(found.text)
                others[reference.uri] = found
                waiting += found.references
        return others if is_whole else None

    def _find(self, reference: Reference) -> Found | None:
        """A file of that name beside the schema, where it says that it stands elsewhere; what its name leads to."""
        if reference.file_uri != reference.uri and urlsplit(reference.file_uri).scheme == "file":
            beside = self._texts.look_up(reference.file_uri)
            if not isinstance(beside, Missing):
                return beside
        return self._texts.look_up(reference.uri)


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:  # there is no such user: then it is a folder's name
        return Path(path)
