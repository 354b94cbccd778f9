"""The part of a clip that is looked at, and which frames belong to it."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media.timeline import Timeline

SAME = 0.001  # s, up to which two times count as one: clocks of files are often as coarse as this
MAX_SECONDS = 10**6
MAX_TEXT = 60  # characters of a range
_TIME = r"(?:(?:(\d{1,3}):)?(\d{1,3}):)?(\d{1,6}(?:\.\d{1,6})?)\s{0,3}s?"
_RANGE = re.compile(rf"(?:{_TIME})?\s{{0,3}}(?:-|\u2010|\u2011|\u2012|\u2013|\u2014|to)\s{{0,3}}(?:{_TIME})?")


@dataclass(frozen=True)
class TimeRange:
    """From `start` up to `end`, in seconds since the first frame of a clip. Raises UserError for what is no range."""

    start: float = 0.0
    end: float | None = None  # None: the end of the clip

    def __post_init__(self) -> None:
        for value in (self.start, 0.0 if self.end is None else self.end):
            if not 0 <= value <= MAX_SECONDS:  # nor is NaN
                raise UserError(f"A part of a clip begins and ends between 0 and {MAX_SECONDS:,} seconds.")
        if self.end is not None and self.end < self.start + SAME:
            raise UserError(f"A part of a clip ends after it begins, not from {self.start:g} s to {self.end:g} s.")

    @classmethod
    def parse(cls, text: str, origin: str = "The part of the clip") -> TimeRange:
        """Reads "2-4", "2.5-", "-0:10", "1:05-1:20" or "" (all of it). `origin` begins the UserError's sentence, which
        is raised for anything else."""
        if not text.strip():
            return WHOLE_CLIP
        found = _RANGE.fullmatch(text.strip()) if len(text) <= MAX_TEXT else None
        if found is None or (found[3] is None and found[6] is None):
            raise UserError(f'{origin} is "{text[:40]}"; give seconds or times such as 2-4, 2.5- or 1:05-1:20.')
        start, end = _seconds(*found.groups()[:3]), _seconds(*found.groups()[3:])
        return cls(start or 0.0, end)

    def frames(self, timeline: Timeline, label: str) -> range:
        """The indices of the frames that are shown within it; a frame is shown until the next one. At least one. Raises
        UserError for a range behind the end of the clip."""
        if self.start > timeline.duration - SAME and self.start:
            raise UserError(
                f"{label} lasts {timeline.duration:.1f} s, and the part to look at begins at {self.start:g} s; "
                "choose one that begins earlier."
            )
        first = bisect_right(timeline.times, self.start + SAME) - 1
        stop = timeline.total if self.end is None else bisect_left(timeline.times, self.end - SAME)
        return range(first, max(first + 1, stop))

    def within(self, duration: float) -> tuple[float, float]:
        """(start, end) of it in a clip that lasts so many seconds."""
        return self.start, duration if self.end is None else min(self.end, duration)

    def __str__(self) -> str:
        """`from 2.0 s to 4.0 s`"""
        return f"from {self.start:.1f} s " + ("on" if self.end is None else f"to {self.end:.1f} s")

    def __bool__(self) -> bool:
        """Whether it leaves anything out."""
        return self != WHOLE_CLIP


WHOLE_CLIP = TimeRange()


def _seconds(hours: str | None, minutes: str | None, seconds: str | None) -> float | None:
    return None if seconds is None else 3600 * int(hours or 0) + 60 * int(minutes or 0) + float(seconds)
