from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.common_prefix import common_prefix


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_common_prefix_is_the_longest(tokens: list[int], others: list[int]):
    length = common_prefix(tokens, others)
    assert tokens[:length] == others[:length]
    assert length == min(len(tokens), len(others)) or tokens[length] != others[length]
