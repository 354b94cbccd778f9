"""The record of a prompt: every number that goes into the model, as plain data.

Created by `Processor.process`, without weights; read by the figures, the command line and the tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from qwen2vl_demo.geometry import MERGE_SIZE, Grid, Size, merged_grid, merged_tokens

MEDIA_NOUN = {"image": "picture", "video": "clip"}  # what people read in place of `MediaTrace.kind`


@dataclass(frozen=True)
class Piece:
    """Which part of a clip a medium is, where the prompt has the clip in pieces: behind time stamps, or as pictures."""

    clip: str  # the clip's name
    number: int  # from 0


@dataclass(frozen=True)
class MediaTrace:
    """One picture or clip of a prompt."""

    kind: str  # "image" or "video"
    name: str  # the file's name, or "picture 2"
    message: int  # index of the message that holds it
    part: int  # index of the part in that message
    original_size: Size  # px, after the EXIF orientation
    resized_size: Size  # px, both sides multiples of 28
    grid_thw: Grid  # in patches
    span: tuple[int, int]  # [start, end) of its placeholders in input_ids
    min_pixels: int  # the budget that was applied, px per picture or frame
    max_pixels: int
    timestamps: tuple[float, ...] = ()  # s, of each sampled frame; empty for an image that is no frame of a clip
    frame_indices: tuple[int, ...] = ()  # which frames of the clip were sampled
    total_frames: int = 1
    duration: float = 0.0  # s, of the whole clip
    time_range: tuple[float, float] | None = None  # s: all frames were taken from this part of it; None: from all of it
    notices: tuple[str, ...] = ()  # what the visitor should know about how the file was read, as sentences
    digest: str = ""  # of the resized pixels: equal pictures have equal digests
    piece: Piece | None = None  # None: it is a whole picture or clip

    @property
    def merged_tokens(self) -> int:
        return merged_tokens(self.grid_thw)

    @property
    def merged_grid(self) -> Grid:
        return merged_grid(self.grid_thw, MERGE_SIZE)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; the stable part of the record, which `inspect --json` and `ask --json` print."""
        record: dict[str, Any] = {
            "kind": self.kind,
            "name": self.name,
            "original_size": list(self.original_size),
            "resized_size": list(self.resized_size),
            "grid_thw": list(self.grid_thw),
            "merged_tokens": self.merged_tokens,
            "span": list(self.span),
        }
        if self.kind == "video":
            record["timestamps"] = [round(t, 3) for t in self.timestamps]
            record["frame_indices"] = list(self.frame_indices)
            record["total_frames"] = self.total_frames
            record["duration"] = round(self.duration, 3)
            if self.time_range is not None:
                record["time_range"] = [round(t, 3) for t in self.time_range]
        if self.notices:
            record["notices"] = list(self.notices)
        return record


@dataclass(frozen=True)
class PromptTrace:
    """A whole prompt as one sequence of L tokens."""

    input_ids: np.ndarray  # (L,) int64, placeholders expanded
    position_ids: np.ndarray  # (3, L) int64: t, h, w
    rope_delta: int
    tokens: tuple[str, ...]  # the readable text of each token; a placeholder is its special token
    media: tuple[MediaTrace, ...]
    context_length: int | None  # positions that the model, or its server, has room for; None if it does not tell
    opening: int = 0  # of the tokens: those of the system prompt that every conversation has which brings none
    cache_salt: str = field(default="", repr=False)  # as in GenerationOptions; a secret, and never shown

    def __len__(self) -> int:
        return len(self.input_ids)

    @cached_property
    def attached(self) -> tuple[MediaTrace, ...]:
        """`media` as they were attached: clips that are in pieces are whole again."""
        return as_attached(self.media)

    def index_of(self, attached: MediaTrace) -> int:
        """The index in `media` of one of `attached`, or of its first piece."""
        return next(index for index, medium in enumerate(self.media) if medium.span[0] == attached.span[0])

    def room(self, most: int) -> int:
        """The tokens that an answer may have: `most`, or what the context has left, if that is less."""
        return most if self.context_length is None else max(0, min(most, self.context_length - len(self)))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, as `inspect --json` prints it."""
        return {
            "media": [m.to_dict() for m in self.media],
            "prompt_tokens": len(self),
            "input_ids": self.input_ids.tolist(),
            "position_ids": self.position_ids.tolist(),
            "rope_delta": self.rope_delta,
        }


def as_attached(media: Sequence[MediaTrace]) -> tuple[MediaTrace, ...]:
    """The media of a prompt with the pieces of each clip joined: one clip with all of its frames and merged tokens, and
    a span from the first to the last of them, with what stands between. Its digest is that of its first piece."""
    whole: list[MediaTrace] = []
    for medium in media:
        if medium.piece is None:
            whole.append(medium)
        elif medium.piece.number == 0:
            whole.append(replace(medium, kind="video", name=medium.piece.clip))
        else:
            clip = whole[-1]
            t, height, width = clip.grid_thw
            whole[-1] = replace(
                clip,
                grid_thw=(t + medium.grid_thw[0], height, width),
                span=(clip.span[0], medium.span[1]),
                timestamps=clip.timestamps + medium.timestamps,
                frame_indices=clip.frame_indices + medium.frame_indices,
            )
    return tuple(whole)
