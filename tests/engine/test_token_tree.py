"""`midfill.engine.token_tree`: what continuations begin with alike stands once."""

from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.token_tree import token_tree


@given(st.lists(st.lists(st.integers(0, 2), max_size=5)))
def test_paths_spell_the_continuations_and_no_start_stands_twice(continuations: list[list[int]]):
    tree = token_tree(continuations)
    assert [[tree.tokens[node] for node in path] for path in tree.paths] == continuations
    starts = {tuple(tokens[:length]) for tokens in continuations for length in range(1, len(tokens) + 1)}
    assert len(tree.tokens) == len(starts)
    for path in tree.paths:
        assert [tree.parents[node] for node in path] == [None, *path][: len(path)]
