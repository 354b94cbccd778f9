"""Presentation times of the frames of a clip, in exact arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

DEFAULT_RATE = Fraction(25)  # frames per second of a file that states neither a rate nor any time
TOO_SHORT_MS, SHORT_MS = 10, 100  # measured in Chromium: 10 ms are shown for 100 ms, 11 ms for 11 ms
MAX_RATE = 1000  # a higher one is a time base that was taken for a rate


@dataclass(frozen=True)
class Timeline:
    """The number of frames of a clip, their rate and their presentation times."""

    total: int  # frames
    fps: float  # frames per second, on average
    times: tuple[float, ...]  # s since the first frame, ascending; (total,)

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last one."""
        return max(self.total / self.fps, self.times[-1])


def from_times(times: Sequence[Fraction], last: Fraction, claimed_rate: Fraction | None, tick: Fraction) -> Timeline:
    """Builds a timeline from presentation times.

    `times` are in seconds, sorted; `last` is the duration of the last frame (0 if unknown); `claimed_rate` is the rate
    that the file states, if any. Containers round times to `tick` seconds, often a millisecond. Therefore the claimed
    rate is used where it agrees with the times to within a tick at either end; otherwise (variable rate, no claim)
    the rate is count / duration.
    """
    total, span = len(times), times[-1] - times[0]
    if last <= 0 and total > 1:
        last = span / (total - 1)
    duration = span + last
    claim = claimed_rate if claimed_rate and claimed_rate > 0 else None
    if duration <= 0:
        rate = claim or DEFAULT_RATE
    elif claim and abs(total / claim - duration) <= min(2 * tick, 1 / (2 * claim)):
        rate = claim
    else:
        rate = total / duration
    return Timeline(total, _not_above(rate, total), _since_first(times))


def _since_first(times: Sequence[Fraction]) -> tuple[float, ...]:
    """Differences to the first time, each the float nearest to the exact value. Integers over a common denominator are
    ten times as fast for a long clip as subtracting Fractions."""
    denominator = math.lcm(*{t.denominator for t in times})
    numerators = [t.numerator * (denominator // t.denominator) for t in times]
    return tuple((n - numerators[0]) / denominator for n in numerators)


def from_rate(total: int, claimed_rate: Fraction | None) -> Timeline:
    """Builds the timeline of a file without timestamps: evenly spaced frames."""
    rate = claimed_rate if claimed_rate and 0 < claimed_rate <= MAX_RATE else DEFAULT_RATE
    return from_times([i / rate for i in range(total)], 1 / rate, rate, Fraction(0))


def shown_ms(delay: int) -> int:
    """How long browsers show a frame of a GIF or WebP animation, in ms: up to 10 ms is taken for a mistake."""
    return SHORT_MS if delay <= TOO_SHORT_MS else delay


def _not_above(rate: Fraction, total: int) -> float:
    """Converts the rate to a float for which total / fps is not below the true duration.

    With the opposite rounding a clip of exactly 20 s would last 19.999999999999996 s and lose a pair of frames.
    """
    fps = float(rate)
    while total / fps < total / rate:
        fps = math.nextafter(fps, 0.0)
    return fps
