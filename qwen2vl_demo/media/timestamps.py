"""Repairing the timestamps of a clip: which frame is shown when, where the file's clock cannot be believed.

Clips come with pieces that were joined (the clock restarts), with gaps of hours, with one wild stamp, with repeated
stamps and without any. All arithmetic is in ticks of the stream's time base, in exact numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby, pairwise
from operator import le, sub
from statistics import median_low
from typing import NamedTuple

Ticks = int | Fraction

JUMP_SECONDS = 10  # a longer pause is a jump of the clock if it is also ...
JUMP_FRAMES = 100  # ... longer than this many usual steps, unless the file says that the frame is shown that long ...
PAUSE_SECONDS = 60  # ... which is believed up to here
REORDERED = 17  # frames; without decoding times, a stamp may lie this far back (H.264 reorders 16 frames at most)


class Stamp(NamedTuple):
    """What a file says about the time of one frame, in ticks. None or 0 where it says nothing."""

    pts: int | None  # presentation time
    dts: int | None  # decoding time; ascends in an intact file
    duration: int = 0


@dataclass(frozen=True)
class Clock:
    """The frames of a clip in the order in which they are shown, and when."""

    order: list[int]  # indices of the stamps in presentation order
    times: list[Ticks]  # in that order, ascending
    last: Ticks  # duration of the last frame; 0 if unknown
    repaired: bool  # the file's own stamps could not all be believed


def read_clock(stamps: Sequence[Stamp], tick: Fraction) -> Clock | None:
    """The times of the frames with these stamps, which are in decoding order; `tick` is in seconds.

    A step back begins a new piece, which follows the one before it after one usual step. A jump forward becomes a usual
    step. Frames with the same stamp share the time until the next one. None if no two frames have different times; then
    only the frame rate can tell.
    """
    if (intact := _intact(stamps, tick)) is not None:
        return intact
    found = _complete(stamps)
    if found is None or len({pts for pts, _ in found}) < min(2, len(found)):
        return None
    known = found
    step = _usual_step(known)
    jump = max(JUMP_SECONDS / tick, Fraction(JUMP_FRAMES * step))
    durations = [s.duration for s in stamps]
    order = sorted(range(len(known)), key=lambda i: known[i][0])
    plain: list[Ticks] = [known[i][0] for i in order]
    last: Ticks = durations[order[-1]] if durations[order[-1]] <= jump else step
    steps = [b - a for a, b in pairwise(plain)]
    ascending = all(b[1] >= a[1] for a, b in pairwise(known))
    if ascending and all(0 < s <= jump for s in steps):
        return Clock(order, plain, last, repaired=False)

    known = _without_outliers(known, step)
    order = []
    times: list[Ticks] = []
    following: Ticks = known[0][0]
    for piece in _pieces(known, step):
        piece.sort(key=lambda i: known[i][0])
        for before, i in zip([None, *piece], piece, strict=False):
            if before is not None:
                gap = known[i][0] - known[before][0]
                # A duration belongs to the decoding times, which jump some frames away from where the others do.
                if gap > jump and not _is_pause(gap, durations[max(0, before - REORDERED) : before + REORDERED], tick):
                    gap = step
                following = times[-1] + gap
            order.append(i)
            times.append(following)
        following = times[-1] + step
    spread = _spread(times, step)
    return Clock(order, spread, last, repaired=[t - spread[0] for t in spread] != [t - plain[0] for t in plain])


def _intact(stamps: Sequence[Stamp], tick: Fraction) -> Clock | None:
    """The clock of a file in which nothing is missing, repeated or far from the rest, which most are: in a third of the
    time. None for any other file."""
    pts = [s.pts for s in stamps if s.pts is not None]
    dts = [s.dts for s in stamps if s.dts is not None]
    times = sorted(pts)
    steps = list(map(sub, times[1:], times))
    if len(pts) < len(stamps) or not steps or min(steps) <= 0 or not all(map(le, dts, dts[1:])):
        return None
    order = sorted(range(len(pts)), key=pts.__getitem__)
    last = stamps[order[-1]].duration
    return Clock(order, list(times), last, repaired=False) if max(*steps, last) * tick <= JUMP_SECONDS else None


def _is_pause(gap: int, durations: Sequence[int], tick: Fraction) -> bool:
    """Whether a long gap is one that the durations of the frames there confirm, or do not deny."""
    shown = max(durations)
    return gap <= PAUSE_SECONDS / tick and (not shown or 10 * shown >= 9 * gap)


def _complete(stamps: Sequence[Stamp]) -> list[tuple[int, int]] | None:
    """(presentation time, clock) of each frame, without gaps. The clock ascends except where it was set back. None if
    there is nothing to go by."""
    if all(s.pts is not None for s in stamps):
        pts = [s.pts or 0 for s in stamps]
    elif all(s.dts is not None for s in stamps):  # AVI with B-frames: as many, as far apart
        pts = [s.dts or 0 for s in stamps]
    else:
        some = [(i, s.pts) for i, s in enumerate(stamps) if s.pts is not None]
        if len(some) < 2:
            return None
        pts = _interpolated(some, len(stamps))
    if all(s.dts is not None for s in stamps):
        return list(zip(pts, [s.dts or 0 for s in stamps], strict=True))
    known = [s.dts for s in stamps if s.dts is not None]
    if 2 * len(known) > len(stamps):  # the first ones may lack it
        clock, at = [], known[0]
        for s in stamps:
            at = at if s.dts is None else s.dts
            clock.append(at)
        return list(zip(pts, clock, strict=True))
    # The time up to which all was shown: it steps back only where a stamp lies further back than frames are reordered.
    ascending = sorted(set(pts))
    reach = REORDERED * _median_step(ascending)
    clock, at = [], pts[0]
    for t in pts:
        at = t if t < at - reach else max(at, t)
        clock.append(at)
    return list(zip(pts, clock, strict=True))


def _interpolated(some: Sequence[tuple[int, int]], total: int) -> list[int]:
    """Times for `total` frames of which `some` (index, time) are known, evenly spaced between two of these."""
    result = []
    at = 0
    for i in range(total):
        while at < len(some) - 2 and some[at + 1][0] <= i:
            at += 1
        (i0, t0), (i1, t1) = some[at], some[at + 1]
        result.append(t0 + (t1 - t0) * (i - i0) // (i1 - i0))
    return result


def _usual_step(known: Sequence[tuple[int, int]]) -> int:
    """The median distance between two frames, at least 1 tick."""
    steps = [b[1] - a[1] for a, b in pairwise(known) if b[1] > a[1]]
    return median_low(steps) if steps else _median_step(sorted({pts for pts, _ in known}))


def _median_step(ascending: Sequence[int]) -> int:
    return median_low([b - a for a, b in pairwise(ascending)]) if len(ascending) > 1 else 1


def _without_outliers(known: list[tuple[int, int]], step: int) -> list[tuple[int, int]]:
    """Single stamps that lie elsewhere than both neighbours, which fit each other, are set between them."""
    result = list(known)
    for i in range(1, len(result) - 1):
        (_, before), (pts, clock), (_, after) = result[i - 1], result[i], result[i + 1]
        if not before <= clock <= after and 0 < after - before <= 4 * step:
            middle = (before + after) // 2
            result[i] = (middle + (pts - clock), middle)
    return result


def _pieces(known: Sequence[tuple[int, int]], step: int) -> list[list[int]]:
    """The frames in runs between which the clock was set back. A step back by less than half a frame is inaccuracy."""
    pieces: list[list[int]] = [[0]]
    for i in range(1, len(known)):
        if 2 * (known[i - 1][1] - known[i][1]) >= step:
            pieces.append([])
        pieces[-1].append(i)
    return pieces


def _spread(times: Sequence[Ticks], step: Ticks) -> list[Ticks]:
    """Equal times in a row are spread evenly until the next time; at the end with the step before."""
    result: list[Ticks] = []
    for time, group in groupby(times):
        run = sum(1 for _ in group)
        following = len(result) + run
        if following < len(times):
            step = times[following] - time if run == 1 else Fraction(times[following] - time, run)
        result.append(time)
        result.extend(time + i * step for i in range(1, run))
    return result
