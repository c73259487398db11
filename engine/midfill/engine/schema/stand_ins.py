"""What stands in for schemas that are referred to and not there: they accept everything, as nobody can say better."""

from collections.abc import Iterable, Iterator
from typing import Any

REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


class StandIns:
    """Answers for missing resources, by their URI; called by the validator as it reads a schema."""

    def __init__(self, schemas: Iterable[Any]) -> None:
        self.missing: set[str] = set()
        self._contents: dict[str, Any] = {}
        for pointer in {pointer for contents in schemas for pointer in _pointers(contents)}:
            _put(self._contents, pointer)

    def __call__(self, uri: str) -> dict[str, Any]:
        self.missing.add(uri)
        return self._contents


def _pointers(contents: Any) -> Iterator[str]:
    """Places inside other resources that references lead to, such as `/definitions/name`."""
    waiting = [contents]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
            for reference in (value.get(keyword) for keyword in REFERENCES):
                if isinstance(reference, str) and not reference.startswith("#"):
                    yield reference.partition("#")[2]
        elif isinstance(value, list):
            waiting += value


def _put(contents: dict[str, Any], pointer: str) -> None:
    """Make an empty schema, which accepts everything, at a JSON pointer; other fragments have none."""
    if pointer.startswith("/"):
        for name in pointer[1:].split("/"):
            contents = contents.setdefault(name.replace("~1", "/").replace("~0", "~"), {})
