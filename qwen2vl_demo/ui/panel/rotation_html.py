"""HTML of the tab "Rotation": what rotary embeddings are for, and two tokens compared."""

from __future__ import annotations

from markupsafe import Markup

from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.markup import render, section_html
from qwen2vl_demo.ui.panel.token_pairs import NO_TOKEN, token_words
from qwen2vl_demo.viz.angles import angle_clocks_svg
from qwen2vl_demo.viz.bands import Rope, angle_words, vision_words, wave_words

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
NO_PROMPT = "Attach a picture or ask something, and two of its tokens can be compared here."


def explanation_html(rope: Rope, *, loaded: bool) -> str:
    """What turns, and why. `loaded` says whether `rope` is of the loaded checkpoint or of the released ones."""
    facts = (LOADED if loaded else NOT_LOADED).format(
        sections="-".join(map(str, rope.sections)), theta=rope.theta, size=2 * rope.pairs
    )
    return render("rotation_why.html", paragraphs=(*WHY, facts))


def waves_html(rope: Rope, span: int | None = None, grid: tuple[int, int, int] | None = None) -> str:
    """The sentence above `wave_figure`, with its arguments."""
    return section_html("The bands of a head", wave_words(rope, span, grid))


def tokens_html(prompt: bool) -> str:
    """The heading above the two tokens; `prompt` says whether there is a prompt to take them from."""
    return section_html(
        "Two tokens", "How far are two tokens of this prompt turned apart, pair by pair?" if prompt else NO_PROMPT
    )


def pair_html(rope: Rope, trace: PromptTrace, first: int, second: int) -> str:
    """Two tokens of the prompt, given by their indices, as a sentence and as clocks."""
    positions = trace.position_ids[:, first].tolist(), trace.position_ids[:, second].tolist()
    return render(
        "rotation_pair.html",
        first=token_words(trace, first),
        second=token_words(trace, second),
        sentence=angle_words(rope, *positions, second - first),
        clocks=Markup(angle_clocks_svg(rope, *positions, second - first)),
    )


def no_pair_html(trace: PromptTrace) -> str:
    """In place of `pair_html` for indices that the prompt does not have."""
    return section_html("", NO_TOKEN.format(len(trace) - 1))


def vision_html(rope: Rope, patches: tuple[int, int] | None) -> str:
    """The sentence above `vision_figure`, with its arguments."""
    return section_html("The vision transformer's own", vision_words(rope, patches), VISION_WHY)
