"""Continuations of one prompt as a tree: what they begin with alike is read once, and no pass holds padding.

4 fills of up to 8 tokens with 4 suffix tokens are 4 x 11 tokens as padded rows, and 27 if they are 1, 2, 4 and 8 long.
"""

from collections.abc import Sequence
from typing import NamedTuple


class TokenTree(NamedTuple):
    """The distinct starts of some continuations, of one token or more: a node each, its last token."""

    tokens: list[int]
    parents: list[int | None]
    """The node before each, which comes earlier; None behind the prompt."""
    paths: list[list[int]]
    """Of each continuation, the nodes of its tokens."""


def token_tree(continuations: Sequence[Sequence[int]]) -> TokenTree:
    """The tree of all starts of `continuations`, which may be empty. Pure."""
    nodes: dict[tuple[int | None, int], int] = {}
    paths = []
    for tokens in continuations:
        path: list[int] = []
        for token in tokens:
            path.append(nodes.setdefault((path[-1] if path else None, token), len(nodes)))
        paths.append(path)
    return TokenTree([token for _, token in nodes], [parent for parent, _ in nodes], paths)
