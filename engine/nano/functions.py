"""Functions and classes that need nothing but the standard library, cut out of their modules as documents of their own.

Most code of a package is about that package. These are about loops, lists and strings, as in a new file that a person
begins, and they are short enough for a stream to hold the whole.
"""

import ast
import builtins
from collections.abc import Iterator

from documents import Document

MIN_CHARS, MIN_LINES, MAX_LINES = 120, 4, 60
STANDARD = frozenset({
    "abc", "argparse", "array", "ast", "base64", "binascii", "bisect", "calendar", "cmath", "collections",
    "colorsys", "contextlib", "copy", "csv", "dataclasses", "datetime", "decimal", "difflib", "enum",
    "fnmatch", "fractions", "functools", "glob", "hashlib", "heapq", "html", "inspect", "io", "itertools",
    "json", "keyword", "logging", "math", "numbers", "operator", "os", "pathlib", "pprint", "queue", "random",
    "re", "secrets", "shlex", "shutil", "statistics", "string", "struct", "sys", "tempfile", "textwrap",
    "time", "tokenize", "traceback", "types", "typing", "unicodedata", "urllib", "uuid", "warnings", "weakref",
    "zlib",
})  # fmt: skip
"""Modules that may be imported: those that a short script imports."""
KNOWN = frozenset(dir(builtins))

Definition = ast.FunctionDef | ast.ClassDef


def standalone(document: Document) -> list[Document]:
    """The definitions of a Python document that only use builtins and what it imports of `STANDARD`; none of others."""
    if document.language != "python":
        return []
    try:
        tree = ast.parse(document.text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # of other versions of Python, or absurd
        return []
    imported = dict(imports(tree))
    lines = document.text.split("\n")
    texts = {each.name: definition_text(each, lines, imported) for each in candidates(tree)}
    return [Document(f"{document.path}#{name}", "python", text) for name, text in texts.items() if text]


def candidates(tree: ast.Module) -> Iterator[Definition]:
    """The definitions at the top of a module that are neither tests nor long, and that nothing decorates."""
    for node in tree.body:
        if isinstance(node, Definition) and not node.decorator_list and not node.name.lower().startswith("test"):
            assert node.end_lineno is not None
            if MIN_LINES <= node.end_lineno - node.lineno + 1 <= MAX_LINES:
                yield node


def definition_text(node: Definition, lines: list[str], imported: dict[str, str]) -> str | None:
    """The definition under the imports it needs; None where it is too short or needs something else."""
    if not all(is_standard(each) for each in ast.walk(node)):
        return None
    needed = free_names(node)
    own = "\n".join(lines[node.lineno - 1 : node.end_lineno]) + "\n"
    if not needed <= imported.keys() or len(own) < MIN_CHARS:
        return None
    head = "".join(sorted({imported[name] for name in needed}))
    return f"{head}\n\n{own}" if head else own


def imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(name, the line that imports it) of what a module imports of `STANDARD`."""
    for node in tree.body:
        match node:
            case ast.Import():
                for name in node.names:
                    if name.name.split(".")[0] in STANDARD:
                        yield (name.asname or name.name).split(".")[0], ast.unparse(ast.Import([name])) + "\n"
            case ast.ImportFrom(module=str(module), level=0) if module.split(".")[0] in STANDARD:
                for name in node.names:
                    line = ast.unparse(ast.ImportFrom(module, [name], 0)) + "\n"
                    yield name.asname or name.name, line
            case _:
                pass


def is_standard(node: ast.AST) -> bool:
    """False for an import of anything but what `STANDARD` names; true for all other nodes."""
    match node:
        case ast.Import():
            return all(name.name.split(".")[0] in STANDARD for name in node.names)
        case ast.ImportFrom():
            return not node.level and (node.module or "").split(".")[0] in STANDARD
        case _:
            return True


def free_names(definition: ast.AST) -> set[str]:
    """Names that a definition reads and nothing in it binds, builtins apart. Scopes within it count as one."""
    read, bound = set[str](), set[str]()
    for node in ast.walk(definition):
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                read.add(name)
            case ast.Name(id=name) | ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                bound.add(name)
            case ast.AsyncFunctionDef(name=name) | ast.ExceptHandler(name=str(name)):
                bound.add(name)
            case ast.alias(name=name, asname=other):
                bound.add((other or name).split(".")[0])
            case _:
                pass
    return read - bound - KNOWN
