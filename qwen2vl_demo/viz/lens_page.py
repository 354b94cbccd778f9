"""The lens as a page of its own: scripts, style sheet and a payload in one file that opens without a network.

The app puts the same scripts and the same style sheet into its own page. Pure but for reading the package's files.
Knows neither gradio nor where a payload comes from.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "static" / "lens"
# In the order in which they are read: each hangs its part on window.qwen2vl.lens, which the first one makes.
SCRIPTS = (
    *("core", "decode", "geometry", "colour", "dom", "detail", "stage", "layers", "order", "timeline", "clip"),
    *("resize", "readout", "strip", "chips", "plot", "keep", "picture", "prompt"),
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
    """page.html as a JSON string that may stand in a <script>: from it a page can write a page like itself."""
    return guarded((FOLDER / "page.html").read_text(encoding="utf-8"))


def guarded(value: Any) -> str:
    """JSON without a "<", so that nothing in it ends the element it stands in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def standalone(payload: dict[str, Any], *, medium: int = 0, layer: str = "merged", t: int = 0) -> str:
    """The whole page; `medium`, `layer` and `t` say what it shows first."""
    parts = {
        "STYLE": style(),
        "SCRIPT": script(),
        "PAGE": page_source(),
        "PAYLOAD": guarded(payload),
        "STATE": guarded({"medium": medium, "layer": layer, "t": t}),
    }
    page = (FOLDER / "page.html").read_text(encoding="utf-8")
    return re.sub(r"<<([A-Z]+)>>", lambda mark: parts[mark[1]], page)
