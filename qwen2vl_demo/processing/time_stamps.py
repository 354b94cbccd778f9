"""The time, as text, before the frames of a clip: `<2.0 seconds>` and then the two frames that are shown from there on.

Each pair of frames becomes a clip of its own in the prompt, with its own vision span. The vision transformer sees the
same, since it looks at one pair at a time; the language model reads the time before it. Qwen3-VL was trained with such
text, and Qwen2-VL was not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from qwen2vl_demo import geometry
from qwen2vl_demo.geometry import TEMPORAL_PATCH_SIZE
from qwen2vl_demo.processing.image import VisionInput
from qwen2vl_demo.processing.messages import Message, Part, Text, Video
from qwen2vl_demo.trace import Piece


def time_stamp(seconds: float) -> str:
    return f"<{seconds:.1f} seconds>"


def with_time_stamps(
    messages: Sequence[Message], media: Sequence[VisionInput]
) -> tuple[list[Message], list[VisionInput]]:
    """The messages with each clip as its pairs of frames behind time stamps, and the pixels of all of their media.

    `media` are those of the messages, in their order.
    """
    items = iter(media)
    stamped: list[Message] = []
    pieces: list[VisionInput] = []
    for message in messages:
        parts: list[Part] = []
        for part in message.parts:
            item = None if isinstance(part, Text) else next(items)
            if item is None or item.kind == "image" or not isinstance(part, Video):
                parts.append(part)
                pieces += [] if item is None else [item]
                continue
            for start in range(0, len(item.frames), TEMPORAL_PATCH_SIZE):
                stamp = time_stamp(item.timestamps[start])
                name = f"{item.name}, {item.timestamps[start]:.1f} s"
                parts += [Text(stamp), replace(part, name=name)]
                pieces.append(piece(item, start, start + TEMPORAL_PATCH_SIZE, "video", name))
        stamped.append(Message(message.role, parts))
    return stamped, pieces


def piece(clip: VisionInput, start: int, stop: int, kind: Literal["image", "video"], name: str) -> VisionInput:
    """The sampled frames [start, stop) of a clip as a medium of its own; all pieces have as many. What is to be said of
    the clip is said of its first piece."""
    frames = clip.frames[start:stop]
    digest = hashlib.sha256(f"{kind} {frames.shape}".encode())  # as that of any other medium
    digest.update(frames.data)
    return replace(
        clip,
        kind=kind,
        name=name,
        frames=frames,
        grid_thw=geometry.grid_thw(len(frames), *clip.resized_size),
        digest=digest.hexdigest(),
        timestamps=clip.timestamps[start:stop],
        frame_indices=clip.frame_indices[start:stop],
        notices=clip.notices if start == 0 else (),
        piece=Piece(clip.name, start // (stop - start)),
        thumbnail=clip.thumbnail if start == 0 and kind == "video" else None,
    )
