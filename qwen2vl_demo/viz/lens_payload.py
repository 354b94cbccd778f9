"""What a page needs to draw a prompt: a PromptTrace and its pixels as one JSON-ready dict, under half a megabyte.

Contract: every number is the trace's own, written as runs where there are many (`runs.py`); nothing is worked out a
second time here. The pictures are the very pixels that were cut, perhaps shown smaller. Knows traces and arrays only;
the scripts in `viz/static/lens` read the dict, and `lens/decode.js` says its form again from their side.

    {"version": 1, "key": str, "draft": bool, "context_length": int, "length": int, "rope_delta": int,
     "input_ids": runs, "position_ids": [runs of t, runs of h, runs of w],
     "tokens": [piece or [piece, times], ...],          readable pieces, equal neighbours together
     "turns": [{"role", "start", "end"}, ...],          from <|im_start|> up to the next one
     "limits": [min_pixels, max_pixels],                 of a picture, where nobody chose others
     "media": [{... the fields of MediaTrace ..., "merged_tokens", "shown": image, "original": image or null}, ...]}

An image is `images.Encoded`: {"uri", "height", "width", "count", "columns", "scale", "lossless"}. `original` is null
where resizing changed nothing, or where the picture as it came is not known.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from qwen2vl_demo.geometry import MAX_PIXELS, MIN_PIXELS, TEMPORAL_PATCH_SIZE
from qwen2vl_demo.trace import MediaTrace, PromptTrace
from qwen2vl_demo.viz.data_uri import Encoded, encode
from qwen2vl_demo.viz.run_length import to_runs

VERSION = 1
MOST_CHARS = 480_000  # of a view
PICTURES_CHARS = 340_000  # of all its data URIs together
LEAST_CHARS = 6_000  # what a picture gets where there are many
ORIGINAL_SHARE = 0.3  # of a picture's characters, for the picture as it came
ORIGINAL_SIDE = 800  # px
ROLE_PIECES = 8  # a role is written within so many tokens
TURN_START = "<|im_start|>"


def payload(
    trace: PromptTrace,
    pixels: Sequence[np.ndarray],
    originals: Sequence[np.ndarray | None] = (),
    *,
    draft: bool = False,
    limits: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """`pixels` are the resized frames (n, H, W, 3) uint8 of each of trace.media; `originals` each as it came, (H, W, 3)
    uint8, or None. `draft` says that the last turn was not sent yet, `limits` the (min_pixels, max_pixels) of a picture
    where nobody chose others."""
    known = originals or [None] * len(trace.media)
    record = {
        "version": VERSION,
        "key": _key(trace),
        "draft": draft,
        "context_length": trace.context_length,
        "length": len(trace),
        "rope_delta": int(trace.rope_delta),
        "input_ids": to_runs(trace.input_ids),
        "position_ids": [to_runs(axis) for axis in trace.position_ids],
        "tokens": _pieces(trace.tokens),
        "turns": turns(trace.tokens),
        "limits": list(limits or (MIN_PIXELS, MAX_PIXELS)),
    }
    room = min(PICTURES_CHARS, MOST_CHARS - len(json.dumps(record)))
    shares = _shares(len(trace.media), room)
    return record | {"media": [_medium(*each) for each in zip(trace.media, pixels, known, shares, strict=True)]}


def detail(pixels: np.ndarray, t: int | None = None) -> dict[str, Any]:
    """A picture (1, H, W, 3) alone, or the two frames of step `t` of a clip (n, H, W, 3), as sharp as a view may be."""
    frames = pixels if t is None else pixels[TEMPORAL_PATCH_SIZE * t : TEMPORAL_PATCH_SIZE * (t + 1)]
    return encode(frames, PICTURES_CHARS).to_dict()


def _shares(media: int, room: int) -> list[int]:
    """Characters for each: half of them for the newest, which is looked at first."""
    if media < 2:
        return [max(LEAST_CHARS, room)] * media
    return [max(LEAST_CHARS, room // 2 // (media - 1))] * (media - 1) + [max(LEAST_CHARS, room // 2)]


def turns(tokens: Sequence[str]) -> list[dict[str, Any]]:
    """Who speaks where: from each <|im_start|> up to the next one, with the role that is written behind it."""
    starts = [index for index, piece in enumerate(tokens) if piece == TURN_START]
    return [
        {"role": _role(tokens[start + 1 : start + 1 + ROLE_PIECES]), "start": start, "end": end}
        for start, end in itertools.pairwise([*starts, len(tokens)])
    ]


def _role(pieces: Sequence[str]) -> str:
    line, newline, _ = "".join(pieces).partition("\n")
    return line if newline else "".join(pieces[:1])


def _pieces(tokens: Sequence[str]) -> list[Any]:
    runs = ((piece, sum(1 for _ in run)) for piece, run in itertools.groupby(tokens))
    return [piece if times == 1 else [piece, times] for piece, times in runs]


def _key(trace: PromptTrace) -> str:
    """Equal prompts with equal pixels have equal keys."""
    digest = hashlib.sha256(trace.input_ids.tobytes())
    digest.update(trace.position_ids.tobytes())
    for medium in trace.media:
        digest.update(f"{medium.kind} {medium.digest} {medium.resized_size} {medium.original_size}".encode())
    return digest.hexdigest()[:32]


def _medium(medium: MediaTrace, pixels: np.ndarray, original: np.ndarray | None, share: int) -> dict[str, Any]:
    for_original = int(share * ORIGINAL_SHARE) if original is not None else 0
    record = asdict(medium)
    record["merged_tokens"] = medium.merged_tokens
    record["shown"] = _IMAGES.get((medium.digest, pixels.shape), pixels, share - for_original).to_dict()
    record["original"] = (
        None if original is None else encode(original[None], for_original, side=ORIGINAL_SIDE).to_dict()
    )
    return record


class _Images:
    """The latest images, because a prompt is looked at before it is sent and again afterwards. Thread-safe."""

    def __init__(self, kept: int = 64) -> None:
        self._kept = kept
        self._items: OrderedDict[Any, Encoded] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Any, pixels: np.ndarray, most_chars: int) -> Encoded:
        key = (key, most_chars)
        with self._lock:
            if (known := self._items.get(key)) is not None:
                self._items.move_to_end(key)
                return known
        made = encode(pixels, most_chars)
        with self._lock:
            self._items[key] = made
            while len(self._items) > self._kept:
                self._items.popitem(last=False)
        return made


_IMAGES = _Images()
