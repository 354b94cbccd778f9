"""The tab "Rotation": how positions enter attention. Which pairs of a head turn with t, h and w, and by how much two
tokens of the prompt are rotated apart. The figures are those of `viz/bands.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from qwen2vl_demo.config import Qwen2VLConfig
from qwen2vl_demo.released import REFERENCE, RELEASED
from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.panel.download_buttons import draw_download_buttons
from qwen2vl_demo.ui.panel.lazy import LazyDrawing
from qwen2vl_demo.ui.panel.rotation_html import (
    explanation_html,
    no_pair_html,
    pair_html,
    tokens_html,
    vision_html,
    waves_html,
)
from qwen2vl_demo.ui.panel.state import PanelState
from qwen2vl_demo.ui.panel.tab import AT_ONCE, AfterRefresh, PageContext, Updates
from qwen2vl_demo.ui.panel.token_pairs import Pair, pairs_of
from qwen2vl_demo.ui.sessions import Session, ShownPrompt
from qwen2vl_demo.viz.bands import Rope, angle_figure, vision_figure, wave_figure

# The last two tokens that were clicked in the lens, oldest first; the button below asks for them.
CLICKED = """
const follow = () => {
  const lens = window.qwen2vl && window.qwen2vl.lens;
  if (!lens || !lens.on) return setTimeout(follow, 50);
  const picked = lens.picked = lens.picked || [];
  lens.on('data', () => { picked.length = 0; });
  lens.on('change', names => {
    const at = lens.state.held && lens.state.at;
    if (!at || !(names.has('at') || names.has('held')) || picked[picked.length - 1] === at.token) return;
    picked.push(at.token);
    if (picked.length > 2) picked.shift();
  });
};
follow();
"""
TAKE_CLICKED = """(first, second, ...rest) => {
  const picked = window.qwen2vl?.lens?.picked || [];
  return [picked.length > 1 ? picked[0] : first, picked.length ? picked[picked.length - 1] : second, ...rest];
}"""


@dataclass(frozen=True)
class RotationComponents:
    waves: gr.HTML
    wave_plot: gr.Plot
    title: gr.HTML
    choice: gr.Group  # of the two tokens: by name, by number, by what was clicked
    pair: gr.Dropdown
    first: gr.Number
    second: gr.Number
    clicked: gr.Button
    angles: gr.HTML
    why: gr.HTML
    angle_plot: gr.Plot
    vision: gr.HTML
    vision_plot: gr.Plot


class RotationTab:
    name = "Rotation"
    components: RotationComponents

    def __init__(self, config_of: Callable[[Session | None], Qwen2VLConfig | None]) -> None:
        """`config_of` gives the configuration of the model that answers a session, and of the first one for None; None
        where no checkpoint is loaded: then it shows the released ones, whose rotary embeddings agree."""
        self._config_of, self._released = config_of, _rope(RELEASED[REFERENCE])

    def draw(self) -> None:
        config = self._config_of(None)
        rope = self._rope(config)
        plain: dict[str, Any] = {"apply_default_css": False}
        plot: dict[str, Any] = {"show_label": False, "container": False, "elem_classes": "panel-plot"}
        self._lazy = LazyDrawing("rotation-lazy")
        title = gr.HTML(tokens_html(prompt=False), elem_id="rotation-title", **plain)
        with gr.Group(visible=False, elem_id="rotation-choice") as choice:
            pair = gr.Dropdown(
                [],
                label="Two tokens worth comparing",
                elem_id="rotation-pair",
                allow_custom_value=True,
            )  # `Pair.read` checks what comes back
            with gr.Row():
                number: dict[str, Any] = {"precision": 0, "minimum": 0, "min_width": 90}
                first = gr.Number(0, label="First token", elem_id="rotation-first", **number)
                second = gr.Number(0, label="Second token", elem_id="rotation-second", **number)
                clicked = gr.Button("Last two clicked", size="sm", min_width=120, elem_id="rotation-clicked")
        angles = gr.HTML("", elem_id="rotation-angles", **plain)
        why = gr.HTML(explanation_html(rope, loaded=config is not None), js_on_load=CLICKED, **plain)
        with gr.Accordion("Plots: angles, wavelengths, the vision transformer", open=False, elem_classes="panel-fold"):
            angle_plot = gr.Plot(visible=False, elem_id="rotation-angle-plot", **plot)
            waves = gr.HTML(waves_html(rope), elem_id="rotation-waves", **plain)
            wave_plot = gr.Plot(wave_figure(rope), elem_id="rotation-wave-plot", **plot)
            vision = gr.HTML(vision_html(rope, None), elem_id="rotation-vision", **plain)
            vision_plot = gr.Plot(vision_figure(rope), elem_id="rotation-vision-plot", **plot)
        draw_download_buttons(self.name)
        self.components = RotationComponents(
            waves=waves,
            wave_plot=wave_plot,
            title=title,
            choice=choice,
            pair=pair,
            first=first,
            second=second,
            clicked=clicked,
            angles=angles,
            why=why,
            angle_plot=angle_plot,
            vision=vision,
            vision_plot=vision_plot,
        )

    def outputs(self) -> Sequence[Component]:
        return []

    def update(self, state: PanelState) -> Updates:
        """Nothing: it is drawn when the tab is open."""
        return {}

    def wire(self, page: PageContext) -> Sequence[AfterRefresh]:
        """Two other tokens can be chosen by name, by number or by a click in the lens."""
        drawn = self.components
        drawing = self._lazy.wire_shown(page, list(vars(drawn).values()), self._draw_shown)

        def shown_prompt(request: gr.Request) -> ShownPrompt | None:
            session = page.find_session(request)
            return session.shown if session is not None else None

        def by_name(request: gr.Request, key: Any) -> Any:
            shown, chosen = shown_prompt(request), Pair.read(key)
            if shown is None or chosen is None:
                return gr.skip()
            numbers: Updates = {drawn.first: chosen.first, drawn.second: chosen.second}
            return numbers | self._compare(shown.drawn, chosen.first, chosen.second, self._rope_of(shown))

        def by_number(request: gr.Request, first: Any, second: Any) -> Any:
            shown = shown_prompt(request)
            return gr.skip() if shown is None else self._compare(shown.drawn, first, second, self._rope_of(shown))

        def by_click(request: gr.Request, first: Any, second: Any) -> Any:
            shown = shown_prompt(request)
            numbers: Updates = {drawn.first: first, drawn.second: second, drawn.pair: None}
            if shown is None:
                return numbers
            return numbers | self._compare(shown.drawn, first, second, self._rope_of(shown))

        numbers, angles = [drawn.first, drawn.second], [drawn.angles, drawn.angle_plot]
        drawn.pair.input(by_name, [drawn.pair], [*numbers, *angles], **AT_ONCE)
        gr.on([drawn.first.input, drawn.second.input], by_number, numbers, angles, **AT_ONCE)
        drawn.clicked.click(by_click, numbers, [*numbers, drawn.pair, *angles], js=TAKE_CLICKED, **AT_ONCE)
        return [drawing]

    def _draw_shown(self, shown: ShownPrompt | None, session: Session) -> Updates:
        """Everything in the tab, for a prompt as it is drawn through some eyes."""
        own = shown.config if shown is not None else self._config_of(session)
        why = {self.components.why: explanation_html(self._rope(own), loaded=own is not None)}
        if shown is None:
            return why | self._draw_all(None, self._rope(own))
        return why | self._draw_all(shown.drawn, self._rope_of(shown))

    def _rope_of(self, shown: ShownPrompt) -> Rope:
        """The rotary embedding of the model through whose eyes a prompt is drawn."""
        return self._released if shown.eyes == "released" else self._rope(shown.config)

    def _rope(self, config: Qwen2VLConfig | None) -> Rope:
        return self._released if config is None else _rope(config)

    def _draw_all(self, trace: PromptTrace | None, rope: Rope) -> Updates:
        drawn = self.components
        if trace is None or len(trace) < 2:
            return {
                drawn.waves: waves_html(rope),
                drawn.wave_plot: wave_figure(rope),
                drawn.title: tokens_html(prompt=False),
                drawn.choice: gr.Group(visible=False),
                drawn.first: 0,
                drawn.second: 0,
                drawn.angles: "",
                drawn.angle_plot: gr.Plot(None, visible=False),
                drawn.vision: vision_html(rope, None),
                drawn.vision_plot: vision_figure(rope),
            }
        medium = trace.media[-1] if trace.media else None
        grid, patches = (medium.merged_grid, medium.grid_thw[1:]) if medium else (None, None)
        span = int(trace.position_ids.max()) + 1
        offered = pairs_of(trace)
        chosen = offered[0]
        return {
            drawn.waves: waves_html(rope, span, grid),
            drawn.wave_plot: wave_figure(rope, span, grid),
            drawn.title: tokens_html(prompt=True),
            drawn.choice: gr.Group(visible=True),
            drawn.pair: gr.Dropdown([(pair.words, pair.key) for pair in offered], value=chosen.key),
            drawn.first: gr.Number(chosen.first, maximum=len(trace) - 1),
            drawn.second: gr.Number(chosen.second, maximum=len(trace) - 1),
            **self._compare(trace, chosen.first, chosen.second, rope),
            drawn.vision: vision_html(rope, patches),
            drawn.vision_plot: vision_figure(rope, patches),
        }

    def _compare(self, trace: PromptTrace, first: Any, second: Any, rope: Rope) -> Updates:
        """The words, the clocks and the figure of two tokens, by their numbers in the prompt."""
        drawn = self.components
        if not all(isinstance(n, int | float) and 0 <= n < len(trace) for n in (first, second)):
            return {drawn.angles: no_pair_html(trace), drawn.angle_plot: gr.Plot(None, visible=False)}
        a, b = int(first), int(second)
        positions = trace.position_ids[:, a].tolist(), trace.position_ids[:, b].tolist()
        return {
            drawn.angles: pair_html(rope, trace, a, b),
            drawn.angle_plot: gr.Plot(angle_figure(rope, *positions, b - a), visible=True),
        }


def _rope(config: Qwen2VLConfig) -> Rope:
    text = config.text
    return Rope(text.mrope_section, text.rope_theta, config.vision.head_dim, yarn=text.yarn)
