"""A conversation as plain data: messages made of parts. The prompt is built from these and from nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import PIL.Image

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.geometry import VIDEO_FPS, VIDEO_MIN_FRAMES
from qwen2vl_demo.media.time_range import WHOLE_CLIP, TimeRange

REGION_SCALE = 1000  # coordinates of a region are thousandths
_REGION = re.compile(r"<\|box_start\|>\((\d{1,4}),(\d{1,4})\),\((\d{1,4}),(\d{1,4})\)<\|box_end\|>")
_NUMBERED = re.compile(r"\bpicture (\d{1,3})\b", re.IGNORECASE)

Source = str | Path | bytes | PIL.Image.Image
Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Text:
    """Text. It is never parsed for special tokens: a typed `<|image_pad|>` stays text."""

    text: str


@dataclass(frozen=True)
class Region(Text):
    """A box that a question is about, in thousandths of a picture's width and height; x1 < x2 and y1 < y2.

    It is a text of Qwen2-VL's markup, made here from four numbers, whose two tokens are special in a prompt.
    """

    text: str = field(init=False)
    x1: int
    y1: int
    x2: int
    y2: int

    def __post_init__(self) -> None:
        if not (0 <= self.x1 < self.x2 <= REGION_SCALE and 0 <= self.y1 < self.y2 <= REGION_SCALE):
            raise UserError(
                f"({self.x1},{self.y1}),({self.x2},{self.y2}) is no region of a picture; give its left top and its "
                f"right bottom corner in thousandths of the sides, 0 to {REGION_SCALE}."
            )
        text = f"<|box_start|>({self.x1},{self.y1}),({self.x2},{self.y2})<|box_end|>"
        object.__setattr__(self, "text", text)


@dataclass(frozen=True)
class Image:
    """A picture: a path, the bytes of a file, or a PIL image."""

    source: Source
    name: str = ""  # used in traces and error messages; "" means the file's own name


@dataclass(frozen=True)
class Video:
    """A clip: a path or the bytes of a file."""

    source: str | Path | bytes
    name: str = ""  # as for Image
    time_range: TimeRange = WHOLE_CLIP  # the part from which all frames are taken


Part = Text | Image | Video


@dataclass(frozen=True)
class Message:
    """One message of one role. A bare string is short for a single Text part."""

    role: Role
    parts: tuple[Part, ...] = field(default=())

    def __init__(self, role: Role, parts: str | list[Part] | tuple[Part, ...]) -> None:
        object.__setattr__(self, "role", role)
        object.__setattr__(self, "parts", (Text(parts),) if isinstance(parts, str) else tuple(parts))

    @property
    def text(self) -> str:
        """The text parts, joined."""
        return "".join(p.text for p in self.parts if isinstance(p, Text))


def without_unfinished(messages: Sequence[Message]) -> tuple[Sequence[Message], str]:
    """The messages up to the last question, and what is written already of the answer to it: the text of a message of
    the assistant that stands last."""
    if messages and messages[-1].role == "assistant":
        return messages[:-1], messages[-1].text
    return messages, ""


@dataclass(frozen=True)
class MediaOptions:
    """How pictures and clips are resized and sampled. None means the default of the checkpoint and the device."""

    min_pixels: int | None = None  # px of a picture, minimum
    max_pixels: int | None = None  # px of a picture or frame, maximum
    fps: float = VIDEO_FPS  # frames sampled per second of video
    min_frames: int = VIDEO_MIN_FRAMES
    max_frames: int | None = None  # of a clip
    time_stamps: bool = False  # write the time, as text, before each pair of frames; no Qwen2-VL was trained with that
    # (min_pixels, max_pixels) of a picture in place of the checkpoint's own: to see what another one would be given.
    picture_limits: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.fps <= 0:
            raise UserError(f"Frames per second must be above 0, not {self.fps}; change fps.")
        if self.max_frames is not None and self.max_frames < 2:
            raise UserError(f"A clip needs at least 2 frames, not {self.max_frames}; raise max_frames.")


def question_parts(question: str) -> tuple[Text, ...]:
    """The text of a question, with each region in it as a part of its own.

    A region is one whole `<|box_start|>(x1,y1),(x2,y2)<|box_end|>` of whole thousandths without a space, as `Region`
    writes it; whatever else looks like markup stays text. Linear in the question's length.
    """
    parts: list[Text] = []
    at = 0
    for found in _REGION.finditer(question):
        try:
            region = Region(*map(int, found.groups()))
        except UserError:
            continue
        if at < found.start():
            parts.append(Text(question[at : found.start()]))
        parts.append(region)
        at = found.end()
    if at < len(question) or not parts:
        parts.append(Text(question[at:]))
    return tuple(parts)


def pointed_picture(question: str, before: int, own: int) -> int | None:
    """On which of the pictures of a prompt the regions of a question lie, by its index: the one that the question names
    by its number, else the first of the question's own, else the last before. `before` and `own` are the numbers of
    pictures before the question and in it. None: there is none."""
    named = _NUMBERED.search(question)
    if named and 1 <= int(named[1]) <= before + own:
        return int(named[1]) - 1
    return before if own else before - 1 if before else None
