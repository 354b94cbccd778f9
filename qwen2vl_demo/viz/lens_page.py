"""The lens: its scripts and style sheet, and a standalone HTML page that shows one payload offline.

The app includes the same scripts and style sheet in its own page.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

FOLDER = files("qwen2vl_demo.viz") / "static" / "lens"
# In the order of execution: the first one creates window.qwen2vl.lens, and each of the others adds its part.
SCRIPTS = (
    *("core", "decode", "geometry", "colour", "dom", "glossary"),
    *("detail", "stage", "region", "layers", "order", "timeline", "clip", "resize", "readout", "boxes"),
    *("strip", "chips", "plot", "keep", "picture", "prompt"),
)


@cache
def script() -> str:
    """All scripts as one."""
    return "\n".join((FOLDER / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)


@cache
def style() -> str:
    return (FOLDER / "lens.css").read_text(encoding="utf-8")


@cache
def page_source() -> str:
    """The template page.html as JSON for a <script> element; a page needs it to save itself as a page."""
    return script_json((FOLDER / "page.html").read_text(encoding="utf-8"))


def script_json(value: Any) -> str:
    """JSON that is safe inside a <script> element: without any "<"."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def standalone(payload: dict[str, Any], *, medium: int = 0, layer: str = "merged", t: int = 0) -> str:
    """The page with its payload. `medium`, `layer` and `t` (a step of time) select what it shows first."""
    parts = {
        "STYLE": style(),
        "SCRIPT": script(),
        "PAGE": page_source(),
        "PAYLOAD": script_json(payload),
        "STATE": script_json({"medium": medium, "layer": layer, "t": t}),
    }
    page = (FOLDER / "page.html").read_text(encoding="utf-8")
    return re.sub(r"<<([A-Z]+)>>", lambda mark: parts[mark[1]], page)
