"""When the frames of a clip are shown. Exact arithmetic only: no files, no decoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

UNKNOWN_RATE = Fraction(25)  # frames a second of a file that tells neither its rate nor any time


@dataclass(frozen=True)
class Timeline:
    """The frames of a clip: how many, how fast, and when each is shown."""

    total: int  # frames
    fps: float  # frames a second on average
    times: tuple[float, ...]  # s since the first frame, rising; (total,)


def from_times(times: Sequence[Fraction], last: Fraction, claimed_rate: Fraction | None, tick: Fraction) -> Timeline:
    """From the frames' times in s, how long the last one is shown (0: unknown) and the file's claimed rate, if any.

    Times are rounded to `tick` s, a millisecond in many containers. So the claim is believed where it agrees with
    them within a tick at either end; otherwise (variable rate, no claim) the rate is count / duration.
    """
    total, span = len(times), times[-1] - times[0]
    if last <= 0 and total > 1:
        last = span / (total - 1)
    duration = span + last
    claim = claimed_rate if claimed_rate and claimed_rate > 0 else None
    if duration <= 0:
        rate = claim or UNKNOWN_RATE
    elif claim and abs(total / claim - duration) <= min(2 * tick, 1 / (2 * claim)):
        rate = claim
    else:
        rate = total / duration
    return Timeline(total, _not_above(rate, total), _since_first(times))


def _since_first(times: Sequence[Fraction]) -> tuple[float, ...]:
    """As floats, each the nearest to the exact difference: whole numbers over one denominator, which Fractions of a
    long clip would each find anew, at ten times the cost."""
    below = math.lcm(*{t.denominator for t in times})
    whole = [t.numerator * (below // t.denominator) for t in times]
    return tuple((t - whole[0]) / below for t in whole)


def from_rate(total: int, claimed_rate: Fraction | None) -> Timeline:
    """For a file whose frames bear no times: evenly spread."""
    rate = claimed_rate if claimed_rate and claimed_rate > 0 else UNKNOWN_RATE
    return from_times([i / rate for i in range(total)], 1 / rate, rate, Fraction(0))


def _not_above(rate: Fraction, total: int) -> float:
    """The rate as a float which gives total / fps >= the true duration.

    Rounded the other way, a clip of exactly 20 s would last 19.999999999999996 s and lose a pair of frames.
    """
    fps = float(rate)
    while total / fps < total / rate:
        fps = math.nextafter(fps, 0.0)
    return fps
