"""The tab "Cost": what the next answer takes before it is sent, what the last ones took, and what other models would
spend on the same picture. Its numbers are those of an Estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import gradio as gr
from gradio.components import Component

from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.markup import section_html
from qwen2vl_demo.ui.panel.comparison_html import comparison_table_html
from qwen2vl_demo.ui.panel.comparisons import Comparisons
from qwen2vl_demo.ui.panel.cost_html import estimate_html, outcomes_html, released_html
from qwen2vl_demo.ui.panel.download_buttons import draw_download_buttons
from qwen2vl_demo.ui.panel.lazy import LazyDrawing
from qwen2vl_demo.ui.panel.state import PanelState
from qwen2vl_demo.ui.panel.tab import AfterRefresh, PageContext, Updates
from qwen2vl_demo.ui.sessions import Session
from qwen2vl_demo.viz.other_models import growth_figure, growth_words

SCRIPT = files("qwen2vl_demo.ui") / "static" / "comparison.js"


@dataclass(frozen=True)
class CostComponents:
    now: gr.HTML  # the next answer, or the last one
    past: gr.HTML  # predicted beside measured
    released: gr.HTML  # the same prompt with the released checkpoints
    comparison: gr.HTML  # the same picture at other models' resolutions
    growth_words: gr.HTML  # how tokens grow with the picture
    growth: gr.Plot


class CostTab:
    name = "Cost"
    components: CostComponents

    def __init__(self, comparisons: Comparisons) -> None:
        self._comparisons = comparisons

    def draw(self) -> None:
        plain: dict[str, Any] = {"apply_default_css": False}
        self._lazy = LazyDrawing("cost-lazy")
        now = gr.HTML(estimate_html(None, draft=False), elem_id="cost-now", **plain)
        past = gr.HTML("", elem_id="cost-past", **plain)
        with gr.Accordion("Other models, and how tokens grow with the picture", open=False, elem_classes="panel-fold"):
            comparison = gr.HTML("", elem_id="cost-views", js_on_load=SCRIPT.read_text(encoding="utf-8"), **plain)
            words = gr.HTML("", elem_id="cost-growth-words", **plain)
            plot: dict[str, Any] = {"visible": False, "show_label": False, "container": False}
            growth = gr.Plot(elem_id="cost-growth", elem_classes="panel-plot", **plot)
        released = gr.HTML("", elem_id="cost-released", **plain)
        draw_download_buttons(self.name)
        self.components = CostComponents(now, past, released, comparison, words, growth)

    def outputs(self) -> Sequence[Component]:
        return [self.components.now, self.components.past, self.components.released]

    def update(self, state: PanelState) -> Updates:
        """The numbers at once; the pictures when the tab is open."""
        if state.trace is not None and state.trace.media:
            trace, medium = state.trace, state.trace.attached[-1]
            at = trace.index_of(medium)
            self._comparisons.put(trace.cache_salt, medium, state.frames[at][0], state.thumbnails[at])
        return {
            self.components.now: estimate_html(state.estimate, draft=state.draft),
            self.components.past: outcomes_html(state.outcomes),
            self.components.released: released_html(state.trace),
        }

    def wire(self, page: PageContext) -> Sequence[AfterRefresh]:
        """An answer that ended is measured; the pictures are drawn while the tab is open."""
        drawn = self.components

        def measured(session: Session, _: None) -> Updates:
            with session.lock:
                return {drawn.past: outcomes_html(tuple(session.outcomes))}

        pictures = self._lazy.wire(page, [drawn.comparison, drawn.growth_words, drawn.growth], self._draw_pictures)
        return [AfterRefresh(measured, [drawn.past]), pictures]

    def _draw_pictures(self, trace: PromptTrace | None) -> Updates:
        """The newest picture or clip in other models, and how its tokens grow."""
        drawn = self.components
        if trace is None or not trace.media:
            return {drawn.comparison: "", drawn.growth_words: "", drawn.growth: gr.Plot(None, visible=False)}
        medium = trace.attached[-1]
        original, resized, limits = medium.original_size, medium.resized_size, (medium.min_pixels, medium.max_pixels)
        subject = "This picture" if medium.kind == "image" else "A pair of frames"
        return {
            drawn.comparison: self._comparisons.html(trace.cache_salt, medium) + comparison_table_html(trace),
            drawn.growth_words: section_html("How it grows", growth_words(original, resized, limits[1], subject)),
            drawn.growth: gr.Plot(growth_figure(original, resized, *limits), visible=True),
        }
