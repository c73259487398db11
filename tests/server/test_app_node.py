"""The language server as the library sees it that VS Code's clients are made of: one session of a Node program."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.server.editor import MIDFILL, home

CLIENT = Path(__file__).with_name("node") / "client.mjs"
RULES = [
    {"after": "x = ", "text": "42"},
    {"after": "total = ", "text": "sum(values)"},
    {"after": "slow(", "text": "one)", "steps": 40, "step_ms": 50},
]
SESSION_S = 120.0


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[str, Any]]:
    """What the client saw."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on PATH")
    if not CLIENT.with_name("node_modules").is_dir():
        pytest.skip("the client is not installed: npm ci --prefix tests/server/node")
    with home() as env:
        script = Path(env["HOME"], "rules.json")
        script.write_text(json.dumps(RULES), encoding="utf-8")
        command = [node, str(CLIENT), MIDFILL, "lsp", "--script", str(script)]
        yield json.loads(subprocess.run(command, env=env, check=True, capture_output=True, timeout=SESSION_S).stdout)


def test_the_capabilities_are_those_of_the_standard(seen: dict[str, Any]) -> None:
    capabilities = seen["initialized"]["capabilities"]
    assert capabilities["inlineCompletionProvider"] == {}
    assert capabilities["positionEncoding"] == "utf-16"
    assert capabilities["textDocumentSync"]["openClose"] is True
    assert capabilities["textDocumentSync"]["change"] == 2
    assert capabilities["codeActionProvider"] == {"codeActionKinds": ["refactor.rewrite"]}
    assert "midfill.infillSelection" in capabilities["executeCommandProvider"]["commands"]
    assert seen["initialized"]["serverInfo"]["name"] == "midfill"


def test_a_suggestion_stands_at_its_place_behind_astral_characters(seen: dict[str, Any]) -> None:
    (item,) = seen["astral"]["items"]
    place = seen["astral"]["position"]
    assert place == {"line": 0, "character": 15}
    assert (item["insertText"], item["range"]) == ("42", {"start": place, "end": place})
    assert seen["astral"]["text"] == "🙂 = '𝒳'; x = 42\nlast\n"


def test_a_suggestions_command_can_be_run_when_it_is_accepted(seen: dict[str, Any]) -> None:
    assert seen["accepted"] == {"result": None}


def test_trigger_kinds_mean_what_they_mean_in_the_clients_dialect(seen: dict[str, Any]) -> None:
    """Asked after a delete, with 2, 1, 0, 1 and no context: the 0 proves the dialect in which 1 is automatic."""
    assert seen["dialects"] == [[], ["42"], ["42"], [], []]


def test_a_cancelled_token_makes_the_request_a_cancelled_one(seen: dict[str, Any]) -> None:
    assert seen["cancelled"]["code"] == -32800


def test_a_code_action_fills_the_selection_by_an_edit_of_this_version(seen: dict[str, Any]) -> None:
    assert {action["kind"] for action in seen["actions"]} == {"refactor.rewrite"}
    assert [action["title"] for action in seen["actions"]] == [
        "Fill selection (fast)",
        "Fill selection (best quality)",
    ]
    assert seen["filled"]["filled"] is True
    assert seen["filled"]["text"] == "🙂 = 1; total = sum(values)\nprint(total)\n"
    assert seen["filled"]["edits"] == 1


def test_progress_is_told_under_the_clients_token(seen: dict[str, Any]) -> None:
    first, *reports, last = seen["filled"]["kinds"]
    assert (first, last) == ("begin", "end")
    assert set(reports) <= {"report"}


def test_parameters_that_nobody_knows_are_passed_over(seen: dict[str, Any]) -> None:
    assert [item["insertText"] for item in seen["unknownParams"]["items"]] == ["42"]


def test_an_unknown_request_is_answered_as_unknown_and_no_one_is_told(seen: dict[str, Any]) -> None:
    assert seen["unknownRequest"]["code"] == -32601
    assert seen["messages"] == []


def test_settings_are_asked_for_where_the_client_gives_them(seen: dict[str, Any]) -> None:
    assert seen["configured"] == ["midfill"]


def test_the_session_ends_as_it_should(seen: dict[str, Any]) -> None:
    assert seen["statuses"] > 0
    assert seen["exitCode"] == 0
