"""Clips as phones, cameras, screen recorders and editors write them. All are made with PyAV's own encoders."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from typing import Any

import av
import av.video.reformatter
import numpy as np

from qwen2vl_demo.bench.samples import COLOURS, GREYS, SIZE, Expected, Quadrants, Sample, greys, quadrants

RATE = 10
LAST: Quadrants = (COLOURS[3], COLOURS[2], COLOURS[1], COLOURS[0])
KR_KB = {"601": (0.299, 0.114), "709": (0.2126, 0.0722), "2020": (0.2627, 0.0593)}  # ITU-R BT.601, 709 and 2020
CODES = {"709": 1, "601": 6, "ycgco": 8, "2020": 9, "2020cl": 10, "ictcp": 14}  # ITU-T H.273, table 4


def yuv(colours: Quadrants, matrix: str, size: tuple[int, int] = SIZE, bits: int = 8) -> av.VideoFrame:
    """A frame of limited range 4:2:0 in which the four colours have the values that the standard's matrix gives."""
    kr, kb = KR_KB[matrix]
    height, width = size
    rgb = quadrants(colours, size).astype(float) / 255
    y = rgb @ np.array([kr, 1 - kr - kb, kb])
    planes = [16 + 219 * y, 128 + 112 * (rgb[..., 2] - y) / (1 - kb), 128 + 112 * (rgb[..., 0] - y) / (1 - kr)]
    planes = [planes[0], planes[1][::2, ::2], planes[2][::2, ::2]]
    frame = av.VideoFrame(width, height, "yuv420p" if bits == 8 else "yuv420p10le")
    for plane, values in zip(frame.planes, planes, strict=True):
        whole = np.rint(values * 2 ** (bits - 8)).astype(np.uint8 if bits == 8 else "<u2")
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        packed = whole.view(np.uint8).reshape(plane.height, -1)
        rows[:, : packed.shape[1]] = packed
        plane.update(rows.tobytes())
    return frame


def ordinary(count: int = 10, size: tuple[int, int] = SIZE) -> list[av.VideoFrame]:
    """Frames in BT.601, or from 720 lines on BT.709; the last one has other colours."""
    matrix = "709" if size[0] >= 720 else "601"
    return [yuv(COLOURS, matrix, size) for _ in range(count - 1)] + [yuv(LAST, matrix, size)]


def encoded(
    frames: Sequence[av.VideoFrame],
    container: str = "mp4",
    codec: str = "libx264",
    *,
    rate: int = RATE,
    stamps: Callable[[int], int] | None = None,
    options: dict[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    **properties: Any,
) -> bytes:
    """A file of these frames. `stamps` gives the presentation time of packet n in its own time base of 1/`rate` s."""
    file = io.BytesIO()
    fast = {"preset": "ultrafast", "bf": "0", "crf": "12"} if codec in ("libx264", "libx265") else {}
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    with av.open(file, "w", format=container) as box:
        stream: Any = box.add_stream(codec, rate=Fraction(rate), options={**fast, **quiet, **(options or {})})
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, pix_fmt
        for name, value in properties.items():
            setattr(stream.codec_context, name, value)
        base, number = Fraction(1, rate), 0
        for index, frame in enumerate([*frames, None]):
            if frame is not None:
                frame.pts, frame.time_base = index, base
            for packet in stream.encode(frame):
                if stamps is not None:
                    packet.pts = packet.dts = stamps(number)
                    packet.time_base = base
                number += 1
                box.mux(packet)
    return file.getvalue()


def clip(frames: int = 10, last_time: float | None = None, **more: Any) -> list[Expected]:
    """What `ordinary` must be read as. With two frames a second and few frames, sampling takes the first and last."""
    time = (frames - 1) / RATE if last_time is None else last_time
    return [Expected(**{"last": LAST, "kind": "video", "frames": frames, "times": (0.0, time), **more})]


def alpha(container: str, codec: str) -> bytes:
    """The left half of each frame is transparent."""
    rgba = np.dstack([quadrants(), np.where(np.arange(SIZE[1]) < SIZE[1] // 2, 0, 255)[None].repeat(SIZE[0], 0)])
    frame = av.VideoFrame.from_ndarray(rgba.astype(np.uint8), format="rgba")
    pix_fmt = "argb" if codec == "qtrle" else "yuva420p"
    options = {"auto-alt-ref": "0"} if codec == "libvpx" else {}  # it cannot encode alpha otherwise
    return encoded([frame.reformat(format=pix_fmt)] * 10, container, codec, pix_fmt=pix_fmt, options=options)


def joined() -> bytes:
    """Two transport streams, one behind the other as `cat` does: the clock starts again."""
    return encoded(ordinary(), "mpegts") * 2


def resized() -> bytes:
    """A raw stream whose size doubles in the middle."""
    return encoded(ordinary(5), "h264") + encoded(ordinary(5, (224, 336)), "h264")


def m2ts() -> bytes:
    """Packets of 188 bytes with four bytes of time before each, as Blu-ray and AVCHD have them."""
    stream = encoded(ordinary(), "mpegts")
    return b"".join(b"\0\0\0\0" + stream[at : at + 188] for at in range(0, len(stream), 188))


def interlaced() -> bytes:
    """Fields of two moments in one frame: the odd rows are of the next colours."""
    rows = (np.arange(SIZE[0]) % 2 == 0)[:, None, None]
    bright, dark = quadrants((GREYS[3],) * 4), quadrants((GREYS[0],) * 4)
    frame = av.VideoFrame.from_ndarray(np.where(rows, bright, dark).astype(np.uint8), format="rgb24")
    still = frame.reformat(format="yuv420p", interpolation=av.video.reformatter.Interpolation.POINT)
    return encoded([still] * 10, "mp4", "libx264", options={"flags": "+ildct+ilme", "x264-params": "interlaced=1"})


def hdr(transfer: int) -> bytes:
    """White at 203 cd/m2, the reference white of ITU-R BT.2408: 58 % of PQ, 75 % of HLG."""
    level = {16: 0.5807, 18: 0.75}[transfer]
    grey = round(level * 255)
    frame = yuv(greys(grey, grey, grey, grey), "2020", bits=10)
    return encoded(
        [frame] * 10, "mp4", "libx265", pix_fmt="yuv420p10le", color_primaries=9, color_trc=transfer, colorspace=9,
        options={"x265-params": "log-level=none"},
    )  # fmt: skip


def tagged(matrix: str, code: int, size: tuple[int, int] = SIZE) -> bytes:
    return encoded([yuv(COLOURS, matrix, size)] * 10, colorspace=code)


def clip_samples() -> list[Sample]:
    return [*_containers(), *_alpha(), *_matrices(), *_clocks(), *_odd_streams()]


def _containers() -> list[Sample]:
    made: list[tuple[str, str, str, str]] = [
        ("plain.mp4", "mp4", "libx264", "yuv420p"),
        ("plain.mov", "mov", "libx264", "yuv420p"),
        ("hevc.mp4", "mp4", "libx265", "yuv420p"),
        ("plain.mkv", "matroska", "libx264", "yuv420p"),
        ("plain.webm", "webm", "libvpx-vp9", "yuv420p"),
        ("vp8.webm", "webm", "libvpx", "yuv420p"),
        ("plain.avi", "avi", "mpeg4", "yuv420p"),
        ("plain.ts", "mpegts", "libx264", "yuv420p"),
        ("raw.h264", "h264", "libx264", "yuv420p"),
        ("raw.h265", "hevc", "libx265", "yuv420p"),
        ("plain.mxf", "mxf", "mpeg2video", "yuv420p"),
        ("plain.ivf", "ivf", "libvpx-vp9", "yuv420p"),
        ("plain.mjpeg", "mjpeg", "mjpeg", "yuvj420p"),
        ("plain.y4m", "yuv4mpegpipe", "rawvideo", "yuv420p"),
        ("prores.mov", "mov", "prores_ks", "yuv422p10le"),
    ]
    samples = []
    for name, container, codec, pix_fmt in made:
        line = "1.11" if container in ("h264", "hevc", "mxf", "ivf", "mjpeg", "yuv4mpegpipe") else "1.6"
        rate = 25 if container in ("mxf", "h264", "hevc", "mjpeg") else RATE  # MXF has no other, raw streams no rate
        time = 9 / rate
        expected = clip(tolerance=16, last_time=time)
        make = partial(_converted, container, codec, pix_fmt, rate)
        samples.append(Sample(name, line, f"{codec} in {container}", make, "ffprobe -count_frames, Chromium", expected))
    complete = Sample("camera.m2ts", "1.11", "a whole M2TS", m2ts, "ffprobe -count_frames", clip(tolerance=16))
    return [*samples, complete]


def _converted(container: str, codec: str, pix_fmt: str, rate: int) -> bytes:
    frames = [frame if pix_fmt == "yuv420p" else frame.reformat(format=pix_fmt) for frame in ordinary()]
    return encoded(frames, container, codec, pix_fmt=pix_fmt, rate=rate)


def _alpha() -> list[Sample]:
    white = (255, 255, 255)
    over_white: Quadrants = (white, COLOURS[1], white, COLOURS[3])
    source = "ffmpeg -c:v libvpx-vp9 over white, Chromium on a white page"
    expected = [Expected(colours=over_white, kind="video", frames=10, tolerance=16)]
    made = [("vp9.webm", "webm", "libvpx-vp9"), ("vp8.webm", "webm", "libvpx"), ("alpha.mov", "mov", "qtrle")]
    return [
        Sample(f"alpha-{name}", "1.4", f"{codec} with alpha", partial(alpha, box, codec), source, expected)
        for name, box, codec in made
    ]


def _matrices() -> list[Sample]:
    sizes = {"sd": (576, 720), "hd": (720, 1280)}
    samples = []
    for name, size in sizes.items():
        matrix = "709" if size[0] >= 720 else "601"
        for tag in (2, CODES[matrix]):
            about = f"{size[0]} lines, matrix {'not given' if tag == 2 else matrix}"
            expected = [Expected(size=size, kind="video", frames=10, tolerance=6)]
            make = partial(tagged, matrix, tag, size)
            samples.append(Sample(f"{name}-{tag}.mp4", "1.5", about, make, f"ITU-R BT.{matrix}; Chromium", expected))
    for matrix in ("ycgco", "2020cl", "ictcp"):
        about = f"matrix {matrix}, which FFmpeg's scaler refuses"
        expected = [Expected(colours=None, kind="video", frames=10)]
        make = partial(tagged, "709", CODES[matrix])
        samples.append(Sample(f"{matrix}.mp4", "1.5", about, make, "ffmpeg decodes all frames", expected))
    wide = [Expected(kind="video", frames=10, tolerance=6)]
    samples.append(Sample("2020.mp4", "1.5", "matrix of BT.2020", partial(tagged, "2020", 9), "ITU-R BT.2020", wide))
    # A curve that leaves room for highlights maps this white to less than 255.
    for name, transfer in (("hdr10", 16), ("hlg", 18)):
        white = [Expected(colours=greys(255, 255, 255, 255), kind="video", frames=10, tolerance=30)]
        about = "white of a phone's HDR"
        samples.append(Sample(f"{name}.mp4", "1.9", about, partial(hdr, transfer), "ITU-R BT.2408, table 1", white))
    return samples


def _clocks() -> list[Sample]:
    """Times are those of the frames that exist, one after the other."""
    source = "ffprobe -count_frames; ffmpeg's concat of the same frames"

    def wild(function: Callable[[int], int]) -> Callable[[], bytes]:
        return lambda: encoded(ordinary(), "matroska", stamps=function)

    return [
        Sample("joined.ts", "1.6", "two streams, joined with cat", joined, source, clip(20, tolerance=16)),
        Sample("jump.mkv", "1.6", "a jump of an hour", wild(lambda n: n if n < 5 else n + 36_000), source, clip()),
        Sample("last.mkv", "1.6", "one wild last stamp", wild(lambda n: n if n < 9 else 200_000), source, clip()),
        Sample("zero.mkv", "1.6", "all stamps are zero", wild(lambda n: 0), source, clip(last_time=9 / RATE)),
        Sample("repeat.mkv", "1.6", "each stamp twice", wild(lambda n: n - n % 2), source, clip()),
        Sample("late.mkv", "1.6", "a clock that begins at 1,000 s", wild(lambda n: n + 10_000), source, clip()),
    ]


def _odd_streams() -> list[Sample]:
    woven = [Expected(colours=None, kind="video", frames=10)]
    return [
        Sample(
            "size.h264",
            "1.11",
            "a size that changes",
            resized,
            "ffprobe, which names the larger size",
            [Expected(size=(224, 336), kind="video", frames=10)],
        ),
        Sample("combs.mp4", "1.11", "interlaced", interlaced, "ffmpeg -vf bwdif", woven),
    ]
