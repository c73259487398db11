"""The layout of JSON documents."""

import json

import pytest

from midfill.engine.schema.style import Style, style_of

DOCUMENT = {"name": "fox", "tags": ["red", "quick"], "den": {"depth": 2}}


@pytest.mark.parametrize("indent", ["  ", "    ", "\t"])
def test_indentation_and_line_breaks_are_the_documents(indent: str):
    text = json.dumps(DOCUMENT, indent=indent)
    assert style_of(text) == Style(indent, "\n", ", ", ": ")
    assert style_of(text.replace("\n", "\r\n")).line_break == "\r\n"


def test_a_document_on_one_line_stays_on_one():
    assert style_of(json.dumps(DOCUMENT)) == Style(None, "\n", ", ", ": ")
    assert style_of(json.dumps(DOCUMENT, separators=(",", ":"))) == Style(None, "\n", ",", ":")


def test_an_item_stands_where_its_depth_says():
    style = Style("  ", "\n", ", ", ": ")
    assert style.before_item(2) == style.after_comma(2) == "\n    "
    line = Style(None, "\n", ", ", ": ")
    assert (line.before_item(2), line.after_comma(2)) == ("", " ")
