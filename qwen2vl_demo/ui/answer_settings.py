"""What a visitor chose in the settings: plain values from the page, checked and made into GenerationOptions.

A value that the page leaves empty means "what the app was started with". Knows no gradio; `settings_panel.py` draws it.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.geometry import FACTOR
from qwen2vl_demo.ui.chat.saved_chat import MAX_TEXT, clean

TOKEN_PIXELS = FACTOR * FACTOR  # one merged token stands for 28x28 px
RETRY_TEMPERATURE = 0.8  # greedy decoding would write the same answer again

# the order in which the page sends them
FIELDS = (
    "system",
    "max_new_tokens",
    "temperature",
    "top_p",
    "top_k",
    "repetition_penalty",
    "seed",
    "min_tokens",
    "max_tokens",
    "fps",
    "max_frames",
    "add_vision_id",
)


@dataclass(frozen=True)
class Choices:
    """How the next answer is to be written."""

    system: str
    options: GenerationOptions

    def seeded(self) -> Choices:
        """With a seed of its own, if it samples and none was chosen, so that the answer can be had again."""
        if self.options.temperature == 0 or self.options.seed is not None:
            return self
        return replace(self, options=replace(self.options, seed=new_seed()))

    def for_retry(self) -> Choices:
        """A new seed and at least RETRY_TEMPERATURE, so that the answer can differ."""
        warmer = max(self.options.temperature, RETRY_TEMPERATURE)
        return replace(self, options=replace(self.options, temperature=warmer, seed=new_seed()))


def read_choices(values: Sequence[Any], defaults: GenerationOptions, pixel_limits: tuple[int, int]) -> Choices:
    """`values` in the order of FIELDS. Raises UserError naming the setting that cannot be.

    A budget that stands at the engine's own limit was not touched and stays open: for clips, open means another value.
    """
    given = dict(zip(FIELDS, values, strict=False))
    system = given.get("system") or ""
    if not isinstance(system, str) or len(system) > MAX_TEXT:
        raise UserError(f"The system prompt must be text of at most {MAX_TEXT:,} characters.")

    def number(key: str, name: str, default: float | None) -> float | None:
        value = given.get(key)
        if value is None or value == "":
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise UserError(f"{name} must be a number.")
        return float(value)

    def whole(key: str, name: str, default: int | None) -> int | None:
        value = number(key, name, None if default is None else float(default))
        if value is not None and value != int(value):
            raise UserError(f"{name} must be a whole number, not {value:g}.")
        return None if value is None else int(value)

    least = whole("min_tokens", "The fewest tokens a picture", None)
    most = whole("max_tokens", "The most tokens a picture", None)
    lower, upper = budget(defaults, pixel_limits)
    seed = whole("seed", "The seed", defaults.seed)
    if seed is not None and not 0 <= seed < 2**63:
        raise UserError("The seed must be 0 or more, and below 2 to the power of 63.")
    if least and most and least > most:
        raise UserError(
            f"A picture cannot have at least {least} and at most {most} tokens; change one of them in the settings."
        )
    return Choices(
        system=clean(system.strip()),
        options=replace(
            defaults,
            max_new_tokens=whole("max_new_tokens", "The answer length", defaults.max_new_tokens) or 0,
            temperature=number("temperature", "The temperature", defaults.temperature) or 0.0,
            top_p=number("top_p", "top_p", defaults.top_p) or 0.0,
            top_k=whole("top_k", "top_k", defaults.top_k) or 0,
            repetition_penalty=number("repetition_penalty", "The repetition penalty", defaults.repetition_penalty)
            or 0.0,
            seed=seed,
            add_vision_id=bool(given.get("add_vision_id", defaults.add_vision_id)),
            media=replace(
                defaults.media,
                min_pixels=least * TOKEN_PIXELS if least and least != lower else defaults.media.min_pixels,
                max_pixels=most * TOKEN_PIXELS if most and most != upper else defaults.media.max_pixels,
                fps=number("fps", "Frames a second", defaults.media.fps) or 0.0,
                max_frames=whole("max_frames", "The most frames", defaults.media.max_frames) or 0,
            ),
        ),
    )


def budget(defaults: GenerationOptions, pixel_limits: tuple[int, int]) -> tuple[int, int]:
    """(fewest, most) tokens a picture with which the settings start."""
    lower, upper = defaults.media.min_pixels or pixel_limits[0], defaults.media.max_pixels or pixel_limits[1]
    return max(1, lower // TOKEN_PIXELS), max(1, upper // TOKEN_PIXELS)


def new_seed() -> int:
    return secrets.randbelow(2**31)
