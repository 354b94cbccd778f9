"""The panel beside the chat: tabs that show what a prompt became."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from qwen2vl_demo.ui.panel.eyes_switch import EyesSwitch
from qwen2vl_demo.ui.panel.state import PanelState
from qwen2vl_demo.ui.panel.tab import AT_ONCE, PageContext, Tab, Updates
from qwen2vl_demo.ui.sessions import Session


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
        after = [wired for tab in self._tabs for wired in tab.wire(page)]
        seen = [(wired.seen, wired.seen_js) for wired in after if wired.seen is not None]
        outputs = [component for wired in after for component in wired.outputs]
        values = ", ".join(f"({js})(seen[{at}])" for at, (_, js) in enumerate(seen))

        def refreshed(request: gr.Request, *sent: Any) -> Any:
            session, rest = page.find_session(request) or Session(), iter(sent)
            updates: Updates = {}
            for wired in after:
                updates |= wired.update(session, next(rest) if wired.seen is not None else None)
            return updates or gr.skip()

        for event in page.refreshed:
            event.then(refreshed, [key for key, _ in seen], outputs, js=f"(...seen) => [{values}]", **AT_ONCE)
