"""What figures depend on: the engine's sources, the model, the machine."""

import ast
import datetime
import hashlib
import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from tests.benchmarks.gpu.results import ROOT

ENGINE = ROOT / "engine" / "midfill"


def sources(folder: Path = ENGINE) -> str:
    """A hash of what the engine's code does: comments, docstrings and line breaks do not count."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder)}\0{meaning(path.read_text(encoding='utf-8'))}\0".encode())
    return digest.hexdigest()[:16]


def meaning(code: str) -> str:
    """What Python reads in `code`, without strings that stand alone."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [each for each in node.body if not _is_text(each)]
    return ast.dump(tree)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def model_hash(folder: Path) -> str:
    """Of all files that a checkpoint is read from."""
    return files_hash(folder, (path for path in folder.rglob("*") if path.suffix in {".json", ".safetensors"}))


def files_hash(folder: Path, paths: Iterable[Path]) -> str:
    """Of what is in files below `folder`, and of their names there."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def machine() -> dict[str, Any]:
    """What runs here, and when."""
    on_card = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if on_card else _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "midfill": version("midfill"),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "cpu"
