"""A language server that always offers `one` and `two`."""

from lsprotocol import types
from pygls.lsp.server import LanguageServer

server = LanguageServer("two-candidates", "0")


@server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
def inline_completion(params: types.InlineCompletionParams) -> types.InlineCompletionList:
    """Both, wherever the cursor is."""
    here = types.Range(params.position, params.position)
    return types.InlineCompletionList([types.InlineCompletionItem(text, range=here) for text in ("one", "two")])


if __name__ == "__main__":
    server.start_io()
