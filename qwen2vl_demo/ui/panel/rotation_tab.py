"""The tab "Rotation": how positions enter attention. Which pairs of a head turn with t, h and w, and by how much two
tokens of the prompt are turned apart. What is drawn comes from `viz/bands.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from qwen2vl_demo.engine.protocol import Engine
from qwen2vl_demo.released import config_of
from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.chat.controller import Chat
from qwen2vl_demo.ui.panel.download_buttons import draw_keep
from qwen2vl_demo.ui.panel.lazy import EVENT, draw_gate, wire_gate
from qwen2vl_demo.ui.panel.rotation_html import (
    explanation_html,
    no_pair_html,
    pair_html,
    tokens_html,
    vision_html,
    waves_html,
)
from qwen2vl_demo.ui.panel.state import Sight
from qwen2vl_demo.ui.panel.token_pairs import Pair, pairs_of
from qwen2vl_demo.viz.bands import Rope, angle_figure, vision_figure, wave_figure

NAME = "Rotation"

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


def rope_of(engine: Engine) -> tuple[Rope, bool]:
    """The rotary embeddings of the loaded checkpoint, and True; else those of the released ones."""
    config, loaded = config_of(engine)
    text = config.text
    return Rope(text.mrope_section, text.rope_theta, config.vision.head_dim), loaded


def draw(engine: Engine) -> list[Component]:
    rope, loaded = rope_of(engine)
    plain: dict[str, Any] = {"apply_default_css": False}
    plot: dict[str, Any] = {"show_label": False, "container": False, "elem_classes": "panel-plot"}
    gate = draw_gate("rotation-gate")
    gr.HTML(explanation_html(rope, loaded=loaded), js_on_load=CLICKED, **plain)
    waves = gr.HTML(waves_html(rope), elem_id="rotation-waves", **plain)
    wave_plot = gr.Plot(wave_figure(rope), elem_id="rotation-wave-plot", **plot)
    title = gr.HTML(tokens_html(False), elem_id="rotation-title", **plain)
    with gr.Group(visible=False, elem_id="rotation-choice") as choice:
        pair = gr.Dropdown([], label="Two tokens worth comparing", elem_id="rotation-pair")
        with gr.Row():
            first = gr.Number(0, label="First token", precision=0, minimum=0, min_width=90, elem_id="rotation-first")
            second = gr.Number(0, label="Second token", precision=0, minimum=0, min_width=90, elem_id="rotation-second")
            clicked = gr.Button("Last two clicked", size="sm", min_width=120, elem_id="rotation-clicked")
    angles = gr.HTML("", elem_id="rotation-angles", **plain)
    angle_plot = gr.Plot(visible=False, elem_id="rotation-angle-plot", **plot)
    vision = gr.HTML(vision_html(rope, None), elem_id="rotation-vision", **plain)
    vision_plot = gr.Plot(vision_figure(rope), elem_id="rotation-vision-plot", **plot)
    draw_keep(NAME)
    return [
        gate,
        waves,
        wave_plot,
        title,
        choice,
        pair,
        first,
        second,
        clicked,
        angles,
        angle_plot,
        vision,
        vision_plot,
    ]


def update(engine: Engine, sight: Sight) -> list[Any]:
    """Nothing: it is drawn when somebody looks."""
    return [gr.skip()] * 13


def follow(chat: Chat, components: list[Component], state: list[Component], events: Sequence[Any]) -> None:
    gate, *drawn = components
    rope, _ = rope_of(chat.engine)
    wire_gate(gate, drawn, lambda session: _all(rope, session.seen), chat, events)


def wire(chat: Chat, components: list[Component], state: list[Component]) -> None:
    """Two other tokens, by name, by number or by what was clicked in the lens."""
    _, _, _, _, _, pair, first, second, clicked, angles, plot, *_ = components
    rope, _ = rope_of(chat.engine)

    def trace_of(request: gr.Request, saved: str) -> PromptTrace | None:
        return chat.open(request.session_hash, saved).seen

    def by_name(request: gr.Request, key: Any, saved: str) -> list[Any]:
        trace, chosen = trace_of(request, saved), Pair.read(key)
        if trace is None or chosen is None:
            return [gr.skip()] * 4
        return [chosen.first, chosen.second, *_compared(rope, trace, chosen.first, chosen.second)]

    def by_number(request: gr.Request, a: Any, b: Any, saved: str) -> list[Any]:
        trace = trace_of(request, saved)
        return [gr.skip()] * 2 if trace is None else _compared(rope, trace, a, b)

    def by_click(request: gr.Request, a: Any, b: Any, saved: str) -> list[Any]:
        return [a, b, None, *by_number(request, a, b, saved)]

    pair.input(by_name, [pair, state[0]], [first, second, angles, plot], **EVENT)  # type: ignore[attr-defined]
    numbers = [first, second, state[0]]
    gr.on([first.input, second.input], by_number, numbers, [angles, plot], **EVENT)  # type: ignore[attr-defined]
    clicked.click(by_click, numbers, [first, second, pair, angles, plot], js=TAKE_CLICKED, **EVENT)  # type: ignore[attr-defined]


def _all(rope: Rope, trace: PromptTrace | None) -> list[Any]:
    """What stands in the tab for a prompt, in the order of its components."""
    if trace is None or len(trace) < 2:
        hidden = [gr.Group(visible=False), gr.skip(), 0, 0, gr.skip(), "", gr.Plot(None, visible=False)]
        waves = [waves_html(rope), wave_figure(rope), tokens_html(False)]
        return [*waves, *hidden, vision_html(rope, None), vision_figure(rope)]
    medium = trace.media[-1] if trace.media else None
    grid, patches = (medium.merged_grid, medium.grid_thw[1:]) if medium else (None, None)
    span = int(trace.position_ids.max()) + 1
    offered = pairs_of(trace)
    chosen = offered[0]
    return [
        waves_html(rope, span, grid),
        wave_figure(rope, span, grid),
        tokens_html(True),
        gr.Group(visible=True),
        gr.Dropdown([(p.words, p.key) for p in offered], value=chosen.key),
        gr.Number(chosen.first, maximum=len(trace) - 1),
        gr.Number(chosen.second, maximum=len(trace) - 1),
        gr.skip(),
        *_compared(rope, trace, chosen.first, chosen.second),
        vision_html(rope, patches),
        vision_figure(rope, patches),
    ]


def _compared(rope: Rope, trace: PromptTrace, first: Any, second: Any) -> list[Any]:
    """The words with the dials, and the figure, of two tokens by their number in the prompt."""
    if not all(isinstance(n, int | float) and 0 <= n < len(trace) for n in (first, second)):
        return [no_pair_html(trace), gr.Plot(None, visible=False)]
    a, b = int(first), int(second)
    at, to = trace.position_ids[:, a].tolist(), trace.position_ids[:, b].tolist()
    return [pair_html(rope, trace, a, b), gr.Plot(angle_figure(rope, at, to, b - a), visible=True)]
