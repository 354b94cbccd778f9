"""The tab "Rotation": how positions enter attention. Which pairs of a head turn with t, h and w, and by how much two
tokens of the prompt are turned apart. What is drawn comes from `viz/bands.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr
from gradio.components import Component

from qwen2vl_demo.engine.protocol import Engine
from qwen2vl_demo.released import REFERENCE, RELEASED
from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.chat.controller import Chat
from qwen2vl_demo.ui.panel.cost_html import says
from qwen2vl_demo.ui.panel.download_buttons import draw_keep
from qwen2vl_demo.ui.panel.lazy import EVENT, draw_gate, wire_gate
from qwen2vl_demo.ui.panel.state import Sight
from qwen2vl_demo.ui.panel.token_pairs import NO_TOKEN, Pair, pairs_of, token_words
from qwen2vl_demo.viz.angles import dials
from qwen2vl_demo.viz.bands import (
    Rope,
    angle_figure,
    angle_words,
    vision_figure,
    vision_words,
    wave_figure,
    wave_words,
)

NAME = "Rotation"

WHY = (
    "Attention compares a query with a key. Before it does, rotary embeddings turn both by their token's position, "
    "each pair of numbers at its own speed, so that the comparison depends on how far apart the two tokens stand.",
    "Qwen2-VL shares the pairs of each head out: some turn with time (t), some with the row (h), some with the column "
    "(w). Nothing is added to the tokens. A word has the same t, h and w, so among words this is exactly plain RoPE. "
    "Inside a picture, one running number would put the token below as far away as a row is wide, and in a picture of "
    "another width elsewhere; with rows and columns of their own, below is always one step in h, and right is one "
    "step in w.",
    "A wavelength is how many positions make one full turn. Short ones tell neighbours apart, long ones keep far "
    "places apart that a short one would confuse, since it has turned full circle in between.",
)
LOADED = "Sections and base are those of the loaded checkpoint: {sections}, theta {theta:,g}, heads of {size} numbers."
NOT_LOADED = (
    "No checkpoint is loaded here. These are the released ones': {sections}, theta {theta:,g}, heads of {size}."
)
VISION_WHY = (
    "The vision transformer has rotary embeddings of its own, on patches of 14x14 pixels and not on merged tokens: "
    "half of a head turns with the row, half with the column. Time does not turn it, since frames never see each "
    "other there."
)
EMPTY = "Attach a picture or ask something, and two of its tokens can be compared here."

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
    config = engine.config or RELEASED[REFERENCE]
    return Rope(config.text.mrope_section, config.text.rope_theta, config.vision.head_dim), engine.config is not None


def draw(engine: Engine) -> list[Component]:
    rope, loaded = rope_of(engine)
    plain: dict[str, Any] = {"apply_default_css": False}
    plot: dict[str, Any] = {"show_label": False, "container": False, "elem_classes": "panel-plot"}
    gate = draw_gate("rotation-gate")
    words = (LOADED if loaded else NOT_LOADED).format(
        sections="-".join(map(str, rope.sections)), theta=rope.theta, size=2 * rope.pairs
    )
    gr.HTML(
        f'<div class="lens"><details class="rotation-why"><summary>What turns, and why</summary>'
        f"{''.join(f'<p>{escape(paragraph)}</p>' for paragraph in (*WHY, words))}</details></div>",
        js_on_load=CLICKED,
        **plain,
    )
    waves = gr.HTML(says("The bands of a head", wave_words(rope)), elem_id="rotation-waves", **plain)
    wave_plot = gr.Plot(wave_figure(rope), elem_id="rotation-wave-plot", **plot)
    title = gr.HTML(says("Two tokens", EMPTY), elem_id="rotation-title", **plain)
    with gr.Group(visible=False, elem_id="rotation-choice") as choice:
        pair = gr.Dropdown([], label="Two tokens worth comparing", elem_id="rotation-pair")
        with gr.Row():
            first = gr.Number(0, label="First token", precision=0, minimum=0, min_width=90, elem_id="rotation-first")
            second = gr.Number(0, label="Second token", precision=0, minimum=0, min_width=90, elem_id="rotation-second")
            clicked = gr.Button("Last two clicked", size="sm", min_width=120, elem_id="rotation-clicked")
    angles = gr.HTML("", elem_id="rotation-angles", **plain)
    angle_plot = gr.Plot(visible=False, elem_id="rotation-angle-plot", **plot)
    vision = gr.HTML(_vision(rope, None), elem_id="rotation-vision", **plain)
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
        waves = [says("The bands of a head", wave_words(rope)), wave_figure(rope), says("Two tokens", EMPTY)]
        return [*waves, *hidden, _vision(rope, None), vision_figure(rope)]
    medium = trace.media[-1] if trace.media else None
    grid, patches = (medium.merged_grid, medium.grid_thw[1:]) if medium else (None, None)
    span = int(trace.position_ids.max()) + 1
    offered = pairs_of(trace)
    chosen = offered[0]
    return [
        says("The bands of a head", wave_words(rope, span, grid)),
        wave_figure(rope, span, grid),
        says("Two tokens", "How far are two tokens of this prompt turned apart, pair by pair?"),
        gr.Group(visible=True),
        gr.Dropdown([(p.words, p.key) for p in offered], value=chosen.key),
        gr.Number(chosen.first, maximum=len(trace) - 1),
        gr.Number(chosen.second, maximum=len(trace) - 1),
        gr.skip(),
        *_compared(rope, trace, chosen.first, chosen.second),
        _vision(rope, patches),
        vision_figure(rope, patches),
    ]


def _compared(rope: Rope, trace: PromptTrace, first: Any, second: Any) -> list[Any]:
    """The words with the dials, and the figure, of two tokens by their number in the prompt."""
    if not all(isinstance(n, int | float) and 0 <= n < len(trace) for n in (first, second)):
        return [says("", NO_TOKEN.format(len(trace) - 1)), gr.Plot(None, visible=False)]
    a, b = int(first), int(second)
    at, to = trace.position_ids[:, a].tolist(), trace.position_ids[:, b].tolist()
    words = (
        f'<div class="lens rotation"><dl class="lens-facts"><dt>First</dt><dd>{escape(token_words(trace, a))}</dd>'
        f"<dt>Second</dt><dd>{escape(token_words(trace, b))}</dd></dl>"
        f'<p class="lens-says">{escape(angle_words(rope, at, to, b - a))}</p>{dials(rope, at, to, b - a)}'
        '<p class="lens-hint">One dial a pair, fastest first: the coloured hand is how far the second token is turned '
        "from the first, the grey one what plain 1-D positions would do. Below, the same in degrees.</p></div>"
    )
    return [words, gr.Plot(angle_figure(rope, at, to, b - a), visible=True)]


def _vision(rope: Rope, patches: tuple[int, int] | None) -> str:
    return says("The vision transformer's own", vision_words(rope, patches), VISION_WHY)
