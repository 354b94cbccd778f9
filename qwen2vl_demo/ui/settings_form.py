"""The settings beside the chat: one table of fields that draws them, reads what they hold and checks it."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from qwen2vl_demo.engine.protocol import MAX_SEED, GenerationOptions
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.geometry import FACTOR, VIDEO_MAX_FRAMES
from qwen2vl_demo.media import DEFAULT_LIMITS, FIRST_PAGES, PageChoice
from qwen2vl_demo.ui.chat.saved_chat import MAX_TEXT, clean

TOKEN_PIXELS = FACTOR * FACTOR  # one merged token stands for 28x28 px
RETRY_TEMPERATURE = 0.8  # greedy decoding would write the same answer again
# Those that change the prompt
MEDIA_FIELDS = ("min_tokens", "max_tokens", "fps", "max_frames", "time_stamps", "add_vision_id")

TEXT_FIELDS = ("system", "pages")  # those that change the prompt once they are left
KEPT_FIELDS = (  # those that a browser keeps; the pages of one document would be the wrong ones of the next
    *("system", "max_new_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "seed"),
    *("max_tokens", "min_tokens", "add_vision_id", "fps", "max_frames", "time_stamps"),
)
MODEL_FIELDS = ("max_tokens", "min_tokens", "max_frames")  # those whose defaults are the model's
MAX_PAGES_TEXT = 1000  # characters
MAX_KEPT = MAX_TEXT + 10_000  # characters of the settings that a browser kept

Kind = Literal["text", "pages", "integer", "number", "switch"]


@dataclass(frozen=True)
class AnswerSettings:
    """How the next answer is to be written."""

    system: str
    options: GenerationOptions
    pages: PageChoice = FIRST_PAGES
    stop_repetition: bool = True  # end an answer that says the same again and again

    def seeded(self) -> AnswerSettings:
        """The same with a seed, if it samples and none was set, so that the answer can be reproduced."""
        if self.options.temperature == 0 or self.options.seed is not None:
            return self
        return replace(self, options=replace(self.options, seed=new_seed()))

    def for_retry(self) -> AnswerSettings:
        """The same with a new seed and at least RETRY_TEMPERATURE, so that the answer can differ."""
        temperature = max(self.options.temperature, RETRY_TEMPERATURE)
        return replace(self, options=replace(self.options, temperature=temperature, seed=new_seed()))


@dataclass(frozen=True)
class Field:
    """One setting."""

    key: str  # its name in the values that the page sends
    label: str
    subject: str  # how a sentence about it begins: "The temperature"
    kind: Kind
    default: Any  # what it shows at first, and what an empty value stands for
    info: str
    elem_id: str
    minimum: float = 0  # the limits, both allowed
    maximum: float = 0
    step: float | None = None  # None: a box to type into instead of a slider

    def draw(self) -> Component:
        """Draws the setting into the open Gradio context."""
        if self.kind == "text":
            placeholder = "You are a helpful assistant."
            return gr.Textbox(
                label=self.label, lines=2, max_lines=6, placeholder=placeholder, info=self.info, elem_id=self.elem_id
            )
        if self.kind == "pages":
            return gr.Textbox(
                label=self.label,
                lines=1,
                max_lines=1,
                max_length=MAX_PAGES_TEXT,
                placeholder="1-3, 7",
                info=self.info,
                elem_id=self.elem_id,
            )
        if self.kind == "switch":
            return gr.Checkbox(self.default, label=self.label, info=self.info, elem_id=self.elem_id)
        if self.step is None:
            return gr.Number(
                self.default, precision=0, minimum=0, label=self.label, info=self.info, elem_id=self.elem_id
            )
        return gr.Slider(
            self.minimum,
            self.maximum,
            self.default,
            step=self.step,
            label=self.label,
            info=self.info,
            elem_id=self.elem_id,
        )

    @property
    def shown_at_first(self) -> Any:
        """`default` as its component takes it."""
        return "" if self.kind in ("text", "pages") else self.default

    def read(self, value: Any) -> Any:
        """The value, checked; the default for an empty one. Raises UserError."""
        if self.kind == "text":
            text = value or ""
            if not isinstance(text, str) or len(text) > MAX_TEXT:
                raise UserError(f"{self.subject} must be text of at most {MAX_TEXT:,} characters.")
            return clean(text.strip())
        if self.kind == "pages":
            if not isinstance(value or "", str):
                raise UserError(f"{self.subject} must be text such as 1-3, 7.")
            return PageChoice.parse(value or "", self.subject)
        if value is None or value == "":
            return self.default
        if self.kind == "switch":
            return bool(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < math.inf:
            raise UserError(f"{self.subject} must be a number.")
        if self.kind == "integer" and value != int(value):
            raise UserError(f"{self.subject} must be a whole number, not {value:g}.")
        if not self.minimum <= value <= self.maximum:
            raise UserError(
                f"{self.subject} must be between {self.minimum:,} and {self.maximum:,}, not {_shown(value)}; "
                "change it in the settings."
            )
        return int(value) if self.kind == "integer" else float(value)


class SettingsForm:
    """All settings of the page, for the options that the app was started with and the limits of its engine."""

    def __init__(
        self,
        defaults: GenerationOptions,
        pixel_limits: tuple[int, int],
        max_pdf_pages: int = DEFAULT_LIMITS.max_pdf_pages,
        max_frames: int = VIDEO_MAX_FRAMES,
    ) -> None:
        """`pixel_limits` are the (min_pixels, max_pixels) of a picture and `max_frames` those of a clip, where the
        options leave them open; `max_pdf_pages` is what the page's limits say."""
        self._defaults = defaults
        media = defaults.media
        self._budget = (
            max(1, (media.min_pixels or pixel_limits[0]) // TOKEN_PIXELS),
            max(1, (media.max_pixels or pixel_limits[1]) // TOKEN_PIXELS),
        )
        self._fields = {field.key: field for field in _fields(defaults, *self._budget, max_pdf_pages, max_frames)}

    def draw(self) -> dict[str, Block]:
        """Draws the settings into the open Gradio context; the components by their keys."""
        fields = self._fields
        drawn: dict[str, Block] = {}

        def draw(*keys: str) -> None:
            drawn.update({key: fields[key].draw() for key in keys})

        gr.Markdown("### The answer")
        draw("system", "max_new_tokens", "temperature", "stop_repetition")
        with gr.Accordion("More about sampling", open=False):
            draw("top_p", "top_k", "repetition_penalty", "seed")
        gr.Markdown("### Pictures")
        draw("max_tokens", "min_tokens", "pages", "add_vision_id")
        gr.Markdown("### Clips")
        draw("fps", "max_frames", "time_stamps")
        return drawn

    def shown_at_first(self) -> dict[str, Any]:
        """What each setting shows at first, by key."""
        return {key: field.shown_at_first for key, field in self._fields.items()}

    def in_place_of(self, before: SettingsForm, values: Mapping[str, Any]) -> dict[str, Any]:
        """What the fields of MODEL_FIELDS become where this form takes the place of another model's, by key."""
        taken = self.taken_from(before, values)
        return self.within_limits({key: taken[key] for key in MODEL_FIELDS})

    def taken_from(self, before: SettingsForm, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values of another model's form for this one: of MODEL_FIELDS, what stood at the model's default does so
        again, and what was chosen stays (checked when it is read)."""
        taken = dict(values)
        for key in MODEL_FIELDS:
            value = values.get(key)
            chosen = isinstance(value, int | float) and value != before._fields[key].default
            taken[key] = value if chosen else self._fields[key].default
        return taken

    def within_limits(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The same values, with the limits and the words of this form where these are the model's."""
        return {key: self._slider(key, value) if key in MODEL_FIELDS else value for key, value in values.items()}

    def _slider(self, key: str, value: float) -> gr.Slider:
        field = self._fields[key]
        return gr.Slider(minimum=field.minimum, maximum=field.maximum, value=value, info=field.info)

    def restored(self, kept: str) -> dict[str, Any]:
        """What the settings show with those that a browser kept, by key; `kept` is a JSON object of some of them.

        What is not a value of a setting counts as not kept, so that nothing that was kept can be in the way of asking.
        """
        try:
            read = json.loads(kept) if len(kept) <= MAX_KEPT else None
        except (ValueError, RecursionError):
            read = None
        shown = self.shown_at_first()
        wanted = {key: read[key] for key in KEPT_FIELDS if read.get(key) is not None} if isinstance(read, dict) else {}
        for key, value in [*wanted.items()] * 2:  # twice: a limit may only fit once the other has changed
            try:
                self.read({**shown, key: value})
            except UserError:
                continue
            shown[key] = clean(value) if isinstance(value, str) else value
        return shown

    def read(self, values: Mapping[str, Any]) -> AnswerSettings:
        """What the page sent, by key; a missing value stands for its default. Raises UserError naming the setting.

        What stands at the engine's own limit stays open in the options, since for clips an open budget has another
        value.
        """
        read = {key: field.read(values.get(key)) for key, field in self._fields.items()}
        least, most = read["min_tokens"], read["max_tokens"]
        if least > most:
            raise UserError(
                f"A picture cannot have at least {least} and at most {most} tokens; change one of them in the settings."
            )
        defaults, (lower, upper), frames = self._defaults, self._budget, self._fields["max_frames"].default
        return AnswerSettings(
            system=read["system"],
            pages=read["pages"],
            stop_repetition=read["stop_repetition"],
            options=replace(
                defaults,
                max_new_tokens=read["max_new_tokens"],
                temperature=read["temperature"],
                top_p=read["top_p"],
                top_k=read["top_k"],
                repetition_penalty=read["repetition_penalty"],
                seed=read["seed"],
                add_vision_id=read["add_vision_id"],
                media=replace(
                    defaults.media,
                    min_pixels=defaults.media.min_pixels if least == lower else least * TOKEN_PIXELS,
                    max_pixels=defaults.media.max_pixels if most == upper else most * TOKEN_PIXELS,
                    fps=read["fps"],
                    time_stamps=read["time_stamps"],
                    max_frames=defaults.media.max_frames if read["max_frames"] == frames else read["max_frames"],
                ),
            ),
        )


def _shown(value: float) -> str:
    """The number with thousands apart; one of hundreds of digits, which a browser can send, in words."""
    return f"{value:,}" if abs(value) < 10**24 else "a number of this size"


def new_seed() -> int:
    return secrets.randbelow(2**31)


def _fields(
    defaults: GenerationOptions, lower: int, upper: int, max_pdf_pages: int, max_frames: int
) -> Sequence[Field]:
    """The table. Limits are widened where the app was started with a value outside of them."""
    media = defaults.media
    most_frames = media.max_frames or max_frames
    trained = f" This model was trained for at most {max_frames}." if max_frames < VIDEO_MAX_FRAMES else ""
    return (
        Field(
            "system",
            "System prompt",
            "The system prompt",
            "text",
            "",
            "Tells the model how to behave. Empty: the sentence it was trained with.",
            "system",
        ),
        Field(
            "max_new_tokens",
            "Answer length",
            "The answer length",
            "integer",
            defaults.max_new_tokens,
            "The most tokens an answer may have. A token is a short word or a piece of one.",
            "max-new-tokens",
            1,
            max(4096, defaults.max_new_tokens),
            step=1,
        ),
        Field(
            "temperature",
            "Temperature",
            "The temperature",
            "number",
            defaults.temperature,
            "0 always takes the likeliest token, so the same question gets the same answer. Higher is more varied. "
            f"Retry uses at least {RETRY_TEMPERATURE}, unless a setting was changed.",
            "temperature",
            0,
            max(2, defaults.temperature),
            step=0.05,
        ),
        Field(
            "stop_repetition",
            "Stop repetition",
            "Stop repetition",
            "switch",
            True,
            "Ends an answer that writes the same words again and again.",
            "stop-repetition",
        ),
        Field(
            "top_p",
            "top_p",
            "top_p",
            "number",
            defaults.top_p,
            "Chooses among the likeliest tokens that together reach this probability. 1 is all of them.",
            "top-p",
            min(0.01, defaults.top_p),
            1,
            step=0.01,
        ),
        Field(
            "top_k",
            "top_k",
            "top_k",
            "integer",
            defaults.top_k,
            "Chooses among this many likeliest tokens. 0 is all of them.",
            "top-k",
            0,
            max(200, defaults.top_k),
            step=1,
        ),
        Field(
            "repetition_penalty",
            "Repetition penalty",
            "The repetition penalty",
            "number",
            defaults.repetition_penalty,
            "Above 1, words that were already used become less likely.",
            "repetition-penalty",
            0.5,
            max(2, defaults.repetition_penalty),
            step=0.01,
        ),
        Field(
            "seed",
            "Seed",
            "The seed",
            "integer",
            defaults.seed,
            "The same seed gives the same answer. Empty: a new one each time, shown below the answer.",
            "seed",
            0,
            MAX_SEED,
        ),
        Field(
            "max_tokens",
            "Maximum tokens per picture",
            "The maximum of tokens per picture",
            "integer",
            upper,
            "A token stands for 28x28 pixels. Larger pictures are made smaller to fit; more tokens show finer detail "
            "and take longer.",
            "max-image-tokens",
            1,
            max(16_384, upper),
            step=1,
        ),
        Field(
            "min_tokens",
            "Minimum tokens per picture",
            "The minimum of tokens per picture",
            "integer",
            lower,
            "Smaller pictures are enlarged to this.",
            "min-image-tokens",
            1,
            max(1280, lower),
            step=1,
        ),
        Field(
            "pages",
            "Pages",
            "The pages",
            "pages",
            FIRST_PAGES,
            f"Of a PDF or TIFF, such as 1-3, 7 or 5-; at most {max_pdf_pages} at once. Empty: the first ones.",
            "pages",
        ),
        Field(
            "add_vision_id",
            "Number the pictures",
            "Number the pictures",
            "switch",
            defaults.add_vision_id,
            'Writes "Picture 1:" before each, so that you can ask about one by its number.',
            "vision-id",
        ),
        Field(
            "fps",
            "Frames per second",
            "Frames per second",
            "number",
            media.fps,
            "How many frames are taken from each second of a clip.",
            "fps",
            min(0.1, media.fps),
            max(10, media.fps),
            step=0.1,
        ),
        Field(
            "max_frames",
            "Maximum frames",
            "The maximum of frames",
            "integer",
            most_frames,
            f"A longer clip gets its frames further apart.{trained}",
            "max-frames",
            2,
            max(VIDEO_MAX_FRAMES, most_frames),
            step=2,
        ),
        Field(
            "time_stamps",
            "Time stamps in the prompt",
            "Time stamps in the prompt",
            "switch",
            media.time_stamps,
            "Writes the time before each pair of frames, such as <2.0 seconds>. Qwen2-VL was not trained with that: it "
            "can help the model to name times, or confuse it.",
            "time-stamps",
        ),
    )
