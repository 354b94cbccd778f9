"""Markdown of a model as a syntax tree, in time and depth that its length bounds.

CommonMark with tables and strikethrough, by markdown-it-py; HTML, pictures and links are switched off, so that they
stay text. Two things that the parser allows would let a short text cost much: emphasis nested thousands deep, which no
recursive reader survives, and tables of many columns whose rows leave them out, which it fills up.
"""

from __future__ import annotations

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, table
from markdown_it.rules_core import StateCore
from markdown_it.tree import SyntaxTreeNode

MAX_EMPHASIS = 20  # spans inside one another; the marks of deeper ones are text
MAX_MISSING_CELLS = 256  # that the rows of a table may leave out; with more it is no table
NOT_A_TABLE = "not_a_table"  # key in the parser's environment: no table begins above this line


def parse(source: str) -> SyntaxTreeNode:
    """The blocks of a text, as children of a root node."""
    return SyntaxTreeNode(_PARSER.parse(source))


def _full_table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """The rule of tables, for those that have most of their cells."""
    if start < state.env.get(NOT_A_TABLE, 0) or not table(state, start, end, True):
        return False
    columns, missing, line = _pipes(state, start), 0, start + 2
    while line < end and not state.isEmpty(line) and missing <= MAX_MISSING_CELLS:
        missing += max(0, columns - 1 - _pipes(state, line))
        line += 1
    if missing > MAX_MISSING_CELLS:
        state.env[NOT_A_TABLE] = line
        return False
    return silent or table(state, start, end, False)


def _pipes(state: StateBlock, line: int) -> int:
    return state.src.count("|", state.bMarks[line], state.eMarks[line])


def _limit_emphasis(state: StateCore) -> None:
    for block in state.tokens:
        depth = 0
        for token in block.children or ():
            depth += token.nesting == 1
            deep = depth > MAX_EMPHASIS
            depth -= token.nesting == -1
            if token.nesting and deep:
                token.type, token.tag, token.nesting, token.content = "text", "", 0, token.markup


_PARSER = (
    MarkdownIt("commonmark", {"html": False})
    .enable(["table", "strikethrough"])
    .disable(["html_block", "html_inline", "autolink", "link", "image", "reference"])
)
_PARSER.block.ruler.at("table", _full_table, {"alt": ["paragraph", "reference"]})
_PARSER.core.ruler.before("text_join", "emphasis_depth", _limit_emphasis)
