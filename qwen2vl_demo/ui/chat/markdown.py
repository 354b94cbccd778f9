"""Model output and visitors' words as text that the chat may render: nothing in it can load, run or disguise anything.

The chat renders Markdown and cleans scripts out of HTML, but an `<img src=...>` or `![](https://...)` in an answer
would still make the browser fetch that address. So tags become text, pictures and named links become their source.
Code keeps its characters, because a browser never reads code as HTML; the page's content policy (style.py) stands
behind all of this. Knows strings only.
"""

from __future__ import annotations

import re

_CODE = re.compile(
    r"(?P<fence>^ {0,3}(?P<mark>```+|~~~+)[^\n]*\n.*?(?:^ {0,3}(?P=mark)[`~]* *$|\Z))"
    r"|(?P<span>(?<!`)(?P<ticks>`+)(?!`)[^\n`]+(?P=ticks)(?!`))",
    re.MULTILINE | re.DOTALL,
)
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_LINK = re.compile(r"(?<!\\)\[(?=[^\[\]\n]*\]\s*[(\[:])")
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!|~>$])")


def safe_markdown(text: str) -> str:
    """An answer: Markdown stays, HTML and remote content become visible text."""
    pieces, at = [], 0
    for code in _CODE.finditer(text):
        pieces += [_defuse(text[at : code.start()]), code.group()]
        at = code.end()
    return "".join([*pieces, _defuse(text[at:])])


def literal(text: str) -> str:
    """A visitor's words: shown as they were typed, not as Markdown."""
    lines = _SPECIAL.sub(r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;").split("\n")
    return "\n".join(line.replace("\t", "    ").replace("  ", "&nbsp; ") if line.strip() else "" for line in lines)


def _defuse(text: str) -> str:
    return _LINK.sub(r"\\[", _TAG.sub("&lt;", text).replace("![", "!\\["))
