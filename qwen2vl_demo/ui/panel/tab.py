"""What a tab of the panel is, and what it is given to connect itself to the page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component
from gradio.events import Dependency

from qwen2vl_demo.ui.panel.state import PanelState
from qwen2vl_demo.ui.sessions import Session

Updates = dict[Block, Any]  # new values by component, as Gradio's event handlers may return them

# Events that are answered at once, beside the queue, and those that wait for their turn in it.
# Gradio tells every component in `show_progress_on`, all outputs by default, of each change of each event's status.
_SILENT: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "show_progress_on": []}
AT_ONCE: dict[str, Any] = {**_SILENT, "queue": False}
QUEUED: dict[str, Any] = {**_SILENT, "concurrency_limit": None}


@dataclass(frozen=True)
class PageContext:
    """What the page offers to the handlers of a tab."""

    open_session: Callable[[gr.Request, str], Session]  # (request, saved): restored where it is not known
    opened_session: Callable[[gr.Request, str], Awaitable[Session]]  # the same for coroutines
    find_session: Callable[[gr.Request], Session | None]  # None where the tab of the browser was closed
    saved: Component  # holds the conversation that the browser keeps; an input named `saved`
    settings: Mapping[str, Block]  # the settings by key; inputs of the same names
    refreshed: Sequence[Dependency]  # what the session holds may have changed: a preview was made, an answer ended

    @property
    def inputs(self) -> dict[str, Block]:
        """`saved` and all settings, for a handler `f(request, ..., *, saved, **settings)`."""
        return {"saved": self.saved, **self.settings}


@dataclass(frozen=True)
class AfterRefresh:
    """What a tab changes when a preview was made or an answer has ended. The page asks for all tabs in one request."""

    update: Callable[[Session, Any], Updates]  # gets the value of `seen`, None without one
    outputs: Sequence[Component]
    seen: Component | None = None
    seen_js: str = "seen => seen"  # what the browser makes of the value of `seen` before it is sent


class Tab(Protocol):
    """A tab of the panel. It keeps its components in a dataclass, made by `draw`."""

    @property
    def name(self) -> str:
        """What its button says."""
        ...

    def draw(self) -> None:
        """Draws it into the open gr.Tab."""
        ...

    def outputs(self) -> Sequence[Component]:
        """The components that `update` may change."""
        ...

    def update(self, state: PanelState) -> Updates:
        """New values for what the panel shows now. Called for all tabs whenever that changes, so it must be quick (well
        under 100 ms), and it must not raise for any state; `PanelState()` is an empty chat."""
        ...

    def wire(self, page: PageContext) -> Sequence[AfterRefresh]:
        """Connects the tab's own events, and gives what the tab changes after a refresh. Called once, when the whole
        page is drawn."""
        ...
