"""The panel beside the chat: tabs that show what a prompt became.

A tab is a module with three names, and stands in `TABS`:

    NAME: str                                                 what its button says
    draw(engine: Engine) -> list[Component]                   draws it into the open gr.Tab; what `update` will change
    update(engine: Engine, sight: Sight) -> list[Any]         new values of these components, in the same order

`update` is called for all tabs whenever what there is to see changes: files are attached or removed, a question is
sent, a chat is opened, cleared or taken back, a setting of the media changes. It must be quick (well under 100 ms)
and must not raise for any trace; it is handed `Sight()` for an empty chat. A tab that wants the visitor's own choices
(two tokens, a layer) keeps them in its components and wires their events in an optional fourth function:

    wire(chat: Chat, components: list[Component], state: list[Component]) -> None
        `state` are the inputs that tell a handler which tab of the browser it serves: with `request: gr.Request`
        and the first value `saved`, `chat.open(request.session_hash, saved)` is its Session, and `session.seen` the
        trace that the panel shows.

and what must look at the session itself when it may have changed (a look is over, an answer ended) in a fifth:

    follow(chat: Chat, components: list[Component], state: list[Component], events: Sequence[Any]) -> None
        `events` are those behind which to do so, with `event.then(...)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import gradio as gr
from gradio.components import Component

from qwen2vl_demo.engine.protocol import Engine
from qwen2vl_demo.ui.chat.controller import Chat
from qwen2vl_demo.ui.panel import cost_tab as cost
from qwen2vl_demo.ui.panel import learn_tab as learn
from qwen2vl_demo.ui.panel import numbers_tab as numbers
from qwen2vl_demo.ui.panel import picture_tab as picture
from qwen2vl_demo.ui.panel import prompt_tab as prompt
from qwen2vl_demo.ui.panel import rotation_tab as rotation
from qwen2vl_demo.ui.panel.state import Sight

TABS: tuple[ModuleType, ...] = (
    picture,
    prompt,
    rotation,
    cost,
    learn,
    numbers,
)  # in the order of their buttons; the first is open


def draw_panel(engine: Engine) -> list[list[Component]]:
    """Draws all tabs into the open gradio context: the components of each."""
    drawn = []
    with gr.Tabs(elem_id="panel-tabs"):
        for tab in TABS:
            with gr.Tab(tab.NAME, render_children=True, elem_id=f"tab-{tab.NAME.lower()}"):
                drawn.append(tab.draw(engine))
    return drawn


def update_panel(engine: Engine, sight: Sight) -> list[Any]:
    """The new values of the components of all tabs, one after the other."""
    return [value for tab in TABS for value in tab.update(engine, sight)]


def wire_panel(chat: Chat, drawn: list[list[Component]], state: list[Component], events: Sequence[Any]) -> None:
    """Connects what the tabs bring along themselves."""
    for tab, components in zip(TABS, drawn, strict=True):
        if hasattr(tab, "wire"):
            tab.wire(chat, components, state)
        if hasattr(tab, "follow"):
            tab.follow(chat, components, state, events)


__all__ = ["Sight", "TABS", "draw_panel", "update_panel", "wire_panel"]
