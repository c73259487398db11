"""The README's tree names the modules that exist, and no other."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("server/midfill/server", "engine/midfill/engine", "engine/nano", "kernels/midfill/kernels")


def told() -> Iterator[str]:
    """The paths of the Python files in the README's tree; a folder stands above its files, two spaces less deep."""
    tree = (ROOT / "README.md").read_text(encoding="utf-8").split("## Tree")[1].split("```")[1]
    folders: list[str] = []
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        for name in re.split(" {2,}", line.strip())[0].split():
            if name.endswith("/"):
                folders[depth:] = [name]
            elif name.endswith(".py"):
                yield "".join(folders[:depth]) + name


def test_each_module_has_its_line_in_the_tree() -> None:
    modules = {str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    named = set(told())
    assert modules <= named
    assert all((ROOT / name).is_file() for name in named)
