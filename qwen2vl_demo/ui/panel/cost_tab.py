"""The tab "Cost": what the next answer takes before it is sent, what the last ones took, and what other models would
spend on the same picture. Its numbers are those of an Estimate; `ui/costs.py` and `ui/comparison.py` put them in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from qwen2vl_demo.engine.protocol import Engine
from qwen2vl_demo.ui.chat.controller import Chat
from qwen2vl_demo.ui.markup import section_html
from qwen2vl_demo.ui.panel.comparison_html import SCRIPT, comparison_table_html
from qwen2vl_demo.ui.panel.comparisons import Comparisons
from qwen2vl_demo.ui.panel.cost_html import estimate_html, outcomes_html, released_html
from qwen2vl_demo.ui.panel.download_buttons import draw_keep
from qwen2vl_demo.ui.panel.lazy import EVENT, draw_gate, wire_gate
from qwen2vl_demo.ui.panel.state import Sight
from qwen2vl_demo.ui.sessions import Session
from qwen2vl_demo.viz.other_models import growth_figure, growth_words

NAME = "Cost"

_comparisons = Comparisons()


def draw(engine: Engine) -> list[Component]:
    plain: dict[str, Any] = {"apply_default_css": False}
    gate = draw_gate("cost-gate")
    now = gr.HTML(estimate_html(None, draft=False), elem_id="cost-now", **plain)
    past = gr.HTML("", elem_id="cost-past", **plain)
    views = gr.HTML("", elem_id="cost-views", js_on_load=SCRIPT, **plain)
    words = gr.HTML("", elem_id="cost-growth-words", **plain)
    growth = gr.Plot(visible=False, show_label=False, container=False, elem_id="cost-growth", elem_classes="panel-plot")
    released = gr.HTML("", elem_id="cost-released", **plain)
    draw_keep(NAME)
    return [gate, now, past, released, views, words, growth]


def update(engine: Engine, sight: Sight) -> list[Any]:
    """The numbers at once; the pictures when somebody looks."""
    if sight.trace is not None and sight.trace.media and sight.media:
        _comparisons.put(sight.trace.media[-1], sight.media[-1][0], sight.originals[-1])
    now, past = estimate_html(sight.estimate, draft=sight.draft), outcomes_html(sight.outcomes)
    return [gr.skip(), now, past, released_html(sight.trace), *[gr.skip()] * 3]


def follow(chat: Chat, components: list[Component], state: list[Component], events: Sequence[Any]) -> None:
    """An answer that ended is measured; the pictures are drawn while the tab is open."""
    gate, _, past, _, *drawn = components

    def measured(request: gr.Request) -> Any:
        session = chat.sessions.known(request.session_hash)
        if session is None:
            return gr.skip()
        with session.lock:
            return outcomes_html(tuple(session.outcomes))

    for event in events:
        event.then(measured, None, [past], **EVENT)
    wire_gate(gate, drawn, _pictures, chat, events)


def _pictures(session: Session) -> list[Any]:
    """The newest picture or clip elsewhere, and how its tokens grow."""
    trace = session.seen
    if trace is None or not trace.media:
        return ["", "", gr.Plot(None, visible=False)]
    medium = trace.media[-1]
    original, resized, limits = medium.original_size, medium.resized_size, (medium.min_pixels, medium.max_pixels)
    still = medium.kind == "image"
    return [
        _comparisons.html(medium) + comparison_table_html(trace),
        section_html(
            "How it grows", growth_words(original, resized, limits[1], "This picture" if still else "A pair of frames")
        ),
        gr.Plot(growth_figure(original, resized, *limits), visible=True),
    ]
