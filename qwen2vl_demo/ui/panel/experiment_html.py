"""Experiments and guesses as HTML for the tab "Learn".

Every word that comes from outside is escaped. Knows no gradio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np
import PIL.Image

from qwen2vl_demo.geometry import FACTOR, grid_thw, merged_tokens, smart_resize
from qwen2vl_demo.trace import MEDIA_NOUN, MediaTrace, PromptTrace
from qwen2vl_demo.ui.chat.conversation import count, duration
from qwen2vl_demo.ui.panel.experiments import Trial
from qwen2vl_demo.viz.boxes import draw_boxes, parse_boxes, readable
from qwen2vl_demo.viz.data_uri import encode

CHARS = 60_000  # of each picture's data URI, at most
EMPTY = (
    '<div class="lens"><p class="lens-nothing">Attach a picture, and three guesses about it stand here. Ask something '
    "about it, and the same question can be asked again with one thing changed.</p></div>"
)


def guesses_html(trace: PromptTrace | None) -> str:
    """Questions about the last picture whose answers follow from arithmetic; each opens when it is clicked."""
    if trace is None or not trace.media:
        return EMPTY
    medium = trace.media[-1]
    t, h, w = medium.merged_grid
    (height, width), now = medium.original_size, medium.merged_tokens
    what = MEDIA_NOUN[medium.kind]
    doubled, turned = _tokens(medium, 2 * height, 2 * width), _tokens(medium, width, height)
    instead = "as many as now" if doubled == now else f"instead of {now:,}"
    larger = f"{count(doubled, 'token')}, {instead}. {_why(medium)}"
    side = f"{count(turned, 'token')}, " + (
        "as many" if turned == now else f"and not {now:,}: the sides round otherwise"
    )
    side += ". Rows become columns; nothing is cropped and nothing is padded to a square."
    far = max(t, h, w)
    steps = f"{count(t, 'step')} of time, " if t > 1 else ""
    on = (
        f"By {far:,}, the longest of {steps}{count(h, 'row')} and {count(w, 'column')}, though it takes "
        f"{count(now, 'token')}. Plain 1-D positions would go on by {now:,}, so that words far behind a large picture "
        "could stand at positions that the model never saw in training."
    )
    asked = (
        (f"How many tokens would it take if this {what} were twice as wide and twice as high?", larger),
        ("And if it were turned on its side?", side),
        (f"By how much do the positions of the words behind this {what} go on?", on),
    )
    items = "".join(f"<details><summary>{escape(q)}</summary><p>{escape(a)}</p></details>" for q, a in asked)
    (rh, rw), name = medium.resized_size, escape(medium.name)
    return (
        f'<div class="lens learn"><h4>Guess first</h4><p class="lens-says"><b>{name}</b> came with {width}x{height} '
        f"pixels, was resized to {rw}x{rh}, and takes {count(now, 'token')}.</p>{items}</div>"
    )


def _why(medium: MediaTrace) -> str:
    """Why a medium of twice its sides takes what it takes."""
    pixels, frame = math.prod(medium.original_size), "frame" if medium.kind == "video" else "picture"
    most, least = (count(budget // FACTOR**2, "token") for budget in (medium.max_pixels, medium.min_pixels))
    if 4 * pixels > medium.max_pixels:
        return f"Its budget, at most {most} a {frame}, holds it back: it is shrunk until it fits."
    if pixels < medium.min_pixels:
        return f"It came with fewer pixels than the budget asks for, at least {least} a {frame}, and was enlarged."
    return "Four times the pixels are four times the tokens: the resolution is the picture's own, not the model's."


def _tokens(medium: MediaTrace, height: int, width: int) -> int:
    """What the same medium would take if it had come with other sides, within the budget that acted."""
    size = smart_resize(height, width, min_pixels=medium.min_pixels, max_pixels=medium.max_pixels)
    return medium.grid_thw[0] * merged_tokens(grid_thw(1, *size))


def trials_html(question: str, trials: Sequence[Trial], *, note: str = "", ended: bool = False) -> str:
    """The answers so far beside the picture that each was given; `note` says why there are no more."""
    cards = "".join(_card(trial, trials[0]) for trial in trials)
    said = f'<p class="lens-says">Asked again: <q>{escape(_short(question))}</q></p>' if trials else ""
    told = f'<p class="lens-says">{escape(_verdict(trials))}</p>' if ended and len(trials) > 1 else ""
    hint = f'<p class="lens-hint" role="alert">{escape(note)}</p>' if note else ""
    return f'<div class="lens learn" aria-live="polite">{said}<ol class="trials">{cards}</ol>{told}{hint}</div>'


def _card(trial: Trial, first: Trial) -> str:
    medium, (height, width) = trial.medium, trial.medium.resized_size
    boxes = parse_boxes(trial.answer)
    picture = np.asarray(draw_boxes(PIL.Image.fromarray(trial.picture), boxes)) if boxes else trial.picture
    image = encode(picture[None], CHARS)
    alt = escape(f"{medium.name} at {width}x{height} pixels", quote=True)
    answer = escape(readable(trial.answer) or (f"{trial.status}…" if trial.seconds is None else "(no words)"))
    known = f" ({count(trial.reused_tokens, 'prompt token')} reused)" if trial.reused_tokens else ""
    took = "" if trial.seconds is None else f", first token after {duration(trial.seconds)}{known}"
    differs = trial.seconds is not None and trial.answer != first.answer
    return (
        f'<li class="trial{" differs" if differs else ""}"><img src="{image.uri}" alt="{alt}">'
        f"<div><b>{escape(trial.variation.name)}</b><span>{escape(trial.variation.change)}</span>"
        f'<p class="trial-answer">{answer}</p><span>{width}x{height} px, {count(medium.merged_tokens, "token")}{took}'
        f"{', differs' if differs else ''}</span></div></li>"
    )


def _verdict(trials: Sequence[Trial]) -> str:
    others = trials[1:]
    same = sum(trial.answer == trials[0].answer for trial in others)
    if same == len(others):
        return "The answer is the same each time: for this question, what was changed did not matter."
    return f"The answer differs from the first in {len(others) - same} of {len(others)}."


def _short(text: str, most: int = 200) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
