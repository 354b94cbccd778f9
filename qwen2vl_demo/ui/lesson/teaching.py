"""The teacher's page, docs/teaching.md, as HTML for the dialog "For a class" (static/lesson/class.js)."""

from __future__ import annotations

import re
from functools import cache

from markdown_it import MarkdownIt

from qwen2vl_demo.resources import TEACHING


@cache
def teaching_html() -> str:
    """Without its title, which the dialog has, and without pictures of the page; "" where the file is not there."""
    if not TEACHING.is_file():
        return ""
    _, _, body = TEACHING.read_text(encoding="utf-8").partition("\n")
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    body = re.sub(r"^!\[.*\n", "", body, flags=re.MULTILINE)
    return parser.render(body.replace("\n## ", "\n#### "))  # below the headings of the dialog
