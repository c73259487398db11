"""`midfill.engine.repeats`: lines that say what the line before them says."""

import pytest

from midfill.engine.repeats import repeated_lines


@pytest.mark.parametrize(
    ("prefix", "fill", "suffix", "repeated"),
    [
        ("import os\n", "import os\n", "", 1),
        ("import os\n", "import sys\n", "", 0),
        ("import os\n\n\n", "import os", "\n", 1),
        ("    a = 1\n    a ", "= 1", "\n", 1),
        ("    a = 1\n    a ", "=", " 1\nb = 2\n", 1),
        ("    a = 1\n    a ", "=", " 12\n", 0),
        ("f(\n    one,\n", "    one,\n    one,\n", ")\n", 2),
        ("a = 1\n", "b = 2\nb = 2\nc = 3\n", "", 1),
        ("", "a = 1", "", 0),
        ("]\n", "]\n", "", 0),
        ("#####\n", "#####\n", "", 0),
        ("a = 1\r\n", "a = 1\r\n", "", 1),
    ],
)
def test_a_line_counts_that_equals_the_text_before_it(prefix: str, fill: str, suffix: str, repeated: int):
    assert repeated_lines(prefix, fill, suffix) == repeated
