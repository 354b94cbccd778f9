"""temp"""

from __future__ import annotations

from html import escape

from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.panel.cost_html import says
from qwen2vl_demo.ui.panel.token_pairs import token_words
from qwen2vl_demo.viz.angles import dials
from qwen2vl_demo.viz.bands import Rope, angle_words, vision_words

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


def compared_html(rope: Rope, trace: PromptTrace, a: int, b: int) -> str:
    """The words with the dials, and the figure, of two tokens by their number in the prompt."""
    at, to = trace.position_ids[:, a].tolist(), trace.position_ids[:, b].tolist()
    words = (
        f'<div class="lens rotation"><dl class="lens-facts"><dt>First</dt><dd>{escape(token_words(trace, a))}</dd>'
        f"<dt>Second</dt><dd>{escape(token_words(trace, b))}</dd></dl>"
        f'<p class="lens-says">{escape(angle_words(rope, at, to, b - a))}</p>{dials(rope, at, to, b - a)}'
        '<p class="lens-hint">One dial a pair, fastest first: the coloured hand is how far the second token is turned '
        "from the first, the grey one what plain 1-D positions would do. Below, the same in degrees.</p></div>"
    )
    return words


def vision_html(rope: Rope, patches: tuple[int, int] | None) -> str:
    return says("The vision transformer's own", vision_words(rope, patches), VISION_WHY)


def why_html(rope: Rope, *, loaded: bool) -> str:
    words = (LOADED if loaded else NOT_LOADED).format(
        sections="-".join(map(str, rope.sections)), theta=rope.theta, size=2 * rope.pairs
    )
    return (
        f'<div class="lens"><details class="rotation-why"><summary>What turns, and why</summary>'
        f"{''.join(f'<p>{escape(paragraph)}</p>' for paragraph in (*WHY, words))}</details></div>"
    )
