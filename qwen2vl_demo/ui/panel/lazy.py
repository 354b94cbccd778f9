"""Draws what is costly only while its tab is open, and only if it is not what is drawn already.

An unseen component at the head of the tab holds the key of what was drawn last. When the tab opens, or when something
may have changed while it is open, the browser sends this key, and only another one is drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.panel.tab import AT_ONCE, PageContext, Updates
from qwen2vl_demo.ui.sessions import Session, ShownPrompt

OPEN = "open "  # stands before the key while the tab is open

# A hidden tab has no width; it gets one when it opens.
TELL_OPEN = """
let open = false;
new ResizeObserver(() => {
  const now = element.offsetParent !== null;
  if (now && !open) trigger('input');
  open = now;
}).observe(element);
"""
ADD_OPEN = """key => {
  const drawn = document.getElementById('%s');
  return [(drawn && drawn.offsetParent ? '%s' : '') + (key || '')];
}"""


class LazyDrawing:
    """The unseen component, and when to draw."""

    def __init__(self, elem_id: str) -> None:
        """Draws the component into the open Gradio context."""
        self._key = gr.HTML(
            "",
            html_template="<i></i>",
            js_on_load=TELL_OPEN,
            apply_default_css=False,
            elem_id=elem_id,
            elem_classes="panel-lazy",
        )

    def wire(
        self, page: PageContext, outputs: Sequence[Component], draw: Callable[[PromptTrace | None], Updates]
    ) -> None:
        """`draw` gives new values of `outputs` for the trace that the panel draws."""
        self.wire_shown(page, outputs, lambda shown, session: draw(shown.drawn if shown else None))

    def wire_shown(
        self, page: PageContext, outputs: Sequence[Component], draw: Callable[[ShownPrompt | None, Session], Updates]
    ) -> None:
        """The same for drawings that also depend on whose eyes it is drawn through, or on the model of the session."""

        def refresh(request: gr.Request, drawn: Any) -> Any:
            session = page.find_session(request)
            if session is None or not isinstance(drawn, str) or not drawn.startswith(OPEN):
                return gr.skip()
            with session.lock:
                shown = session.shown
            key = (trace_key(shown.drawn) + shown.eyes if shown else trace_key(None)) + session.model
            if drawn == OPEN + key:
                return gr.skip()
            return {self._key: key, **draw(shown, session)}

        event: dict[str, Any] = {
            "fn": refresh,
            "inputs": [self._key],
            "outputs": [self._key, *outputs],
            "js": ADD_OPEN % (self._key.elem_id, OPEN),
            **AT_ONCE,
        }
        self._key.input(**event)
        for refreshed in page.refreshed:
            refreshed.then(**event)


def trace_key(trace: PromptTrace | None) -> str:
    """Identifies a prompt: equal for equal ids, positions, pictures and names."""
    if trace is None:
        return "nothing"
    media = [(m.digest, m.name, m.span, m.original_size, m.max_pixels) for m in trace.media]
    return hashlib.sha256(trace.input_ids.tobytes() + trace.position_ids.tobytes() + repr(media).encode()).hexdigest()
