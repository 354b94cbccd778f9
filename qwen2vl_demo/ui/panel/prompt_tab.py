"""The tab "Prompt": the whole chat as one sequence of tokens, and their positions.

Drawn by the browser (static/lens).
"""

from __future__ import annotations

from typing import Any

from gradio.components import Component

from qwen2vl_demo.engine.protocol import Engine
from qwen2vl_demo.ui.panel.picture_tab import lens_view
from qwen2vl_demo.ui.panel.state import Sight

NAME = "Prompt"


def draw(engine: Engine) -> list[Component]:
    lens_view("prompt")
    return []


def update(engine: Engine, sight: Sight) -> list[Any]:
    """Nothing: it reads the value of the tab "Picture"."""
    return []
