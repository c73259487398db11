from collections.abc import Iterator

import pytest
from tests.server.editor import home


@pytest.fixture
def env() -> Iterator[dict[str, str]]:
    """The environment of a user of this test's own."""
    with home() as found:
        yield found
