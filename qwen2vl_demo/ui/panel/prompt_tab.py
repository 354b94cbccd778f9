"""The tab "Prompt": the whole chat as one sequence of tokens, and their positions.

The browser draws it (viz/static/lens) from the data that the tab "Picture" holds.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradio.components import Component

from qwen2vl_demo.ui.panel.lens_view import draw_lens_view
from qwen2vl_demo.ui.panel.state import PanelState
from qwen2vl_demo.ui.panel.tab import AfterRefresh, PageContext, Updates


class PromptTab:
    name = "Prompt"

    def draw(self) -> None:
        draw_lens_view("prompt")

    def outputs(self) -> Sequence[Component]:
        return []

    def update(self, state: PanelState) -> Updates:
        return {}

    def wire(self, page: PageContext) -> Sequence[AfterRefresh]:
        """It follows the data of the tab "Picture" in the browser."""
        return ()
