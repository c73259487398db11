"""Dependence goes server → engine → kernels, never back; the server is light; the tests mirror the tree."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("server", "engine", "kernels")
SERVER_MAY_IMPORT = {f"midfill.engine.{name}" for name in ("wire", "client", "errors", "scripted")}


def modules(layer: str) -> list[Path]:
    return sorted((ROOT / layer / "midfill").rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[len(ROOT.parts) + 1 :])


def imported(path: Path) -> Iterator[str]:
    """The modules that `path` imports. `from a import b` counts as a.b: b may be a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def imports_within(layer: str, package: str) -> set[tuple[str, str]]:
    return {
        (module_name(path), name) for path in modules(layer) for name in imported(path) if is_within(name, {package})
    }


@pytest.mark.parametrize(
    ("layer", "package"),
    [
        ("engine", "midfill.server"),
        ("kernels", "midfill.server"),
        ("kernels", "midfill.engine"),
        ("server", "midfill.kernels"),
        ("server", "torch"),
    ],
)
def test_no_layer_imports_what_stands_above_it(layer: str, package: str) -> None:
    assert imports_within(layer, package) == set()


def test_the_server_sees_only_the_engines_messages_client_and_errors() -> None:
    found = imports_within("server", "midfill.engine")
    assert {pair for pair in found if not is_within(pair[1], SERVER_MAY_IMPORT)} == set()


def test_importing_the_whole_server_loads_no_torch() -> None:
    names = [module_name(path) for path in modules("server")]
    assert "midfill.server.cli" in names
    script = f"import sys, {', '.join(names)}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("layer", LAYERS)
def test_midfill_stays_a_namespace(layer: str) -> None:
    assert not (ROOT / layer / "midfill" / "__init__.py").exists()


@pytest.mark.parametrize("layer", LAYERS)
def test_every_test_file_is_named_for_a_module(layer: str) -> None:
    """`tests/engine/test_canvas_pins.py` tests `canvas`, in the same folder of the layer."""
    for test in (ROOT / "tests" / layer).rglob("test_*.py"):
        folder = ROOT / layer / "midfill" / layer / test.parent.relative_to(ROOT / "tests" / layer)
        subjects = {path.stem for path in folder.iterdir()} if folder.is_dir() else set()
        name = test.stem.removeprefix("test_")
        assert any(name == subject or name.startswith(f"{subject}_") for subject in subjects), test
