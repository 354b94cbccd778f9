"""FFmpeg's filters that a frame needs before it is scaled: deinterlacing and cropping."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import av.filter


@dataclass(frozen=True)
class Crop:
    """Pixels of the coded frame that are not shown, at each edge."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def __bool__(self) -> bool:
        return self != Crop()

    def fits(self, height: int, width: int) -> bool:
        """Whether something of a frame of this size remains."""
        edges = (self.top, self.bottom, self.left, self.right)
        return min(edges) >= 0 and self.top + self.bottom < height and self.left + self.right < width


def deinterlaced(frames: Sequence[av.VideoFrame], position: int) -> av.VideoFrame:
    """`frames[position]` with the lines of its second field replaced (BWDIF). The others are those shown just before
    and after it, from which still parts are told from moving ones; without them all is interpolated."""
    wanted = frames[position]
    try:
        found = list(_through("bwdif", "mode=send_frame:parity=auto:deint=interlaced", frames))
    except av.FFmpegError:  # a pixel format that it cannot take
        return wanted
    return found[position] if len(found) == len(frames) else wanted


def cropped(frame: av.VideoFrame, crop: Crop) -> av.VideoFrame:
    """The part of a frame that is shown; it shares the frame's memory."""
    height, width = frame.height - crop.top - crop.bottom, frame.width - crop.left - crop.right
    return next(_through("crop", f"w={width}:h={height}:x={crop.left}:y={crop.top}:exact=1", [frame]))


def _through(name: str, arguments: str, frames: Sequence[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """What a filter makes of consecutive frames of one size and format."""
    graph = av.filter.Graph()
    graph.threads = 1
    first = frames[0]
    source = graph.add_buffer(
        width=first.width, height=first.height, format=first.format, time_base=first.time_base or Fraction(1, 1000)
    )
    graph.link_nodes(source, graph.add(name, arguments), graph.add("buffersink")).configure()
    for frame in [*frames, None]:
        graph.vpush(frame)
        while True:
            try:
                yield graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                break
