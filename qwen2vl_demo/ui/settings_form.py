"""The settings beside the chat, drawn: what each does, in plain words. `choices.py` reads what they hold.

Knows gradio and the defaults; no handler and no engine.
"""

from __future__ import annotations

import gradio as gr
from gradio.components import Component

from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.ui.answer_settings import FIELDS, RETRY_TEMPERATURE, budget


def settings_panel(defaults: GenerationOptions, pixel_limits: tuple[int, int]) -> list[Component]:
    """Draws the settings into the open gradio context; the components, in the order of `choices.FIELDS`."""
    media = defaults.media
    lower, upper = budget(defaults, pixel_limits)
    made: dict[str, Component] = {}
    gr.Markdown("### The answer")
    made["system"] = gr.Textbox(
        label="System prompt",
        lines=2,
        max_lines=6,
        placeholder="You are a helpful assistant.",
        info="Tells the model how to behave. Empty: the sentence it was trained with.",
        elem_id="system",
    )
    made["max_new_tokens"] = gr.Slider(
        1,
        max(4096, defaults.max_new_tokens),
        defaults.max_new_tokens,
        step=1,
        label="Answer length",
        info="The most tokens an answer may have. A token is a short word or a piece of one.",
        elem_id="max-new-tokens",
    )
    made["temperature"] = gr.Slider(
        0,
        2,
        defaults.temperature,
        step=0.05,
        label="Temperature",
        info="0 always takes the likeliest token, so the same question gets the same answer. Higher is more varied. "
        f"Retry uses at least {RETRY_TEMPERATURE}.",
        elem_id="temperature",
    )
    with gr.Accordion("More about sampling", open=False):
        made["top_p"] = gr.Slider(
            0.01,
            1,
            defaults.top_p,
            step=0.01,
            label="top_p",
            info="Chooses among the likeliest tokens that together reach this probability. 1 is all of them.",
            elem_id="top-p",
        )
        made["top_k"] = gr.Slider(
            0,
            200,
            defaults.top_k,
            step=1,
            label="top_k",
            info="Chooses among this many likeliest tokens. 0 is all of them.",
            elem_id="top-k",
        )
        made["repetition_penalty"] = gr.Slider(
            0.5,
            2,
            defaults.repetition_penalty,
            step=0.01,
            label="Repetition penalty",
            info="Above 1, words that were already used become less likely.",
            elem_id="repetition-penalty",
        )
        made["seed"] = gr.Number(
            defaults.seed,
            precision=0,
            minimum=0,
            label="Seed",
            info="The same seed gives the same answer. Empty: a new one each time, shown below the answer.",
            elem_id="seed",
        )
    gr.Markdown("### Pictures")
    made["max_tokens"] = gr.Slider(
        1,
        max(16_384, upper),
        upper,
        step=1,
        label="Most tokens a picture",
        info="A token stands for 28x28 pixels. Larger pictures are made smaller to fit; more tokens show finer detail "
        "and take longer.",
        elem_id="max-image-tokens",
    )
    made["min_tokens"] = gr.Slider(
        1,
        max(1280, lower),
        lower,
        step=1,
        label="Fewest tokens a picture",
        info="Smaller pictures are enlarged to this.",
        elem_id="min-image-tokens",
    )
    made["add_vision_id"] = gr.Checkbox(
        defaults.add_vision_id,
        label="Number the pictures",
        info='Writes "Picture 1:" before each, so that you can ask about one by its number.',
        elem_id="vision-id",
    )
    gr.Markdown("### Clips")
    made["fps"] = gr.Slider(
        0.1,
        10,
        media.fps,
        step=0.1,
        label="Frames a second",
        info="How many frames are taken from each second of a clip.",
        elem_id="fps",
    )
    made["max_frames"] = gr.Slider(
        2,
        768,
        media.max_frames,
        step=2,
        label="Most frames",
        info="A longer clip gets its frames further apart.",
        elem_id="max-frames",
    )
    return [made[name] for name in FIELDS]
