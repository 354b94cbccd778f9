"""The tab "Learn": guesses about the visitor's own picture, and experiments with the visitor's own question.

Nothing here is prepared: guesses are answered by the arithmetic that cuts pictures, experiments by the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import gradio as gr
from gradio.components import Component

from qwen2vl_demo.engine.protocol import Engine
from qwen2vl_demo.ui.chat.controller import Chat
from qwen2vl_demo.ui.markup import section_html
from qwen2vl_demo.ui.panel.download_buttons import draw_keep
from qwen2vl_demo.ui.panel.experiment_html import guesses_html
from qwen2vl_demo.ui.panel.experiments import Experiment
from qwen2vl_demo.ui.panel.state import Sight

NAME = "Learn"

# Of each experiment: its title, what is tried and why, and what its button says.
WORDS: dict[Experiment, tuple[str, str, str]] = {
    "budget": (
        "What does resolution buy?",
        "Your last question is asked again with fewer tokens for its pictures. A model of one fixed resolution has "
        "only one of these answers; Qwen2-VL takes as many tokens as the picture has pixels for, within a budget. What "
        "is large stays readable with few, small print does not.",
        "Ask with fewer tokens",
    ),
    "positions": (
        "What do rows and columns tell it?",
        "The very same tokens, at other positions. M-RoPE is how the language model is told where in the picture a "
        "merged token lies: without rows and columns it still has all of them, like a jigsaw in its box, and whatever "
        "the vision transformer wrote into each. Questions about what is there may survive that; questions about "
        "where rarely do. The model was not trained for the other two, which is part of what you see.",
        "Ask without rows and columns",
    ),
}


def draw(engine: Engine) -> list[Component]:
    plain: dict[str, Any] = {"apply_default_css": False}
    drawn: list[Component] = [gr.HTML(guesses_html(None), elem_id="learn-guesses", **plain)]
    for kind in get_args(Experiment):
        title, why, button = WORDS[kind]
        gr.HTML(section_html(title, why), elem_classes="learn-why", **plain)
        drawn.append(gr.Button(button, size="sm", elem_id=f"learn-{kind}", elem_classes="learn-ask"))
        drawn.append(gr.HTML("", elem_id=f"learn-{kind}-found", **plain))
    draw_keep(NAME, figures=False)
    return drawn


def update(engine: Engine, sight: Sight) -> list[Any]:
    """The guesses; what was found stays until the chat is empty, since it says what it was asked."""
    found = gr.skip() if sight.conversation.turns else ""
    return [guesses_html(sight.trace), *(part for _ in get_args(Experiment) for part in (gr.skip(), found))]


def wire(chat: Chat, components: list[Component], state: list[Component]) -> None:
    for index, kind in enumerate(get_args(Experiment)):
        button, found = components[1 + 2 * index : 3 + 2 * index]

        def experiment(request: gr.Request, saved: str, *values: Any, kind: Experiment = kind) -> Iterator[str]:
            yield from chat.experiment(chat.open(request.session_hash, saved), values, kind)

        # No limit: the engine takes one at a time, and the last that was asked for ends the one before.
        button.click(  # type: ignore[attr-defined]
            experiment,
            state,
            [found],
            concurrency_limit=None,
            trigger_mode="multiple",
            show_progress="hidden",
            api_visibility="private",
        )
