"""Well-known JSON files, and where the schema of each is published: names alone. Nothing is fetched here.

They are those of SchemaStore's catalogue, in `schema_catalogue.txt`, which is read when it is first asked for.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

from midfill.server.file_match import fits

CATALOGUE = Path(__file__).with_suffix(".txt")


class Known(NamedTuple):
    """A pattern in lower case, for files in any folder, and what can be seen of it without a look at the whole."""

    pattern: str
    url: str
    folders: frozenset[str]
    """Those without a star that stand before the name."""
    name: str
    start: str
    end: str
    """What the name begins and ends with, before its first star and after its last."""

    @property
    def num_literal(self) -> int:
        """Characters but stars and slashes. Of two patterns the one with more says more of a file."""
        return len(self.pattern) - self.pattern.count("*") - self.pattern.count("/")


class _Catalogue(NamedTuple):
    by_name: dict[str, list[Known]]
    """Patterns whose name has no star."""
    starred: list[Known]


def known_schema(path: Path) -> str | None:
    """Where the schema for a file of this name is published, whatever its case. Pure but for the first reading."""
    path = Path(path.as_posix().lower())
    catalogue, folders = _catalogue(), frozenset(path.parts[:-1])
    starred = (each for each in catalogue.starred if path.name.startswith(each.start) and path.name.endswith(each.end))
    likely = [each for each in (*catalogue.by_name.get(path.name, ()), *starred) if each.folders <= folders]
    likely.sort(key=lambda each: (-each.num_literal, len(each.pattern)))
    return next((each.url for each in likely if each.pattern == path.name or fits((each.pattern,), path, ())), None)


@cache
def _catalogue() -> _Catalogue:
    catalogue = _Catalogue({}, [])
    for line in CATALOGUE.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            url, *patterns = line.split("\t")
            for known in (_known(pattern, url) for pattern in patterns):
                same = catalogue.starred if "*" in known.name else catalogue.by_name.setdefault(known.name, [])
                same.append(known)
    return catalogue


def _known(pattern: str, url: str) -> Known:
    *folders, name = pattern.split("/")
    fixed = name.split("*")
    return Known(pattern, url, frozenset(folder for folder in folders if "*" not in folder), name, fixed[0], fixed[-1])
