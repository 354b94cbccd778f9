"""Experiments: the last question of a chat, asked again with one thing changed and all else the same.

Each is a real answer of the engine, written greedily: nothing is kept of it in the chat. Plain data out; knows neither
gradio nor HTML.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from qwen2vl_demo.engine.protocol import Engine, GenerationOptions
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.geometry import FACTOR, PositionScheme
from qwen2vl_demo.processing.messages import Message
from qwen2vl_demo.trace import MediaTrace, PromptTrace
from qwen2vl_demo.ui.chat.conversation import count

Experiment = Literal["budget", "positions"]
MOST_NEW = 96  # tokens of each answer
SMALL = 128  # merged tokens; below, budgets are halved, above quartered
NOTHING_SMALLER = (
    "This picture takes no more tokens than the model asks for at least, so there is no smaller budget to try. Use a "
    "larger picture, or raise the most tokens a picture in the settings."
)
SCHEMES: dict[PositionScheme, tuple[str, str]] = {
    "mrope": ("M-RoPE, as trained", "each merged token at its time, row and column"),
    "silenced": ("one address a picture", "h and w are set to t, so rows and columns are gone"),
    "1d": ("plain 1-D positions", "one running number for every token"),
}


@dataclass(frozen=True)
class Variation:
    """One way to ask: what it is called, what it changes, and the options that do so."""

    name: str
    what: str
    options: GenerationOptions


@dataclass(frozen=True)
class Trial:
    """A variation and what came of it."""

    variation: Variation
    medium: MediaTrace  # the last one, as it was cut this time
    picture: np.ndarray  # (H, W, 3) uint8, its resized pixels; of a clip, the first frame's
    status: str = ""  # what the engine does before the first word
    answer: str = ""
    seconds: float | None = None  # to the first token; None while it is written
    reused_tokens: int = 0  # of the prompt: known from before, so that the first token came sooner


def variations(kind: Experiment, engine: Engine, trace: PromptTrace, options: GenerationOptions) -> list[Variation]:
    """What to try for the prompt that was asked. Raises UserError where nothing can be."""
    greedy = replace(options, temperature=0.0, max_new_tokens=min(options.max_new_tokens, MOST_NEW))
    if kind == "positions":
        return [Variation(name, what, replace(greedy, positions=key)) for key, (name, what) in SCHEMES.items()]
    _, rows, columns = trace.media[-1].merged_grid
    now, least = rows * columns, -(-(options.media.min_pixels or engine.pixel_limits[0]) // FACTOR**2)
    step = 2 if now <= SMALL else 4
    smaller = [max(least, now // step), max(least, now // step**2)]
    budgets = [budget for budget in dict.fromkeys(smaller) if budget < now]
    if not budgets:
        raise UserError(NOTHING_SMALLER)
    clip = trace.media[-1].kind == "video"
    shrunk = "each frame" if clip else "every picture" if len(trace.media) > 1 else "the picture"
    return [Variation("as asked", "the budget of the settings", greedy)] + [
        Variation(
            f"at most {count(budget, 'token')}{' a frame' if clip else ''}",
            f"{shrunk} is shrunk until it fits",
            replace(greedy, media=replace(greedy.media, max_pixels=budget * FACTOR**2)),
        )
        for budget in budgets
    ]


def tried(
    engine: Engine, messages: Sequence[Message], chosen: Sequence[Variation], cancel: threading.Event
) -> Generator[list[Trial], None, None]:
    """All trials so far, again and again; ends early when `cancel` is set. Raises what the engine raises."""
    trials: list[Trial] = []
    for variation in chosen:
        prompt = engine.prompt(messages, variation.options)
        trials.append(Trial(variation, prompt.trace.media[-1], prompt.media[-1].frames[0]))
        yield trials
        with closing(engine.stream(messages, variation.options, cancel)) as chunks:
            for chunk in chunks:
                if chunk.status:
                    trials[-1] = replace(trials[-1], status=chunk.status)
                    yield trials
                if result := chunk.result:
                    seconds, reused = result.timings.get("first_token"), result.reused_tokens
                    trials[-1] = replace(trials[-1], answer=result.text, seconds=seconds, reused_tokens=reused)
        if cancel.is_set():
            return
        yield trials
