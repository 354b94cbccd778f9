"""Decoding selected frames of a video file in one pass; only the selected frames are scaled.

There are two methods. *By time*: the packets are listed first, without decoding, so that every frame is known by its
presentation time. The decoder then seeks over ranges without a selected frame and skips H.264 frames that no other
frame refers to. A frame is taken only if it has the time of the selected packet. *By count*: every frame is decoded
and counted. This is always right, and the fallback when the first method does not find every frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import accumulate, chain
from typing import Any, cast

import av
import numpy as np
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.geometry import Size
from qwen2vl_demo.media.cropping import container_crop
from qwen2vl_demo.media.file_end import last_packet_is_whole
from qwen2vl_demo.media.file_type import decoder_options, no_video_stream, open_container, video_stream
from qwen2vl_demo.media.frame_filters import deinterlaced
from qwen2vl_demo.media.frames import Frames, FrameWriter, View
from qwen2vl_demo.media.packets import Packet, PacketMismatch, decode_ranges, packets_in_range, whole_packets
from qwen2vl_demo.media.source import MediaFile, MediaLimits
from qwen2vl_demo.media.timeline import Timeline, from_rate, from_times, shown_ms
from qwen2vl_demo.media.timestamps import Clock, Stamp, read_clock
from qwen2vl_demo.media.video_colour import Colour

# Codecs with one displayed frame per packet. VP8 has packets that are not displayed, MPEG-4 part 2 can pack two frames.
FRAME_PER_PACKET = {"h264", "hevc", "vp9", "av1", "mjpeg", "prores"}
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own ones leave transparency out
# Formats in which only decoding tells a whole packet from a damaged one
UNCHECKED = {"mpegts", "mpeg", "h264", "hevc", "mpegvideo"}
CLOCK_NOTICE = "Its clock jumps or repeats; the times of its frames were worked out from how long each lasts."
INTERLACED = (2, 3, 4, 5)  # AVFieldOrder: top or bottom field first, in either order of coding


class VideoFile:
    """A video file whose packets have been listed; `read` decodes selected frames."""

    timeline: Timeline  # as listed; `read` may find another one
    original_size: Size  # of a frame, cropped, upright, with square pixels; `read` may find larger frames

    def __init__(self, media: MediaFile, limits: MediaLimits) -> None:
        """Lists the packets and decodes the first frame.

        Raises UserError for a file without video or without frames and for one beyond the limits, and PyAV's errors
        otherwise.
        """
        self._media, self._limits = media, limits
        with open_container(media, limits) as container:
            stream, decoder = self._stream(container)
            self._format = container.format.name
            self._last_whole = self._at_rest(lambda: last_packet_is_whole(media.file, self._format, stream.id))
            self._rate = stream.average_rate or stream.guessed_rate
            self._untimed_rate = stream.guessed_rate or stream.average_rate  # the average of raw H.264 is always 25
            self._time_base = stream.time_base or Fraction(1, 1000)
            stated = Colour.of(decoder)
            number = container.streams.video.index(stream)
            self._packets, first = self._list_packets(container, stream, decoder)
            if first is None:
                raise self._no_frames()
            self._check_frame_size(first.height, first.width)
            crop = self._at_rest(
                lambda: container_crop(media.file, self._format, stream.id, number, first.height, first.width)
            )
            self._view = View.of(first, stream.sample_aspect_ratio, crop, stated)
            self._interlaced = first.interlaced_frame or decoder.field_order in INTERLACED
            codec = decoder.codec.canonical_name
        self.original_size = self._view.size_of(first)
        self._matrix_notice = Colour.of(first, stated).notice(first.height)
        self._skip_unreferenced = codec == "h264"  # for other codecs it is not faster, or not safe (HEVC sub-layers)
        shown = [i for i, p in enumerate(self._packets) if p.shown]  # in decoding order
        stamps = [Stamp(*self._packets[i][:3]) for i in shown]
        self._clock = self._read_clock(stamps)  # of the frames as listed, later of those that were decoded
        self._shown = [shown[i] for i in self._clock.order] if self._clock else shown  # in presentation order
        self.timeline = self._timeline(self._clock, len(shown))
        pts = {p.pts for p in self._packets}
        known = None not in pts and len(pts) == len(self._packets)
        # Where stamps cannot be believed, the order of the frames is what the decoder says.
        self._by_time = codec in FRAME_PER_PACKET and known and self._clock is not None and not self._clock.repaired

    @property
    def notices(self) -> tuple[str, ...]:
        """What was not read as the file says, as sentences that do not name it. Final after `read`."""
        repaired = self._clock is not None and self._clock.repaired
        return tuple(notice for notice in (self._matrix_notice, CLOCK_NOTICE if repaired else "") if notice)

    def read(
        self, timeline: Timeline, indices: Sequence[int], out: Frames, first: np.ndarray | None = None
    ) -> Timeline:
        """Decodes the frames `indices` (ascending, of `timeline`) into `out` (len(indices), h, w, 3) at its size.

        `first` (1, H, W, 3), if given, receives the first of these frames at another size. Returns the timeline of the
        frames that the file really has. If it differs from `timeline`, or if `original_size` changed, `out` is invalid:
        sample again from the returned one.
        """
        writers = [FrameWriter(out, self._view, self.original_size)]
        if first is not None:
            writers.append(FrameWriter(first, self._view, self.original_size))
        largest = self.original_size

        def write(slot: int, frame: av.VideoFrame) -> None:
            nonlocal largest
            self._check_frame_size(frame.height, frame.width)
            largest = max(largest, self._view.size_of(frame), key=lambda s: s[0] * s[1])
            for writer in writers if slot == 0 else writers[:1]:
                writer.write(slot, frame)

        found = timeline
        if not self._by_time or not self._read_by_time(_Selection(indices, timeline.total, write, self._interlaced)):
            self._by_time = False
            found = self._read_by_count(_Selection(indices, timeline.total, write, self._interlaced))
        self.original_size = largest
        return found

    def _stream(self, container: InputContainer) -> tuple[av.VideoStream, VideoCodecContext]:
        """The video stream and its decoder, set up."""
        stream = video_stream(container)
        if stream is None:
            raise no_video_stream(self._media)
        decoder = stream.codec_context
        if decoder is None:
            raise UserError(
                f"{self._media.label} is compressed with a codec that is not known here; "
                "convert it to MP4 (H.264) and send that."
            )
        self._check_frame_size(decoder.height, decoder.width)
        codec = decoder.codec.canonical_name
        if codec in ALPHA_DECODERS and stream.metadata.get("alpha_mode") == "1":
            decoder = cast(VideoCodecContext, VideoCodecContext.create(ALPHA_DECODERS[codec], "r"))
        decoder.options.update(decoder_options(self._limits))
        decoder.thread_type = "AUTO"
        return stream, decoder

    def _at_rest(self, look: Callable[[], Any]) -> Any:
        """What `look` finds in the file, whose position FFmpeg does not expect to change."""
        position = self._media.file.tell()
        try:
            return look()
        finally:
            self._media.file.seek(position)

    def _check_frame_size(self, height: int, width: int) -> None:
        if height * width > self._limits.max_video_frame_pixels:
            raise UserError(
                f"{self._media.label} has frames of {height}x{width} = {height * width} pixels, more than the limit of "
                f"{self._limits.max_video_frame_pixels}; make it smaller and send it again."
            )

    def _list_packets(
        self, container: InputContainer, stream: av.VideoStream, decoder: VideoCodecContext
    ) -> tuple[list[Packet], av.VideoFrame | None]:
        """All packets, and the first frame (for its size, rotation and colours)."""
        packets: list[Packet] = []
        first = None
        for packet in whole_packets(container, stream, self._last_whole):
            packets.append(
                Packet(packet.pts, packet.dts, packet.duration or 0, packet.is_keyframe, not packet.is_discard)
            )
            if len(packets) > self._limits.max_video_frames:
                raise UserError(
                    f"{self._media.label} has more frames than the limit of {self._limits.max_video_frames}; "
                    "cut it and send a shorter piece."
                )
            first = first or next(iter(_decode(decoder, packet)), None)
        return packets, first or next(iter(_decode(decoder, None)), None)

    def _read_clock(self, stamps: Sequence[Stamp]) -> Clock | None:
        if not stamps:
            return None
        if self._format == "gif":  # no clock that could jump, only delays, as long as its author wrote
            ms = self._time_base * 1000
            shown = [shown_ms(int(s.duration * ms)) for s in stamps]
            times = accumulate(shown[:-1], initial=0)
            return Clock(list(range(len(stamps))), [t / ms for t in times], shown[-1] / ms, repaired=False)
        return read_clock(stamps, self._time_base)

    def _timeline(self, clock: Clock | None, total: int) -> Timeline:
        if clock is None:
            return from_rate(total, self._untimed_rate)
        base = self._time_base
        return from_times([t * base for t in clock.times], clock.last * base, self._rate, base)

    def _read_by_count(self, selection: _Selection) -> Timeline:
        """Decodes every frame; returns the timeline of the frames that were decoded."""
        stamps: list[Stamp] = []  # in presentation order, as decoders return frames
        with open_container(self._media, self._limits) as container:
            stream, decoder = self._stream(container)
            for packet in chain(whole_packets(container, stream, self._last_whole), [None]):
                for frame in _decode(decoder, packet):
                    if self._is_damaged(frame):
                        continue
                    if len(stamps) in selection.wanted:
                        selection.take(len(stamps), frame)
                    stamps.append(Stamp(frame.pts, frame.dts, frame.duration or 0))
        if not stamps:
            raise self._no_frames()
        selection.finish()
        timed = all(s.pts is not None for s in stamps)
        self._clock = self._read_clock([Stamp(s.pts, s.pts, s.duration) if timed else s for s in stamps])
        return self._timeline(self._clock, len(stamps))

    def _read_by_time(self, selection: _Selection) -> bool:
        """Returns whether all frames were found."""
        position = {p.pts: i for i, p in enumerate(self._packets)}
        missing = {self._packets[self._shown[index]].pts: index for index in selection.wanted}
        try:
            with open_container(self._media, self._limits) as container:
                stream, decoder = self._stream(container)
                following = 0  # the packet that comes next without a seek
                for start, end in decode_ranges(self._packets, [position[pts] for pts in missing]):
                    if start > following:
                        key = self._packets[start]
                        container.seek(min(t for t in (key.pts, key.dts) if t is not None), stream=stream)
                        decoder.flush_buffers()
                    packets = whole_packets(container, stream, self._last_whole)
                    for packet in chain(packets_in_range(packets, position, start, end), [None]):
                        if packet is not None and self._skip_unreferenced:
                            decoder.skip_frame = "DEFAULT" if packet.pts in missing else "NONREF"
                        for frame in decoder.decode(packet):
                            if frame.pts in missing and not self._is_damaged(frame):
                                selection.take(missing.pop(frame.pts), frame)
                    following = end + 1
        except (av.FFmpegError, PacketMismatch):
            return False
        selection.finish()
        return not missing

    def _is_damaged(self, frame: av.VideoFrame) -> bool:
        return frame.is_corrupt and self._format in UNCHECKED

    def _no_frames(self) -> UserError:
        return UserError(
            f"{self._media.label} has no frame that can be decoded; convert it to MP4 (H.264) and send that."
        )


class _Selection:
    """Which of the decoded frames are written. Around an interlaced frame its neighbours are waited for."""

    def __init__(
        self, indices: Sequence[int], total: int, write: Callable[[int, av.VideoFrame], None], interlaced: bool
    ) -> None:
        self._slots = {index: slot for slot, index in enumerate(indices)}
        self._total, self._write, self._interlaced = total, write, interlaced
        self._held: dict[int, av.VideoFrame] = {}
        near = (-1, 0, 1) if interlaced else (0,)
        self.wanted = {i + n for i in indices for n in near if 0 <= i + n < total}

    def take(self, index: int, frame: av.VideoFrame) -> None:
        """Takes a wanted frame. They come in ascending order, mostly."""
        if not self._interlaced:
            self._write(self._slots.pop(index), frame)
            return
        self._held[index] = frame
        for near in (index - 1, index, index + 1):
            if near in self._slots and {max(0, near - 1), near, min(near + 1, self._total - 1)} <= self._held.keys():
                self._deinterlace(near)
        for old in [i for i in self._held if i < index - 1 and i not in self._slots]:
            del self._held[old]

    def finish(self) -> None:
        """Writes the frames whose neighbours never came."""
        for index in [i for i in self._slots if i in self._held]:
            self._deinterlace(index)

    def _deinterlace(self, index: int) -> None:
        frame = self._held[index]
        if frame.interlaced_frame:
            alike = [
                self._held[i]
                for i in (index - 1, index, index + 1)
                if i in self._held and _shape(self._held[i]) == _shape(frame)
            ]
            frame = deinterlaced(alike, alike.index(frame))
        self._write(self._slots.pop(index), frame)


def _shape(frame: av.VideoFrame) -> tuple[int, int, str]:
    return frame.height, frame.width, frame.format.name


def _decode(decoder: VideoCodecContext, packet: av.Packet | None) -> list[av.VideoFrame]:
    """The frames that the decoder returns for a packet (None: end of stream); none for a corrupt packet."""
    try:
        return decoder.decode(packet)
    except MemoryError:
        raise
    except av.FFmpegError:
        return []
