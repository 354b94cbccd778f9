"""Draws what is costly only while somebody looks at its tab, and only if it is not what is drawn already.

A gate is an unseen component at the head of a tab. Its value is the key of what was drawn last. When the tab opens, or
when something may have changed while it is open, the browser sends this key, and only another one is drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.chat.controller import Chat
from qwen2vl_demo.ui.sessions import Session

OPEN = "open "  # stands before the key while the tab is looked at

# A hidden tab has no width; it gets one when it opens.
TELL_OPEN = """
let open = false;
new ResizeObserver(() => {
  const now = element.offsetParent !== null;
  if (now && !open) trigger('input');
  open = now;
}).observe(element);
"""
SAY_OPEN = """key => {
  const gate = document.getElementById('%s');
  return [(gate && gate.offsetParent ? '%s' : '') + (key || '')];
}"""
EVENT: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}


def draw_gate(elem_id: str) -> gr.HTML:
    return gr.HTML(
        "",
        html_template="<i></i>",
        js_on_load=TELL_OPEN,
        apply_default_css=False,
        elem_id=elem_id,
        elem_classes="panel-gate",
    )


def wire_gate(
    gate: Component,
    drawn: Sequence[Component],
    draw: Callable[[Session], list[Any]],
    chat: Chat,
    events: Sequence[Any],
) -> None:
    """`draw` gives the values of `drawn` for what the panel shows of a session (`session.seen`)."""

    def look(request: gr.Request, told: Any) -> list[Any]:
        if not isinstance(told, str) or not told.startswith(OPEN):
            return [gr.skip() for _ in range(len(drawn) + 1)]
        session = chat.sessions.known(request.session_hash)
        key = "" if session is None else key_of(session.seen)
        if session is None or told == OPEN + key:
            return [gr.skip() for _ in range(len(drawn) + 1)]
        return [key, *draw(session)]

    inputs, outputs, js = [gate], [gate, *drawn], SAY_OPEN % (gate.elem_id, OPEN)
    gate.input(look, inputs, outputs, js=js, **EVENT)  # type: ignore[attr-defined]
    for event in events:
        event.then(look, inputs, outputs, js=js, **EVENT)


def key_of(trace: PromptTrace | None) -> str:
    """Names a prompt: equal for equal ids, positions, pictures and names."""
    if trace is None:
        return "nothing"
    media = [(m.digest, m.name, m.span, m.original_size, m.max_pixels) for m in trace.media]
    return hashlib.sha256(trace.input_ids.tobytes() + trace.position_ids.tobytes() + repr(media).encode()).hexdigest()
