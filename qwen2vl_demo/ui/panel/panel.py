"""The panel beside the chat: tabs that show what a prompt became."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from qwen2vl_demo.ui.panel.eyes_switch import EyesSwitch
from qwen2vl_demo.ui.panel.state import PanelState
from qwen2vl_demo.ui.panel.tab import PageContext, Tab, Updates


class Panel:
    """All tabs, in the order of their buttons; the first is open."""

    def __init__(self, tabs: Sequence[Tab], eyes: EyesSwitch) -> None:
        self._tabs, self._eyes = tuple(tabs), eyes

    def draw(self) -> None:
        """Draws all tabs into the open Gradio context, below the switch."""
        self._eyes.draw()
        with gr.Tabs(elem_id="panel-tabs"):
            for tab in self._tabs:
                with gr.Tab(tab.name, render_children=True, elem_id=f"tab-{tab.name.lower()}"):
                    tab.draw()

    def outputs(self) -> list[Component]:
        return [*self._eyes.outputs(), *(component for tab in self._tabs for component in tab.outputs())]

    @property
    def choices(self) -> dict[str, Block]:
        """What of the panel itself decides how a prompt is drawn: inputs by name."""
        return self._eyes.choices

    def update(self, state: PanelState) -> Updates:
        updates = dict(self._eyes.update(state))
        for tab in self._tabs:
            updates |= tab.update(state)
        return updates

    def wire(self, page: PageContext, demo: gr.Blocks) -> None:
        self._eyes.wire(demo)
        for tab in self._tabs:
            tab.wire(page)
