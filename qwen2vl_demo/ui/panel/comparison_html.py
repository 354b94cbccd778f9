"""HTML of one picture at the resolutions of several models: side by side, equally large, magnified together.

The pictures are resampled here (`viz/other_models.py`) and embedded as data URIs; the browser only enlarges them, so
that lost pixels are visible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qwen2vl_demo.trace import MEDIA_NOUN, MediaTrace, PromptTrace
from qwen2vl_demo.ui.chat.conversation import count
from qwen2vl_demo.ui.markup import render
from qwen2vl_demo.viz.data_uri import encode_frames
from qwen2vl_demo.viz.other_models import Usage, compare_words, percent, resampled, strongest_edges, usages

CHARS = {"224": 70_000, "336": 100_000, "tiles": 120_000, "qwen": 180_000}  # of each picture's data URI, at most
ZOOM = 3  # initial magnification


@dataclass(frozen=True)
class View:
    """The picture as one model gets it."""

    usage: Usage
    uri: str
    tokens: int
    kept: str  # how many of the pixels, in words
    padding: str  # how many of the tokens, in words; "" for none


def comparison_html(medium: MediaTrace, resized: np.ndarray, original: np.ndarray | None) -> str:
    """The figure of one picture, or of the first frame of a clip.

    `resized` (H, W, 3) uint8 is what Qwen2-VL got, `original` the picture before resizing (None: the same).
    """
    source = resized if original is None else original
    all_used = usages(medium.original_size, medium.resized_size)
    views = [_view(s, resized if s.rule.key == "qwen" else resampled(source, s), medium) for s in all_used]
    x, y = strongest_edges(source)
    if medium.kind == "image":
        sentence = compare_words(medium.original_size, all_used, medium.max_pixels)
    else:
        sentence = _clip_sentence(medium, all_used)
    return render("comparison.html", medium=medium, sentence=sentence, views=views, x=x, y=y, zoom=ZOOM)


def comparison_gone_html() -> str:
    """In place of a figure whose pixels are no longer kept."""
    return render("comparison_gone.html")


def comparison_table_html(trace: PromptTrace) -> str:
    """The tokens of every picture and clip with every model; "" for fewer than two media."""
    if len(trace.attached) < 2:
        return ""
    all_used = [(m, usages(m.original_size, m.resized_size)) for m in trace.attached]
    names = [s.rule.name for s in all_used[0][1]]
    rows = [(m.name or MEDIA_NOUN[m.kind], [_tokens(s, m) for s in used]) for m, used in all_used]
    total = [sum(column) for column in zip(*(tokens for _, tokens in rows), strict=True)]
    return render("comparison_table.html", names=names, rows=[*rows, ("together", total)])


def _view(used: Usage, pixels: np.ndarray, medium: MediaTrace) -> View:
    return View(
        used,
        encode_frames(pixels[None], CHARS[used.rule.key]).uri,
        _tokens(used, medium),
        "every pixel" if used.enlarged else f"{percent(used.kept)} of the pixels",
        f", {percent(used.padding_tokens / used.tokens)} of them padding" if used.padding_tokens else "",
    )


def _tokens(used: Usage, medium: MediaTrace) -> int:
    """Of the whole medium. Other models take each frame of a clip as a picture; Qwen2-VL's number is what ran."""
    if used.rule.key == "qwen":
        return medium.merged_tokens
    return used.tokens * max(1, len(medium.frame_indices))


def _clip_sentence(medium: MediaTrace, all_used: Sequence[Usage]) -> str:
    *others, ours = all_used
    frames = len(medium.frame_indices)
    rest = ", ".join(f"{_tokens(s, medium):,} ({s.rule.name})" for s in others)
    return (
        f"Qwen2-VL fuses the {count(frames, 'frame')} of this clip in pairs and spends {_tokens(ours, medium):,} "
        f"tokens on it. A model that takes each frame as a picture spends {rest}."
    )
