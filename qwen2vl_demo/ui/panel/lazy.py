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
from qwen2vl_demo.ui.panel.tab import AT_ONCE, AfterRefresh, PageContext, Updates
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
  return (drawn && drawn.offsetParent ? '%s' : '') + (key || '');
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
    ) -> AfterRefresh:
        """`draw` gives new values of `outputs` for the trace that the panel draws."""
        return self.wire_shown(page, outputs, lambda shown, session: draw(shown.drawn if shown else None))

    def wire_shown(
        self, page: PageContext, outputs: Sequence[Component], draw: Callable[[ShownPrompt | None, Session], Updates]
    ) -> AfterRefresh:
        """The same for drawings that also depend on whose eyes it is drawn through, or on the model of the session."""

        def update(session: Session, drawn: Any) -> Updates:
            if not isinstance(drawn, str) or not drawn.startswith(OPEN):
                return {}
            with session.lock:
                shown = session.shown
            key = (trace_key(shown.drawn) + shown.eyes if shown else trace_key(None)) + session.model
            return {} if drawn == OPEN + key else {self._key: key, **draw(shown, session)}

        def opened(request: gr.Request, drawn: Any) -> Any:
            session = page.find_session(request)
            return gr.skip() if session is None else update(session, drawn) or gr.skip()

        all_of_it, add_open = [self._key, *outputs], ADD_OPEN % (self._key.elem_id, OPEN)
        self._key.input(opened, [self._key], all_of_it, js=f"key => [({add_open})(key)]", **AT_ONCE)
        return AfterRefresh(update, all_of_it, self._key, add_open)


def trace_key(trace: PromptTrace | None) -> str:
    """Identifies a prompt: equal for equal ids, positions, pictures and names."""
    if trace is None:
        return "nothing"
    media = [(m.digest, m.name, m.span, m.original_size, m.max_pixels) for m in trace.media]
    return hashlib.sha256(trace.input_ids.tobytes() + trace.position_ids.tobytes() + repr(media).encode()).hexdigest()
