"""The recipe's scripts import each other by plain name, as they do when they are run; so do their tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "engine" / "nano"))
