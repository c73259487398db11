"""Writes `server/midfill/server/schema_catalogue.txt` from SchemaStore's `src/api/json/catalog.json`: names alone.

    python server/schemastore/write_catalogue.py catalog.json COMMIT

Each line is the URL of a schema and the names that its files have. Left out is what names YAML or TOML alone, and
a name that several schemas claim: nobody can say which is meant; and what a distribution says of its own packages.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

CATALOGUE = Path(__file__).parents[1] / "midfill" / "server" / "schema_catalogue.txt"
OTHERS = (".yml", ".yaml", ".toml", ".js", ".cjs")
"""Ends of names of files that are no JSON."""
DISTRIBUTIONS = ".debian."
"""Part of their hosts' names."""
HEADER = """\
# Which schema a JSON file of a well-known name has to meet: the URL, and the names, as patterns.
# Written by server/schemastore/write_catalogue.py from the repository SchemaStore/schemastore,
# src/api/json/catalog.json at commit {commit}, which is under the Apache License, version 2.0.
"""


def names_by_url(schemas: list[dict[str, Any]]) -> dict[str, list[str]]:
    """The patterns of JSON files by the URL of their schema, both sorted; case makes no difference to a name. Pure."""
    named = {(name, schema["url"]) for schema in schemas for name in map(_plain, schema.get("fileMatch", ()))}
    claims = Counter(name for name, _ in named)
    found: dict[str, list[str]] = {}
    for name, url in sorted(named, key=lambda each: (each[1], each[0])):
        if claims[name] == 1 and not name.endswith(OTHERS) and DISTRIBUTIONS not in url:
            found.setdefault(url, []).append(name)
    return found


def _plain(pattern: str) -> str:
    """A pattern means files in any folder, with two stars or without."""
    return pattern.lower().removeprefix("**/")


def main(source: str, commit: str, to: str = str(CATALOGUE)) -> None:
    """Writes the file anew."""
    schemas = json.loads(Path(source).read_text(encoding="utf-8"))["schemas"]
    lines = ["\t".join([url, *names]) for url, names in names_by_url(schemas).items()]
    Path(to).write_text(HEADER.format(commit=commit) + "\n".join(lines) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
