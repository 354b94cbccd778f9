"""The switch above the tabs: whose eyes the panel draws through. The browser remembers it.

It changes what is drawn and counted, not what was asked. Attention, times and experiments are always those of the model
that answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from qwen2vl_demo.trace import MEDIA_NOUN, MediaTrace
from qwen2vl_demo.ui.chat.conversation import count
from qwen2vl_demo.ui.eyes import are_released, released_tokens
from qwen2vl_demo.ui.markup import render
from qwen2vl_demo.ui.panel.state import PanelState
from qwen2vl_demo.ui.panel.tab import AT_ONCE, Updates

RELEASED_NAME = "Qwen2-VL 2B, 7B and 72B"
MAX_NAME = 28  # characters of the model's name on the switch

RECALL = """() => {
  try { return localStorage.getItem('qwen2vl.eyes') === 'released' ? 'released' : 'model'; } catch { return 'model'; }
}"""
REMEMBER = "eyes => { try { localStorage.setItem('qwen2vl.eyes', eyes); } catch {} return []; }"


@dataclass(frozen=True)
class EyesComponents:
    choice: gr.Radio
    line: gr.HTML  # what the two see, where that differs


class EyesSwitch:
    """Not drawn where all models that answer are themselves ones that see as the released ones do."""

    components: EyesComponents | None = None

    def __init__(self, model: str, pixel_limits: tuple[int, int], *, chosen: bool = False) -> None:
        """`model` is the name of the engine's model, `pixel_limits` those of its pictures. `chosen`: visitors may
        choose other ones."""
        self.model, self._needed, self._chosen = short_name(model), chosen or not are_released(pixel_limits), chosen

    def draw(self) -> None:
        """Draws it into the open Gradio context."""
        if not self._needed:
            return
        own = "the model that answers" if self._chosen else f"this model ({self.model})"
        choice = gr.Radio(
            [
                (own, "model"),
                ("released Qwen2-VL (2B, 7B, 72B)", "released"),
            ],
            value="model",
            label="Whose eyes",
            elem_id="eyes",
            container=False,
        )
        line = gr.HTML("", elem_id="eyes-line", apply_default_css=False)
        self.components = EyesComponents(choice, line)

    @property
    def choices(self) -> dict[str, Block]:
        """The switch, as an input named `eyes`."""
        return {} if self.components is None else {"eyes": self.components.choice}

    def outputs(self) -> Sequence[Component]:
        return [] if self.components is None else [self.components.line]

    def update(self, state: PanelState) -> Updates:
        if self.components is None:
            return {}
        model = short_name(state.model) if state.model else self.model
        return {self.components.line: eyes_html(model, state)}

    def wire(self, demo: gr.Blocks) -> None:
        """Connects what the browser remembers."""
        if self.components is None:
            return
        demo.load(None, None, [self.components.choice], js=RECALL, **AT_ONCE)
        self.components.choice.change(None, [self.components.choice], None, js=REMEMBER, **AT_ONCE)


def short_name(model: str) -> str:
    """The name of a model as it fits on a button: the last part of a path or hub id."""
    name = model.replace("\\", "/").rstrip("/").rpartition("/")[2] or model
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"


def eyes_html(model: str, state: PanelState) -> str:
    return render("eyes.html", line=eyes_line(model, state))


def eyes_line(model: str, state: PanelState) -> str:
    """One sentence about what this model and the released ones see; "" where they see alike and this one is drawn."""
    media = state.own.attached if state.own is not None else ()
    own, released = sum(m.merged_tokens for m in media), sum(map(released_tokens, media))
    if state.eyes == "model":
        if own == released:
            return ""
        return f"{model} sees {count(own, 'token')} of {_what(media)}; {RELEASED_NAME} would see {released:,}."
    ran = f"Attention, times and experiments are {model}'s, and so is the cutting of words into tokens."
    if not media:
        return f"Drawn as {RELEASED_NAME} would see it. {ran}"
    if own == released:
        return f"{RELEASED_NAME} see {count(own, 'token')} of {_what(media)}, and so does {model}. {ran}"
    return f"{RELEASED_NAME} would see {count(released, 'token')} of {_what(media)}; {model} sees {own:,}. {ran}"


def _what(media: Sequence[MediaTrace]) -> str:
    if len(media) == 1:
        return f"this {MEDIA_NOUN[media[0].kind]}"
    nouns = {MEDIA_NOUN[m.kind] for m in media}
    return f"these {len(media)} {nouns.pop()}s" if len(nouns) == 1 else f"these {len(media)} pictures and clips"
