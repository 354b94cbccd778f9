"""Text of the model and of visitors as Markdown that the chat renders safely.

The chat component turns Markdown into HTML in the browser (marked, a sanitiser that lets pictures and links through,
KaTeX for formulas between `$$` or between backslashed brackets). A model that writes `<img src=...>`,
`![](https://...)` or `[safe](https://...)` would therefore make the browser fetch an address or disguise one.
`safe_markdown` parses the answer without HTML, pictures and links (`markdown_parser.py`), so that these stay text, and
writes the tree back as Markdown.

markdown-it and marked disagree about details, so what is written must be harmless however its blocks and spans are
cut. Outside fenced code the output holds no "<" that could begin a tag (except a few constant tags written here), no
"](" and no "]:", and an inline code span holds none of them either: one that needs them is written as `<code>` with
entities. Fenced code with such text is written as a fence only at the top level, where both parsers agree on its
first and last line. The page's content security policy (ui/theme.py) is a second line of defence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from markdown_it.tree import SyntaxTreeNode

from qwen2vl_demo.ui.chat.markdown_parser import parse

# Unlike a backslash, an entity also works inside an address that the browser makes a link. Named ones where they
# exist: marked keeps a named entity out of the end of a link.
_ENTITIES = {
    **{"!": "&excl;", '"': "&quot;", "#": "&num;", "$": "&dollar;", "%": "&percnt;", "&": "&amp;", "'": "&apos;"},
    **{"(": "&lpar;", ")": "&rpar;", "*": "&ast;", "+": "&plus;", ",": "&comma;", "-": "&#45;", ".": "&period;"},
    **{"/": "&sol;", ":": "&colon;", ";": "&semi;", "<": "&lt;", "=": "&equals;", ">": "&gt;", "?": "&quest;"},
    **{"@": "&commat;", "[": "&lsqb;", "\\": "&bsol;", "]": "&rsqb;", "^": "&Hat;", "_": "&lowbar;", "`": "&grave;"},
    **{"{": "&lcub;", "|": "&verbar;", "}": "&rcub;", "~": "&#126;"},
}
# Two "$", or a backslash and a bracket, must not meet in the page either, where KaTeX looks for formulas. A link ends
# before <wbr>; there is no named entity for "~", and marked would cut the numeric one. Before an "@", an address names
# a user and not the server.
_TEXT_ENTITIES = _ENTITIES | {"$": "&dollar;<wbr>", "\\": "&bsol;<wbr>", "~": "<wbr>&#126;", "@": "<wbr>&commat;"}
_ESCAPED = str.maketrans(_ENTITIES)

BLOCK_GAP = "\n\n"  # between two blocks

# Two noncharacters mark a formula while the text is parsed. They cannot come from the text: `_SOURCE` replaces them,
# and CommonMark forbids them as numeric entities.
_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
# A formula in brackets holds no blank line, no other opening bracket, no formula that was marked, and nothing that
# would be a link if it were no formula.
_INSIDE = r"(?:(?!\n[ \t]*\n|\\[\[(]|\][(\[:]|\ufdd0).)+?"
_IN_BRACKETS = re.compile(rf"\\\[{_INSIDE}\\\](?![(\[:])|\\\({_INSIDE}\\\)", re.DOTALL)
_ODD_SPACES = dict.fromkeys((0x0B, 0x0C, *range(0x1C, 0x20), 0x85, 0x2028, 0x2029), " ")
_BIDI_CONTROLS = dict.fromkeys(
    (*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd"
)  # would turn an address round
_SOURCE = {**_ODD_SPACES, **_BIDI_CONTROLS, ord(_OPEN): "\ufffd", ord(_CLOSE): "\ufffd"}
_SPACES = {**_ODD_SPACES, ord("\t"): " ", ord("\n"): " ", ord("\r"): " "}

# A server that only this machine or its network reaches: a private address, or a name without a dot
_INSIDE_NETWORK = re.compile(
    r"(?i)\b(https?):(?=//(?:localhost|0\.0\.0\.0|10\.|127\.|169\.254\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|"
    r"[\w-]+(?![\w.-])))"
)

_SPECIAL = frozenset("\\`*_~<&]$|%@")
_RULE = frozenset(" |:-=_*+")  # a line of these alone is a rule, an underline or the second line of a table
_MARKERS = frozenset("-+*")
_LANGUAGE = frozenset("+-#._")
_WRAPPED = {"strong": "**", "em": "*", "s": "~~"}


def safe_markdown(text: str) -> str:
    """The answer of a model as Markdown: its formatting stays, HTML, pictures and named links become visible text.

    Takes any text, also half an answer, in linear time.
    """
    return GrowingMarkdown().update(text)


class GrowingMarkdown:
    """`safe_markdown` of a text that grows, in time that depends on its last block alone."""

    def __init__(self) -> None:
        self._source = ""  # the part of the text whose blocks are finished
        self._blocks: list[str] = []  # what became of it

    def update(self, text: str) -> str:
        """`safe_markdown(text)`. Any text will do; it is fast for one that continues the one before."""
        text = text.replace("\r\n", "\n").replace("\r", "\n").translate(_SOURCE)
        if not text.startswith(self._source):
            self._source, self._blocks = "", []
        source, formulas = _take_formulas(text[len(self._source) :])
        blocks, writer = parse(source).children, _Writer(formulas)
        finished, lead = _finished(source, blocks)
        rest = "".join(_restored(writer.blocks(blocks[finished:]), formulas))
        if finished:
            self._source += "".join(_restored(lead, formulas))
            self._blocks.append("".join(_restored(writer.blocks(blocks[:finished]), formulas)))
        return BLOCK_GAP.join([*self._blocks, rest] if rest or not self._blocks else self._blocks)


def _finished(source: str, blocks: Sequence[SyntaxTreeNode]) -> tuple[int, str]:
    """How many blocks stay as they are whatever follows, and the source up to their end.

    All but the last one, if a blank line stands between (else its first line could still join the block before), that
    line is complete (else it could still become an item of the list before), and no formula is open.
    """
    lines = blocks[-1].map if len(blocks) > 1 else None
    if lines is None:
        return 0, ""
    *before, rest = source.split("\n", lines[0])
    lead = "\n".join([*before, ""])
    if not lead.endswith("\n\n") or "\n" not in rest or "$$" in lead:
        return 0, ""
    return len(blocks) - 1, lead


def literal(text: str) -> str:
    """The words of a visitor as Markdown that shows them as they were typed."""
    lines = text.replace("\r\n", "\n").replace("\t", "    ").translate(_SOURCE).split("\n")
    return "\n".join(_guarded(_literal_line(line)) for line in lines)


def _take_formulas(text: str) -> tuple[str, list[str]]:
    """The text with each formula replaced by its number between marks, and the formulas.

    The browser does the same before it parses Markdown, so a formula may hold anything; between `$$` blank lines too.
    The formulas found here must be the ones that it finds: it looks for `$$` first, and the other delimiters stand
    nowhere else in what is written here.
    """
    pieces: list[str] = []
    formulas: list[str] = []

    def take(formula: str) -> str:
        formulas.append(formula)
        return f"{_OPEN}{len(formulas) - 1}{_CLOSE}"

    at = 0
    while (start := text.find("$$", at)) >= 0 and (end := text.find("$$", start + 3)) >= 0:
        pieces += [text[at:start], take(text[start : end + 2])]
        at = end + 2
    without = "".join([*pieces, text[at:]])
    return _IN_BRACKETS.sub(lambda found: take(found[0]), without), formulas


def _restored(text: str, formulas: Sequence[str]) -> Iterable[str]:
    first, *rest = text.split(_OPEN)
    yield first
    for piece in rest:
        number, _, after = piece.partition(_CLOSE)
        yield formulas[int(number)]
        yield after


class _Writer:
    """Writes a syntax tree as Markdown. Blocks are strings of lines without a line break at their end."""

    def __init__(self, formulas: Sequence[str]) -> None:
        self._formulas = formulas

    def blocks(self, nodes: Sequence[SyntaxTreeNode], *, nested: bool = False, gap: str = BLOCK_GAP) -> str:
        return gap.join(self._block(node, nested) for node in nodes)

    def _block(self, node: SyntaxTreeNode, nested: bool) -> str:
        match node.type:
            case "fence" | "code_block":
                return self._code_block(node, nested)
            case "bullet_list" | "ordered_list":
                return self._list(node)
            case "blockquote":
                lines = self.blocks(node.children, nested=True).split("\n")
                return "\n".join(f"> {line}" if line else ">" for line in lines)
            case "heading":
                line = " ".join(self._inline(node.children).split("\n")).strip()
                closing = line[:-1] + _ENTITIES["#"] if line.endswith("#") else line
                return f"{'#' * int(node.tag[1])} {closing}"
            case "table":
                return self._table(node)
            case "hr":
                return "___"  # the one that cannot be taken for a list or an underline
            case _:
                return "\n".join(_guarded(line.strip(" ")) for line in self._inline(node.children).split("\n"))

    def _list(self, node: SyntaxTreeNode) -> str:
        tight = all(child.hidden for item in node.children for child in item.children if child.type == "paragraph")
        gap = "\n" if tight else BLOCK_GAP
        items = []
        for item in node.children:
            marker = f"{item.info}{item.markup} "
            lines = self.blocks(item.children, nested=True, gap=gap).split("\n")
            indented = [" " * len(marker) + line if line else "" for line in lines[1:]]
            items.append("\n".join([(marker + lines[0]).rstrip(" "), *indented]))
        return gap.join(items)

    def _table(self, node: SyntaxTreeNode) -> str:
        rows = [row.children for part in node.children for row in part.children]
        lines = [f"| {' | '.join(self._inline(cell.children, table=True) for cell in row)} |" for row in rows]
        rules = [_COLUMN.get(str(cell.attrs.get("style", "")), "---") for cell in rows[0]]
        return "\n".join([lines[0], f"|{'|'.join(rules)}|", *lines[1:]])

    def _code_block(self, node: SyntaxTreeNode, nested: bool) -> str:
        code = self._source(node.content).removesuffix("\n")
        words = node.info.split()
        language = words[0] if words and all(c.isalnum() or c in _LANGUAGE for c in words[0]) else ""
        if language.lower() == "mermaid":
            language = ""  # the browser would draw it, with the pictures and links that it asks for
        risky = nested and (not _inert(code) or "```" in code or "~~~" in code)
        if risky or _opens_formula(code):
            kind = f' class="language-{language.translate(_ESCAPED)}"' if language else ""
            return f"<pre><code{kind}>{code.translate(_ESCAPED).replace(chr(10), '&#10;')}</code></pre>"
        fence = "`" * max(3, _longest_run(code, "`") + 1)
        return "\n".join([fence + language, code, fence] if code else [fence + language, fence])

    def _inline(self, nodes: Sequence[SyntaxTreeNode], *, table: bool = False) -> str:
        """The children of a block or of emphasis; neighbouring texts are escaped as one."""
        pieces: list[str] = []
        text = ""
        for node in nodes:
            if node.type == "text":
                text += node.content
                continue
            if text:
                pieces.append(_escaped(text, table=table))
                text = ""
            match node.type:
                case "inline":
                    pieces.append(self._inline(node.children, table=table))
                case "code_inline":
                    pieces.append(self._code_span(node.content, table))
                case "softbreak" | "hardbreak":
                    pieces.append("\n")  # the chat shows every line break
                case "strong" | "em" | "s":
                    pieces.append(f"{node.markup}{self._inline(node.children, table=table)}{node.markup}")
                case _:
                    pieces.append(_escaped(node.content, table=table))
        if text:
            pieces.append(_escaped(text, table=table))
        return "".join(pieces)

    def _code_span(self, content: str, table: bool) -> str:
        code = self._source(content).translate(_SPACES)
        if not _inert(code) or "`" in code or _opens_formula(code) or (table and "|" in code):
            return f"<code>{code.translate(_ESCAPED)}</code>"
        padded = f" {code} " if code.strip(" ") and (code[0] == " " or code[-1] == " ") else code
        return f"`{padded}`"

    def _source(self, code: str) -> str:
        return "".join(_restored(code, self._formulas))


def _escaped(text: str, *, table: bool = False) -> str:
    """Words as they are, but for the characters that could be Markdown where they stand."""
    text = text.translate(_SPACES)
    if _SPECIAL.isdisjoint(text) and _OPEN not in text:
        return _unlinked(text)
    around = f" {text} "
    written = []
    for at, char in enumerate(text, 1):
        if char in _SPECIAL and not _harmless(char, around[at - 1], around[at + 1], table):
            char = _TEXT_ENTITIES[char]
        elif char == _OPEN and (at == 1 or around[at - 1] != " "):
            written.append(" ")  # else a formula, which can hide what it holds, could become part of an address
        written.append(char)
    return _unlinked("".join(written))


def _unlinked(text: str) -> str:
    """Addresses inside this machine or its network as plain words: a model's words shall not lead anybody there."""
    return _INSIDE_NETWORK.sub(r"\1&colon;", text)


def _literal_line(line: str) -> str:
    spaced = _escaped(line).replace("~", _TEXT_ENTITIES["~"]).replace("  ", "&nbsp; ").rstrip(" ")
    return "&nbsp;" + spaced[1:] if spaced.startswith(" ") else spaced


_COLUMN = {"text-align:left": ":--", "text-align:right": "--:", "text-align:center": ":-:"}


def _harmless(char: str, before: str, after: str, table: bool) -> bool:
    """Whether a special character of a text may stay as it is."""
    match char:
        case "<":
            return after in " =" or after.isdigit()
        case "]":
            return after not in "([:"
        case "&":
            return not (after.isalnum() or after == "#")
        case "*":
            return before == after == " "
        case "_":
            return (before.isalnum() and after.isalnum()) or before == after == " "
        case "~":
            return before != "~" and after != "~"
        case "\\":
            return after.isalnum()
        case "$":
            return after not in ("$", _OPEN) and before != _CLOSE
        case "|":
            return not table
        case "%":
            return after != "%"  # the browser writes %%%LATEX_BLOCK_0%%% for a formula
        case _:
            return False


def _opens_formula(code: str) -> bool:
    """Whether the browser would look for a formula in code."""
    return any(left in code for left in ("$$", "\\[", "\\("))


def _inert(code: str) -> bool:
    """Whether code would still be harmless if the browser took it for text or for part of an address."""
    tag_or_entity = any(
        (first == "<" and (then.isalpha() or then in "/!?")) or (first == "&" and (then.isalnum() or then == "#"))
        for first, then in pairwise(code)
    )
    return not tag_or_entity and not any(pair in code for pair in ("](", "]:", "][", "%%"))


def _guarded(line: str) -> str:
    """A line of a paragraph, its first characters escaped where they would begin another kind of block."""
    if not line:
        return line
    first = line[0]
    word = line.split(" ", 1)[0]
    label, bracket, _ = line.partition("]")
    marker = (
        _RULE.issuperset(line)
        # marked lets the label of a reference definition run over blank lines and into a fence
        or (first == "[" and (not bracket or "\\" in label))
        or first == ">"
        or (first == "#" and not word.strip("#"))
        or (first in _MARKERS and len(word) == 1)
    )
    if marker:
        return _ENTITIES[first] + line[1:]
    if word[-1] in ".)" and word[:-1].isdecimal():
        return word[:-1] + _ENTITIES[word[-1]] + line[len(word) :]
    return line


def _longest_run(text: str, char: str) -> int:
    longest = run = 0
    for each in text:
        run = run + 1 if each == char else 0
        longest = max(longest, run)
    return longest
