import pytest

from midfill.server.protocol import Dialect

INVOKED, AUTOMATIC = 1, 2


@pytest.mark.parametrize(
    ("kinds", "meant"),
    [
        ([1, 2, 1], [INVOKED, AUTOMATIC, INVOKED]),  # the standard
        ([0, 1, 0, 1], [INVOKED, AUTOMATIC, INVOKED, AUTOMATIC]),  # vscode-languageclient 9
        ([1, 0, 1], [INVOKED, INVOKED, AUTOMATIC]),  # it shows itself with its first 0
        ([None, "1", 3, 1.5], [AUTOMATIC] * 4),  # neither
    ],
)
def test_trigger_kinds_are_read_in_the_clients_dialect(kinds: list[object], meant: list[int]) -> None:
    dialect = Dialect()
    assert [dialect.standard(kind) for kind in kinds] == meant
