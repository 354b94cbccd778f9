"""The scripts of the lesson, which run behind those of the lens and with their help."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

FOLDER = files("qwen2vl_demo.ui") / "static" / "lesson"
# In the order of execution: sums.js creates window.qwen2vl.lesson, each of the eight steps adds itself.
SCRIPTS = (
    *("sums", "subjects", "draw", "state", "guess"),
    *("pixels", "resize", "patches", "merge", "row", "addresses", "clip", "positions"),
    *("handout", "class", "lesson"),
)


@cache
def script() -> str:
    """All scripts as one."""
    return "\n".join((FOLDER / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
