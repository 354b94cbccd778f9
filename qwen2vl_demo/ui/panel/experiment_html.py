"""HTML of the tab "Experiments": guesses about a picture, and the answers of experiments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np
import PIL.Image

from qwen2vl_demo.geometry import FACTOR, MAX_PIXELS, grid_thw, merged_tokens, smart_resize
from qwen2vl_demo.trace import MEDIA_NOUN, MediaTrace, PromptTrace
from qwen2vl_demo.ui.chat.conversation import count
from qwen2vl_demo.ui.markup import render
from qwen2vl_demo.ui.panel.trials import Trial
from qwen2vl_demo.viz.boxes import parse_boxes, text_without_boxes
from qwen2vl_demo.viz.data_uri import encode_frames
from qwen2vl_demo.viz.drawn_boxes import coloured, draw_boxes

CHARS = 60_000  # of each picture's data URI, at most
MOST_WORDS = 300  # of an answer whose differences are marked word by word


def guesses_html(trace: PromptTrace | None) -> str:
    """Questions about the last picture or clip that arithmetic answers; each answer opens with a click."""
    if trace is None or not trace.media:
        return render("guesses_empty.html")
    medium = trace.attached[-1]
    t, h, w = medium.merged_grid
    (height, width), now = medium.original_size, medium.merged_tokens
    what = MEDIA_NOUN[medium.kind]
    doubled, rotated = _tokens(medium, 2 * height, 2 * width), _tokens(medium, width, height)
    instead = "as many as now" if doubled == now else f"instead of {now:,}"
    larger = f"{count(doubled, 'token')}, {instead}. {_why(medium)}"
    side = f"{count(rotated, 'token')}, " + (
        "as many as now" if rotated == now else f"and not {now:,}: its sides are rounded differently"
    )
    side += ". Rows become columns; nothing is cropped and nothing is padded to a square."
    if medium.piece is None:
        steps = f"{count(t, 'step')} of time, " if t > 1 else ""
        on = (
            f"By {max(t, h, w):,}, the longest of {steps}{count(h, 'row')} and {count(w, 'column')}, although it takes "
        )
    else:
        pieces, edge = sum(m.piece is not None and m.span[0] >= medium.span[0] for m in trace.media), max(h, w)
        between = medium.span[1] - medium.span[0] - now
        on = (
            f"By {pieces * edge + between:,}: {count(pieces, 'time')} {edge:,}, the longest of {count(h, 'row')} and "
            f"{count(w, 'column')}, and {between:,} for the words between its pieces, although it takes "
        )
    on += (
        f"{count(now, 'token')}. Plain 1-D positions would move on by {medium.span[1] - medium.span[0]:,}, so that "
        "words after a large picture could get positions that the model never saw in training."
    )
    guesses = (
        (f"How many tokens would it take if this {what} were twice as wide and twice as high?", larger),
        ("And if it were turned on its side?", side),
        (f"How far does the position counter move on after this {what}?", on),
    )
    return render("guesses.html", medium=medium, guesses=guesses)


def _why(medium: MediaTrace) -> str:
    """Why a medium of twice its sides takes what it takes."""
    (height, width), frame = medium.original_size, "frame" if medium.kind == "video" else "picture"
    most, least = (count(budget // FACTOR**2, "token") for budget in (medium.max_pixels, medium.min_pixels))
    now, doubled = medium.merged_tokens, _tokens(medium, 2 * height, 2 * width)
    if _rounded_area(2 * height, 2 * width) > medium.max_pixels:
        return f"The budget, at most {most} per {frame}, limits it: it is shrunk until it fits.{_with_released(medium)}"
    if _rounded_area(height, width) < medium.min_pixels:
        return (
            f"As it came, it has fewer pixels than the budget asks for, at least {least} per {frame}, and is enlarged "
            "to that."
        )
    if doubled == 4 * now:
        return "Four times the pixels are four times the tokens: the resolution is the picture's own, not the model's."
    sides = ", ".join(
        f"{side:,} to {_rounded(side):,} and {2 * side:,} to {_rounded(2 * side):,}" for side in (width, height)
    )
    return (
        f"Four times the pixels are about four times the tokens. Exactly that would be {4 * now:,}, but each side is "
        f"rounded to a multiple of {FACTOR} pixels: {sides}."
    )


def _with_released(medium: MediaTrace) -> str:
    """What the released checkpoints would spend on it and on its double, where their budget is larger."""
    if medium.kind != "image" or medium.max_pixels >= MAX_PIXELS:
        return ""
    height, width = medium.original_size
    now, doubled = (merged_tokens(grid_thw(1, *smart_resize(k * height, k * width))) for k in (1, 2))
    return f" With the released checkpoints' budget it would go from {now:,} to {doubled:,}."


def _rounded(side: int) -> int:
    return round(side / FACTOR) * FACTOR


def _rounded_area(height: int, width: int) -> int:
    return _rounded(height) * _rounded(width)


def _tokens(medium: MediaTrace, height: int, width: int) -> int:
    """What the same medium would take if it had come with other sides, within the budget that acted."""
    size = smart_resize(height, width, min_pixels=medium.min_pixels, max_pixels=medium.max_pixels)
    return medium.grid_thw[0] * merged_tokens(grid_thw(1, *size))


@dataclass(frozen=True)
class Card:
    """One trial as it is shown."""

    trial: Trial
    uri: str  # the picture, with the answer's boxes; "" while there is none
    pieces: tuple[tuple[str, bool], ...]  # the answer, and which of its words the first trial has not
    differs: bool  # whether it has ended with another answer than the first trial


def trials_html(
    question: str, trials: Sequence[Trial], *, note: str = "", ended: bool = False, columns: bool = False
) -> str:
    """The answers so far, each beside the picture it was given for, or in columns. `note` says why there are no more of
    them."""
    return render(
        "trials.html",
        question=_shortened(question),
        cards=[_card(trial, trials[0]) for trial in trials],
        verdict=_verdict(trials) if ended and len(trials) > 1 else "",
        note=note,
        columns=columns,
    )


def _card(trial: Trial, first: Trial) -> Card:
    nothing_yet = "" if trial.problem else "(no words)" if trial.ended else f"{trial.status}…"
    words = text_without_boxes(trial.answer) or nothing_yet
    differs = _answered(trial) and _answered(first) and trial.answer != first.answer
    pieces = marked_differences(text_without_boxes(first.answer), words) if differs else ((words, False),)
    return Card(trial, _picture(trial), pieces, differs)


def _picture(trial: Trial) -> str:
    if trial.medium is None or trial.picture is None:
        return ""
    boxes = parse_boxes(trial.answer, trial.medium.resized_size)
    picture = np.asarray(draw_boxes(PIL.Image.fromarray(trial.picture), coloured(boxes))) if boxes else trial.picture
    return encode_frames(picture[None], CHARS).uri


def _answered(trial: Trial) -> bool:
    """Whether it has its whole answer."""
    return trial.ended and not trial.problem


def marked_differences(first: str, other: str) -> tuple[tuple[str, bool], ...]:
    """`other` in pieces, which joined give it again, and whether a piece is words that `first` has not in this place.
    Very long answers are one piece."""
    before, after = (re.findall(r"\S+\s*", text) for text in (first, other))
    if not after or max(len(before), len(after)) > MOST_WORDS:
        return ((other, True),)
    matcher = SequenceMatcher(None, [w.strip() for w in before], [w.strip() for w in after], autojunk=False)
    pieces = [("".join(after[j1:j2]), tag != "equal") for tag, _, _, j1, j2 in matcher.get_opcodes() if j2 > j1]
    return tuple(pieces)


def _verdict(trials: Sequence[Trial]) -> str:
    first, *others = trials
    others = [trial for trial in others if _answered(trial)]
    if not _answered(first) or not others:
        return ""
    same = sum(trial.answer == trials[0].answer for trial in others)
    if same == len(others):
        return "The answer is the same each time: for this question, what was changed did not matter."
    return f"The answer differs from the first in {len(others) - same} of {len(others)}."


def _shortened(text: str, length: int = 200) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
