"""Samples of real-world files: how each is made, and what a reader must find in it.

Pictures and frames are four coloured quadrants, so that a truth is a size and four colours. Truths come from outside:
from the standard that the file follows, or from what Chromium 156, FFmpeg 5.1 and ImageMagick 6.9 make of it. Each
sample names its source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Colour = tuple[int, int, int]
Quadrants = tuple[Colour, Colour, Colour, Colour]  # upper left, upper right, lower left, lower right

RED, GREEN, BLUE, LIGHT = (200, 40, 40), (40, 160, 60), (40, 60, 200), (230, 230, 230)
COLOURS: Quadrants = (RED, GREEN, BLUE, LIGHT)


def greys(a: int, b: int, c: int, d: int) -> Quadrants:
    return (a, a, a), (b, b, b), (c, c, c), (d, d, d)


GREYS = greys(20, 90, 160, 230)
SIZE = (112, 168)  # (height, width) px: multiples of 28, so that the processor does not resize


@dataclass(frozen=True)
class Expected:
    """One picture or clip as it must be read. None: not checked."""

    size: tuple[int, int] = SIZE  # (height, width) px
    colours: Quadrants | None = COLOURS  # of the picture, or of the first frame
    last: Quadrants | None = None  # of the last frame
    tolerance: int = 10  # of 255, for lossy files
    kind: Literal["image", "video"] = "image"
    frames: int | None = None  # that the clip has
    times: tuple[float, float] | None = None  # seconds of the first and the last sampled frame, within a tenth

    def faults(self, found: Mapping[str, Any]) -> list[str]:
        """What differs in a medium as the worker reports it; empty if nothing does."""
        faults = []
        if found["kind"] != self.kind:
            faults.append(f"is a {found['kind']}, not a {self.kind}")
        if tuple(found["size"]) != self.size:
            faults.append(f"{found['size'][0]}x{found['size'][1]} px, not {self.size[0]}x{self.size[1]}")
        for which, wanted in (("first", self.colours), ("last", self.last)):
            if wanted is not None:
                difference = int(np.abs(np.subtract(found[which], wanted)).max())
                if difference > self.tolerance:
                    faults.append(f"{which} colours {found[which]} differ by {difference}")
        if self.frames is not None and found["frames"] != self.frames:
            faults.append(f"{found['frames']} frames, not {self.frames}")
        if self.times is not None and (
            not found["times"] or max(abs(a - b) for a, b in zip(found["times"], self.times, strict=True)) > 0.1
        ):
            faults.append(f"times {found['times']}, not {self.times}")
        return faults


@dataclass(frozen=True)
class Sample:
    """A file. It must be read as `expected`; or be refused with a sentence that holds `refusal`. Where both are given,
    either is right."""

    name: str
    line: str  # of the list of situations, such as "1.3"
    about: str
    make: Callable[[], bytes]
    source: str  # of the truth
    expected: Sequence[Expected] = (Expected(),)
    refusal: str = ""
    pages: str = ""  # typed into the setting Pages
    hostile: bool = False  # anything is right that is an answer or a refusal

    def faults(self, outcome: str, sentence: str, media: Sequence[Mapping[str, Any]]) -> list[str]:
        """What is wrong about how the file was read; empty if nothing is."""
        if self.hostile and outcome in ("answered", "refused"):
            return []
        if outcome == "refused":
            if self.refusal and self.refusal.lower() in sentence.lower():
                return []
            return [f"refused: {sentence}"]
        if outcome != "answered":
            return [f"{outcome}: {sentence}"]
        if not self.expected:
            return [f"read, although it must be refused with {self.refusal!r}"]
        if len(media) != len(self.expected):
            return [f"{len(media)} media, not {len(self.expected)}"]
        return [fault for wanted, found in zip(self.expected, media, strict=True) for fault in wanted.faults(found)]


def quadrants(colours: Quadrants = COLOURS, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W, 3) uint8."""
    height, width = size
    pixels = np.empty((height, width, 3), np.uint8)
    for index, colour in enumerate(colours):
        row, column = divmod(index, 2)
        rows = slice(row * (height // 2), height if row else height // 2)
        columns = slice(column * (width // 2), width if column else width // 2)
        pixels[rows, columns] = colour
    return pixels


def turned(colours: Quadrants = COLOURS) -> Quadrants:
    """The quadrants after a quarter turn clockwise, which EXIF orientation 6 asks for."""
    upper_left, upper_right, lower_left, lower_right = colours
    return lower_left, upper_left, lower_right, upper_right
