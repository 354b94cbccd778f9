"""The JSON from which the lens draws a prompt: a PromptTrace and its pixels, under half a megabyte.

Every number is taken from the trace; nothing is computed again. Long sequences are run-length encoded
(`run_length.py`). The pictures are the pixels that were cut into patches, scaled down if need be. The scripts in
`static/lens` read it.

    {"version": 1, "key": str, "draft": bool, "context_length": int | null, "length": int, "rope_delta": int,
     "input_ids": runs, "position_ids": [runs of t, runs of h, runs of w],
     "tokens": [piece or [piece, times], ...],          equal neighbours are grouped
     "turns": [{"role", "start", "end"}, ...],          from one <|im_start|> to the next
     "limits": [min_pixels, max_pixels],                 of a picture, unless the settings say otherwise
     "media": [{... the fields of MediaTrace ..., "merged_tokens", "shown": image, "original": image or null}, ...]}

An image is a `data_uri.EncodedImage` as a dict. `original`, the picture before resizing, is null if resizing changed
nothing or if it is not known.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from qwen2vl_demo.geometry import MAX_PIXELS, MIN_PIXELS, TEMPORAL_PATCH_SIZE
from qwen2vl_demo.lru_cache import LRUCache
from qwen2vl_demo.trace import MediaTrace, PromptTrace
from qwen2vl_demo.viz.data_uri import EncodedImage, encode_frames
from qwen2vl_demo.viz.run_length import to_runs

VERSION = 1
MAX_CHARS = 480_000  # of a payload
MAX_IMAGE_CHARS = 340_000  # of all its data URIs together
MIN_IMAGE_CHARS = 6_000  # of each data URI, however many there are
ORIGINAL_SHARE = 0.3  # of a picture's characters, for the picture before resizing
ORIGINAL_SIDE = 800  # px
ROLE_PIECES = 8  # a role has at most so many tokens
TURN_START = "<|im_start|>"


ImageCache = LRUCache[Any, EncodedImage]


def new_image_cache(images: int = 64) -> ImageCache:
    """Keeps the given number of encoded images for `payload`."""
    return LRUCache(images)


def payload(
    trace: PromptTrace,
    pixels: Sequence[np.ndarray],
    originals: Sequence[np.ndarray | None] = (),
    *,
    draft: bool = False,
    limits: tuple[int, int] | None = None,
    images: ImageCache | None = None,
) -> dict[str, Any]:
    """The payload of a prompt.

    Args:
        pixels: the resized frames of each of trace.media, (n, H, W, 3) uint8.
        originals: each medium before resizing, (H, W, 3) uint8, or None.
        draft: whether the last turn has not been sent yet.
        limits: the checkpoint's (min_pixels, max_pixels) of a picture; by default the released ones.
        images: keeps encoded images, because a prompt is drawn before it is sent and again afterwards.
    """
    if images is None:
        images = new_image_cache()
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
        "tokens": grouped(trace.tokens),
        "turns": role_spans(trace.tokens),
        "limits": list(limits or (MIN_PIXELS, MAX_PIXELS)),
    }
    room = min(MAX_IMAGE_CHARS, MAX_CHARS - len(json.dumps(record)))
    shares = _shares(len(trace.media), room)
    media = zip(trace.media, pixels, known, shares, strict=True)
    return record | {"media": [_medium(*each, images) for each in media]}


def detail(pixels: np.ndarray, t: int | None = None) -> dict[str, Any]:
    """One picture (1, H, W, 3), or the two frames of step `t` of a clip (n, H, W, 3), with a payload's whole budget."""
    frames = pixels if t is None else pixels[TEMPORAL_PATCH_SIZE * t : TEMPORAL_PATCH_SIZE * (t + 1)]
    return encode_frames(frames, MAX_IMAGE_CHARS).to_dict()


def _shares(media: int, room: int) -> list[int]:
    """Characters for each medium: half of them for the newest, which is shown first."""
    if media < 2:
        return [max(MIN_IMAGE_CHARS, room)] * media
    return [max(MIN_IMAGE_CHARS, room // 2 // (media - 1))] * (media - 1) + [max(MIN_IMAGE_CHARS, room // 2)]


def role_spans(tokens: Sequence[str]) -> list[dict[str, Any]]:
    """The messages of a prompt: from each <|im_start|> up to the next one, with the role that follows it."""
    starts = [index for index, piece in enumerate(tokens) if piece == TURN_START]
    return [
        {"role": _role(tokens[start + 1 : start + 1 + ROLE_PIECES]), "start": start, "end": end}
        for start, end in itertools.pairwise([*starts, len(tokens)])
    ]


def _role(pieces: Sequence[str]) -> str:
    line, newline, _ = "".join(pieces).partition("\n")
    return line if newline else "".join(pieces[:1])


def grouped(tokens: Sequence[str]) -> list[Any]:
    """Pieces of text; a run of equal ones becomes [piece, times]."""
    runs = ((piece, sum(1 for _ in run)) for piece, run in itertools.groupby(tokens))
    return [piece if times == 1 else [piece, times] for piece, times in runs]


def _key(trace: PromptTrace) -> str:
    """Identifies a prompt and its pixels."""
    digest = hashlib.sha256(trace.input_ids.tobytes())
    digest.update(trace.position_ids.tobytes())
    for medium in trace.media:
        digest.update(f"{medium.kind} {medium.digest} {medium.resized_size} {medium.original_size}".encode())
    return digest.hexdigest()[:32]


def _medium(
    medium: MediaTrace, pixels: np.ndarray, original: np.ndarray | None, share: int, images: ImageCache
) -> dict[str, Any]:
    for_original = int(share * ORIGINAL_SHARE) if original is not None else 0
    record = asdict(medium)
    record["merged_tokens"] = medium.merged_tokens
    key = (medium.digest, pixels.shape, share - for_original)
    image = images.get(key)
    if image is None:
        image = encode_frames(pixels, share - for_original)
        images.put(key, image)
    record["shown"] = image.to_dict()
    record["original"] = (
        None if original is None else encode_frames(original[None], for_original, side=ORIGINAL_SIDE).to_dict()
    )
    return record
