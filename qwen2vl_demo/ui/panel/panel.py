"""The panel beside the chat: tabs that show what a prompt became."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr
from gradio.components import Component

from qwen2vl_demo.ui.panel.state import PanelState
from qwen2vl_demo.ui.panel.tab import PageContext, Tab, Updates


class Panel:
    """All tabs, in the order of their buttons; the first is open."""

    def __init__(self, tabs: Sequence[Tab]) -> None:
        self._tabs = tuple(tabs)

    def draw(self) -> None:
        """Draws all tabs into the open Gradio context."""
        with gr.Tabs(elem_id="panel-tabs"):
            for tab in self._tabs:
                with gr.Tab(tab.name, render_children=True, elem_id=f"tab-{tab.name.lower()}"):
                    tab.draw()

    def outputs(self) -> list[Component]:
        return [component for tab in self._tabs for component in tab.outputs()]

    def update(self, state: PanelState) -> Updates:
        return {component: value for tab in self._tabs for component, value in tab.update(state).items()}

    def wire(self, page: PageContext) -> None:
        for tab in self._tabs:
            tab.wire(page)
