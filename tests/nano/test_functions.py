"""`engine/nano/functions.py`: what of a module stands alone."""

import ast

import pytest
from documents import Document
from functions import MAX_LINES, MIN_CHARS, standalone

BODY = "".join(f"    total += values[{number}] * weights[{number}]\n" for number in range(5))
SUM = f"def weighted(values, weights):\n    total = 0\n{BODY}    return total\n"


def found(text: str, language: str = "python") -> list[str]:
    return [document.text for document in standalone(Document("package/a.py", language, text))]


def test_a_function_that_needs_nothing_is_cut_out_as_it_is():
    (document,) = standalone(Document("package/a.py", "python", f"from . import other\n\n\n{SUM}\n\nother.run()\n"))
    assert document == Document("package/a.py#weighted", "python", SUM)


def test_what_it_needs_of_the_standard_library_is_imported_above_it():
    text = SUM.replace("return total", "return floor(total), m.pi, os.path.sep")
    head = "import math as m\nimport os.path\nimport re\nfrom math import ceil, floor\n\n\n"
    (alone,) = found(head + text)
    assert alone == "from math import floor\nimport math as m\nimport os.path\n\n\n" + text


@pytest.mark.parametrize(
    "line",
    ["return helper(total)", "return np.sum(total)", "return LIMIT", "return [helper(each) for each in total]"],
)
def test_a_function_that_needs_its_module_or_a_package_is_left_out(line: str):
    module = "import numpy as np\nfrom . import helper\n\nLIMIT = 3\n\n\n"
    assert found(module + SUM.replace("return total", line)) == []


def test_names_that_it_binds_itself_are_none_that_it_needs():
    lines = [
        "import io as deep",
        "try:",
        "    with open(deep) as file:",
        "        return [(number := line) for line in file if weighted(line, weights)]",
        "except OSError as error:",
        "    raise ValueError(number) from error",
    ]
    assert len(found(SUM.replace("    return total\n", "".join(f"    {line}\n" for line in lines)))) == 1


def test_a_class_stands_alone_as_a_function_does():
    methods = "".join(f"    def get_{n}(self):\n        return self.values[{n}] + Box.size\n\n" for n in range(3))
    (alone,) = found(f"class Box:\n    size = 3\n\n{methods}".rstrip() + "\n")
    assert ast.parse(alone)


@pytest.mark.parametrize("line", ["import numpy", "from .models import total", "from numpy import sum"])
def test_what_imports_another_package_within_it_does_not_stand_alone(line: str):
    assert found(SUM.replace("    return total\n", f"    {line}\n    return total\n")) == []


@pytest.mark.parametrize(
    "text",
    [
        SUM.replace("weighted", "test_weighted"),
        f"@cache\n{SUM}",
        SUM.replace(BODY, BODY * MAX_LINES),
        "def f(a):\n    b = a\n    c = b\n    return c\n",
        "def f(a):\n    return (" + "a + " * MIN_CHARS + "a)\n",
        f"if True:\n{''.join(f'    {line}' for line in SUM.splitlines(keepends=True))}",
        SUM.replace("return total", "return total +"),
    ],
    ids=["test", "decorated", "long", "few characters", "few lines", "not at the top", "broken"],
)
def test_what_is_no_example_is_left_out(text: str):
    assert found(text) == []


def test_other_languages_have_none():
    assert found(SUM, "markdown") == []
