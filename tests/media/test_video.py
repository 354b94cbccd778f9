"""Clips: every frame shows its own number as bars, so that a sampled index can be verified by reading the frame."""

import contextlib
import itertools
import os
import struct
import warnings
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import PIL.Image
import pytest
from drawn_clips import HEIGHT, WIDTH, check_numbers, drawn, number_in, read, sentence, write

from qwen2vl_demo import geometry
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import ENDINGS, FileType, MediaLimits, identify_file, kind_of, timeline
from qwen2vl_demo.media import packets as packet_ranges
from qwen2vl_demo.media import video_decoding as decoding
from qwen2vl_demo.media.frames import SCALING
from qwen2vl_demo.media.packets import Packet, decode_ranges


def write_sound(path: Path, codec: str, video: bool = False) -> Path:
    with av.open(str(path), "w") as box:
        stream = box.add_stream(codec, rate=48_000)
        for _ in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate = 48_000
            for ready in av.AudioResampler(stream.format, "mono", 48_000, stream.frame_size or 1024).resample(frame):
                box.mux(stream.encode(ready))
        box.mux(stream.encode())
    return path


# Containers and codecs

CONTAINERS = {
    "h264.mp4": {"codec": "libx264"},
    "h264.mov": {"codec": "libx264"},
    "h264.mkv": {"codec": "libx264"},
    "h264.ts": {"codec": "libx264"},
    "h264.flv": {"codec": "libx264"},
    "fragments.mp4": {"codec": "libx264"},
    "hevc.mp4": {"codec": "libx265"},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg4_b.mp4": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mpeg4_b.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mjpeg.avi": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
    "ffv1.mkv": {"codec": "ffv1"},
    "prores.mov": {"codec": "prores", "pixel_format": "yuv422p10le"},
    "mpeg2.mpg": {"codec": "mpeg2video"},
    "wmv2.wmv": {"codec": "wmv2"},
    "vp8.webm": {"codec": "libvpx", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "av1.webm": {"codec": "libsvtav1", "options": {"preset": "12", "svtav1-params": "lp=1"}},
    "moving.gif": {"codec": "gif", "pixel_format": "rgb8"},
}


def encodes(codec: str) -> bool:
    try:
        av.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_ending_is_found_from_the_content(tmp_path: Path, name: str) -> None:
    """The file is called .bin; a fragmented MP4 and a Matroska file say what they are in their first 64 bytes."""
    if not encodes(str(CONTAINERS[name]["codec"])):
        pytest.skip(f"this FFmpeg cannot write {CONTAINERS[name]['codec']}")
    data = write(tmp_path / name, count=4, **CONTAINERS[name]).read_bytes()  # type: ignore[arg-type]
    (tmp_path / "a.bin").write_bytes(data)
    for source in (data, tmp_path / "a.bin"):
        assert identify_file(source) == FileType("video", name.rpartition(".")[2])
        assert identify_file(source).ending in ENDINGS


def test_a_quicktime_file_may_begin_without_a_brand(tmp_path: Path) -> None:
    """Older files have no ftyp atom: they begin with the movie or its data."""
    data = write(tmp_path / "a.mov", count=4).read_bytes()
    assert data[4:8] == b"ftyp"
    assert identify_file(b"\0\0\0\x08wide" + data[int.from_bytes(data[:4], "big") :]) == FileType("video", "mov")


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_sampled_frames_are_the_ones_it_says(tmp_path: Path, name: str) -> None:
    """50 frames at 25 a second are 2 s; 2 frames a second make 4: linspace(0, 49, 4) rounded is 0, 16, 33, 49."""
    if not encodes(str(CONTAINERS[name]["codec"])):
        pytest.skip(f"this FFmpeg cannot write {CONTAINERS[name]['codec']}")
    path = write(tmp_path / name, **CONTAINERS[name])  # type: ignore[arg-type]
    assert kind_of(path) == "video"
    for source in (path, str(path), path.read_bytes()):
        clip = read(source)
        check_numbers(clip)
        assert clip.indices == (0, 16, 33, 49)
        assert clip.total_frames == 50
        assert clip.source_fps == pytest.approx(25, rel=1e-6)
        assert clip.timestamps == pytest.approx([0, 0.64, 1.32, 1.96], abs=0.0011)  # Matroska rounds to milliseconds
        assert clip.original_size == (HEIGHT, WIDTH)


def test_the_content_and_not_the_name_decides(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mkv")
    os.rename(path, tmp_path / "clip.gif")
    check_numbers(read(tmp_path / "clip.gif"))


def test_more_frames_a_second_and_a_cap(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", count=100)  # 4 s
    for fps, expected in ((5, 20), (25, 100), (100, 100), (0.1, 4)):
        clip = read(path, fps=fps)
        check_numbers(clip)
        assert len(clip.frames) == expected
    assert len(read(path, fps=25, max_frames=7).frames) == 6
    assert len(read(path, min_frames=15).frames) == 16


def test_the_caller_chooses_the_size(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4")
    calls = []

    def resize(count: int, size: geometry.Size) -> geometry.Size:
        calls.append((count, size))
        return 28, 84

    clip = read(path, resize=resize)
    check_numbers(clip)
    assert clip.frames.shape == (4, 28, 84, 3)
    assert calls == [(4, (HEIGHT, WIDTH))]


def test_only_sampled_frames_are_scaled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    painted = []
    paint = decoding.FrameWriter.write
    monkeypatch.setattr(decoding.FrameWriter, "write", lambda *a: (painted.append(a[1]), paint(*a)))
    for codec in ("h264.mkv", "vp8.webm"):
        painted.clear()
        read(write(tmp_path / codec, **CONTAINERS[codec]))  # type: ignore[arg-type]
        assert sorted(painted) == [0, 1, 2, 3]


# Short and odd clips


def test_clips_of_one_to_five_frames(tmp_path: Path) -> None:
    """A single frame fills a pair; of three the last is repeated; five give the four that are spread over them."""
    expected = {1: (0, 0), 2: (0, 1), 3: (0, 1, 2, 2), 4: (0, 1, 2, 3), 5: (0, 1, 3, 4)}
    for name in ("h264.mp4", "vp9.webm", "mpeg4.avi", "h264.mkv"):
        for count, indices in expected.items():
            clip = read(write(tmp_path / name, count=count, **CONTAINERS[name]))  # type: ignore[arg-type]
            check_numbers(clip)
            assert clip.indices == (tuple(np.linspace(0, 4, 4).round().astype(int)) if count == 5 else indices)
            assert clip.total_frames == count


def test_a_still_gif_and_a_still_webp_are_clips_of_one_frame(tmp_path: Path) -> None:
    for name in ("still.gif", "still.webp"):
        PIL.Image.fromarray(drawn(5)).save(tmp_path / name)
        clip = read(tmp_path / name)
        assert clip.indices == (0, 0) and clip.total_frames == 1
        assert number_in(clip.frames[0]) == number_in(clip.frames[1]) == 5


def test_a_gif_with_odd_delays_and_transparency(tmp_path: Path) -> None:
    """Six frames shown 100, 300, 100, 100, 200, 200 ms: they begin at 0, 0.1, 0.4, 0.5, 0.6, 0.8 s and last 1 s."""
    frames = [PIL.Image.fromarray(drawn(i)) for i in range(6)]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[100, 300, 100, 100, 200, 200])
    clip = read(path, fps=6)
    check_numbers(clip)
    assert clip.timestamps == pytest.approx([0, 0.1, 0.4, 0.5, 0.6, 0.8])
    assert clip.source_fps == pytest.approx(6)
    clear = PIL.Image.new("P", (40, 40), 0)
    clear.putpalette([0, 0, 0, 255, 0, 0])
    clear.paste(1, (0, 0, 20, 40))
    other = clear.transpose(PIL.Image.Transpose.FLIP_TOP_BOTTOM)
    other.putpixel((0, 0), 0)
    clear.save(path, save_all=True, append_images=[other], transparency=0, disposal=2, duration=100)
    frame = read(path).frames[0]
    assert frame[20, 10].tolist() == [255, 0, 0] and frame[20, 30].tolist() == [255, 255, 255]


def test_an_animated_webp(tmp_path: Path) -> None:
    frames = [PIL.Image.fromarray(drawn(i)) for i in range(9)]
    path, shown = tmp_path / "a.webp", [100, 300, 100, 100, 200, 200, 500, 100, 400]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=shown, lossless=True)
    assert kind_of(path) == "video"
    clip = read(path, resize=lambda n, s: (s[0] // 2, s[1] // 2))
    check_numbers(clip)
    assert clip.indices == (0, 3, 5, 8)  # 2 s at 2 a second: 4 frames, linspace(0, 8, 4)
    assert clip.timestamps == pytest.approx([0, 0.5, 0.8, 1.6])
    assert clip.source_fps == pytest.approx(4.5) and clip.frames.shape[1:3] == (HEIGHT // 2, WIDTH // 2)
    data = path.read_bytes()
    for part in (0.3, 0.6, 0.9):
        path.write_bytes(data[: int(len(data) * part)])
        assert sentence(path).startswith("a.webp ")


def test_transparent_film_is_shown_on_white(tmp_path: Path) -> None:
    picture = np.zeros((64, 64, 4), np.uint8)
    picture[:, :32] = (200, 0, 0, 255)
    frame = read(write(tmp_path / "a.mov", "qtrle", pictures=[picture] * 4, pixel_format="argb")).frames[0]
    assert frame[30, 10].tolist() == [200, 0, 0] and frame[30, 50].tolist() == [255, 255, 255]


def test_variable_frame_rate(tmp_path: Path) -> None:
    """30 frames 20 ms apart, then 20 frames 200 ms apart: 50 frames, 4.6 s (the last as long as the one before)."""
    times = [20 * i for i in range(30)] + [600 + 200 * i for i in range(20)]
    for name in ("a.mp4", "a.mkv"):
        path = write(tmp_path / name, times=times, time_base=Fraction(1, 1000))
        clip = read(path)
        check_numbers(clip)
        assert clip.timestamps == pytest.approx([times[i] / 1000 for i in clip.indices], abs=1e-6)
        assert clip.source_fps == pytest.approx(50 / 4.6, rel=0.05)
        assert len(clip.frames) == 8  # 4.6 s x 2 = 9.2, in pairs


def test_a_clip_that_does_not_begin_at_zero(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", times=[5000 + 40 * i for i in range(50)], time_base=Fraction(1, 1000))
    clip = read(path)
    check_numbers(clip)
    assert clip.timestamps == pytest.approx([0, 0.64, 1.32, 1.96])


# Time arithmetic


@pytest.mark.parametrize(
    ("fps", "count", "wanted"),
    [(24, 240, 20), (25, 250, 20), (30, 300, 20), (Fraction(30000, 1001), 300, 20), (7, 70, 20)],
)
def test_rounded_timestamps_do_not_cost_a_pair(fps: Fraction, count: int, wanted: int) -> None:
    """10 s x 2 frames are 20. Summing milliseconds that were rounded down gives 9.999 s, hence 19, hence 18."""
    times = [Fraction(int(1000 * i / fps), 1000) for i in range(count)]
    line = timeline.from_times(times, Fraction(int(1000 / fps), 1000), Fraction(fps), Fraction(1, 1000))
    assert line.fps == pytest.approx(float(fps))
    assert geometry.video_frame_count(count, line.fps) == wanted


@pytest.mark.parametrize("total", range(1, 400, 7))
def test_the_rate_never_makes_the_clip_shorter(total: int) -> None:
    """total / (total / 20) must not come out as 19.999999999999996."""
    line = timeline.from_times(
        [Fraction(20 * i, total) for i in range(total)], Fraction(20, total), None, Fraction(1, 1000)
    )
    assert total / line.fps >= 20
    assert line.fps == pytest.approx(total / 20, rel=1e-12)


def test_a_false_claim_about_the_rate_is_not_believed() -> None:
    times = [Fraction(i, 10) for i in range(100)]
    tick = Fraction(1, 100)
    assert timeline.from_times(times, Fraction(1, 10), Fraction(90), tick).fps == pytest.approx(10)
    assert timeline.from_times(times[:1], Fraction(0), None, tick).fps == 25
    assert timeline.from_times([Fraction(0)] * 3, Fraction(0), Fraction(12), tick).fps == 12
    assert timeline.from_rate(3, None).times == (0, 0.04, 0.08)


# By time and by count: the fast way gives what the plain way gives


@pytest.mark.parametrize("name", ["h264.mp4", "h264.mkv", "h264.ts", "hevc.mp4", "vp9.webm", "mjpeg.avi", "av1.webm"])
@pytest.mark.parametrize("max_frames", [4, 10, 400])
def test_seeking_and_skipping_change_no_pixel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, max_frames: int
) -> None:
    if not encodes(str(CONTAINERS[name]["codec"])):
        pytest.skip(f"this FFmpeg cannot write {CONTAINERS[name]['codec']}")
    path = write(tmp_path / name, count=200, **CONTAINERS[name])  # type: ignore[arg-type]
    counted = []
    by_count = decoding.VideoFile._read_by_count
    monkeypatch.setattr(decoding.VideoFile, "_read_by_count", lambda *a: (counted.append(1), by_count(*a))[1])
    fast = read(path, fps=10, max_frames=max_frames)
    check_numbers(fast)
    assert not counted
    monkeypatch.setattr(decoding, "FRAME_PER_PACKET", set())
    plain = read(path, fps=10, max_frames=max_frames)
    assert counted
    assert np.array_equal(fast.frames, plain.frames)
    assert (fast.indices, fast.timestamps, fast.source_fps) == (plain.indices, plain.timestamps, plain.source_fps)


def test_open_groups_of_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leading frames, shown before the key frame that they follow in the file, need what stands before it."""
    options = {"x264-params": "open-gop=1:keyint=10:min-keyint=10:bframes=3:b-adapt=0:scenecut=0:no-mbtree=1"}
    path = write(tmp_path / "a.mp4", count=300, options=options, gop=10)
    fast = read(path, max_frames=30, fps=20)
    check_numbers(fast)
    monkeypatch.setattr(decoding, "FRAME_PER_PACKET", set())
    assert np.array_equal(fast.frames, read(path, max_frames=30, fps=20).frames)


def packets(text: str) -> list[Packet]:
    """From "K0 P3 b1": k or K is a key frame, the number the time at which it is shown; the order is the file's."""
    return [Packet(int(p[1:]), i, 1, p[0] in "Kk", True) for i, p in enumerate(text.split())]


def test_the_plan_starts_at_the_key_before_and_joins_what_is_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packet_ranges, "MIN_SKIP", 2)
    line = packets("K0 P1 P2 P3 K4 P5 P6 P7 K8 P9 P10 P11")
    assert decode_ranges(line, [0, 11]) == [(0, 0), (8, 11)]  # seeks over 1..7
    assert decode_ranges(line, [2, 5]) == [(0, 5)]  # key 4 is one packet away: decoding 3 costs less
    assert decode_ranges(line, [5, 6, 7]) == [(4, 7)]
    leading = packets("K0 P3 b1 b2 K6 b4 b5 P9 b7 b8")
    assert decode_ranges(leading, [5]) == [(0, 5)]  # b4 follows K6 in the file but is shown before it
    assert decode_ranges(leading, [8]) == [(4, 8)]
    assert decode_ranges(leading, [4, 5]) == [(0, 5)]
    late = packets("K0 P1 P2 P3 K4 P5 P6 P7 K10 b8 b9")
    assert decode_ranges(late, [0, 8, 9]) == [(0, 0), (4, 9)]  # K10 alone would begin at 8, b8 needs K4


def test_a_plan_that_fails_is_replaced_by_counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were decoding begun in the middle of a group, or packets missed, the result must still be right."""
    path = write(tmp_path / "a.mkv", count=100, gop=50)
    for plan in ([(7, 99)], [(0, 20), (70, 99)], [(0, 500)]):
        monkeypatch.setattr(decoding, "decode_ranges", lambda *_, plan=plan: plan)
        clip = read(path)
        check_numbers(clip)
        assert clip.total_frames == 100


def test_an_edit_list_hides_frames(tmp_path: Path) -> None:
    """An MP4 edit that begins 10 frames in: those are decoded for the others' sake and are no part of the clip."""
    path = write(tmp_path / "a.mp4", count=60, gop=60, options={"bf": "0"})
    data = bytearray(path.read_bytes())
    at = data.index(b"elst")
    version, entries, duration, start = struct.unpack(">IIIi", data[at + 4 : at + 20])
    assert (version, entries) == (0, 1)
    tick = 12800 // 25  # of the track's time scale, a frame
    struct.pack_into(">i", data, at + 16, start + 10 * tick)
    struct.pack_into(">I", data, at + 12, duration * 50 // 60)
    clip = read(bytes(data))
    assert clip.total_frames == 50
    assert [number_in(f) - 10 for f in clip.frames] == list(clip.indices)


# Upright, square, in the right colours


def compass() -> np.ndarray:
    """(64, 96, 3): four grey quarters, none like another."""
    picture = np.empty((64, 96, 3), np.uint8)
    picture[:32, :48], picture[:32, 48:], picture[32:, :48], picture[32:, 48:] = 30, 90, 150, 210
    return picture


# a, b, c, d of the display matrix x' = a x + c y, y' = b x + d y, and the same done by hand
MATRICES = {
    "as it is": ((1, 0, 0, 1), lambda p: p),
    "quarter turn clockwise": ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
    "half turn": ((-1, 0, 0, -1), lambda p: np.rot90(p, 2)),
    "quarter turn counterclockwise": ((0, -1, 1, 0), lambda p: np.rot90(p, 1)),
    "mirrored": ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda p: p[::-1]),
    "transposed": ((0, 1, 1, 0), lambda p: p.swapaxes(0, 1)),
    "transposed the other way": ((0, -1, -1, 0), lambda p: p[::-1, ::-1].swapaxes(0, 1)),
}


@pytest.mark.parametrize("name", MATRICES)
def test_the_display_matrix_of_phones_is_applied(tmp_path: Path, name: str) -> None:
    (a, b, c, d), by_hand = MATRICES[name]
    path = write(tmp_path / "a.mp4", pictures=[compass()] * 6)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix stands 40 bytes into the box's content
    one = 1 << 16
    struct.pack_into(">9i", data, at, a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    sizes = []
    clip = read(bytes(data), resize=lambda n, s: (sizes.append(s), (s[0] // 2, s[1] // 2))[1])
    expected = by_hand(compass())
    assert clip.original_size == sizes[0] == expected.shape[:2]
    assert np.abs(clip.frames[0].astype(int) - expected[::2, ::2]).mean() < 5


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    """DV and DVD pictures are stored narrower than they are seen: 160 pixels twice as wide as high are 320 wide."""
    clip = read(write(tmp_path / "a.mp4", aspect=Fraction(2)))
    check_numbers(clip)
    assert clip.original_size == (HEIGHT, 2 * WIDTH) and clip.frames.shape[1:3] == (HEIGHT, 2 * WIDTH)
    assert read(write(tmp_path / "b.mp4", aspect=Fraction(60))).original_size == (HEIGHT, WIDTH)  # not believed


@pytest.mark.parametrize("space", [1, 5])
@pytest.mark.parametrize("level", [1, 2])
def test_colours_follow_the_files_colour_space_and_range(tmp_path: Path, space: int, level: int) -> None:
    """1 is BT.709, 5 BT.601; level 1 is 16..235, 2 is 0..255. Taken for one another, pure colours are off by 20."""
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (128, 128, 128)]
    picture = np.repeat(np.repeat(np.array([colours], np.uint8), 32, axis=0), 32, axis=1)
    with av.open(str(tmp_path / "a.mkv"), "w") as box:
        stream = box.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 192, "yuv444p"
        stream.codec_context.colorspace, stream.codec_context.color_range = space, level
        for i in range(4):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame = frame.reformat(format="yuv444p", dst_colorspace=space, dst_color_range=level, src_color_range=2)
            frame.pts, frame.time_base = i, Fraction(1, 25)
            box.mux(stream.encode(frame))
        box.mux(stream.encode())
    shown = read(tmp_path / "a.mkv").frames[0][16, 16::32]
    assert np.abs(shown.astype(int) - colours).max() <= 4


# What is broken


def blank(avi: bytearray, frames: range) -> None:
    """Fills some frames of an AVI file with zeros."""
    at = avi.index(b"movi") + 4
    for i in range(frames.stop):
        assert avi[at : at + 4] == b"00dc"
        size = struct.unpack_from("<I", avi, at + 4)[0]
        if i in frames:
            avi[at + 8 : at + 8 + size] = bytes(size)
        at += 8 + size + size % 2


def test_a_damaged_middle_is_left_out_and_the_rest_is_true(tmp_path: Path) -> None:
    """20 of 60 JPEG frames are overwritten: 40 remain, and index i is the i-th that remains."""
    path = write(tmp_path / "a.avi", "mjpeg", pixel_format="yuvj420p", count=60)
    data = bytearray(path.read_bytes())
    blank(data, range(20, 40))
    clip = read(bytes(data), fps=25)
    left = [*range(20), *range(40, 60)]
    assert clip.total_frames == 40 and len(clip.frames) == 40
    assert [number_in(f) for f in clip.frames] == [left[i] for i in clip.indices]
    assert clip.timestamps == pytest.approx([left[i] / 25 for i in clip.indices])


def test_headers_that_lie_about_the_number_of_frames(tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "a.avi", "mpeg4").read_bytes())
    struct.pack_into("<I", data, data.index(b"avih") + 8 + 16, 9999)
    struct.pack_into("<I", data, data.index(b"strh") + 8 + 32, 9999)
    clip = read(bytes(data))
    check_numbers(clip)
    assert clip.total_frames == 50


def with_index_first(path: Path) -> Path:
    """The same MP4 with its index before its data, as made for the web."""
    result = path.with_name("fast_" + path.name)
    with av.open(str(path)) as source, av.open(str(result), "w", options={"movflags": "faststart"}) as box:
        stream = box.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                box.mux(packet)
    return result


CUT = ["h264.mp4", "h264.mkv", "vp9.webm", "mjpeg.avi", "h264.ts", "moving.gif"]


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("part", [0.02, 0.35, 0.6, 0.97])
def test_a_file_that_is_cut_off_is_read_as_far_as_it_goes(tmp_path: Path, name: str, part: float) -> None:
    """Each frame is whole and the one shown at its time, down to the last. Noise below the bars makes frames large."""
    rng = np.random.default_rng(1)
    pictures = [np.concatenate([drawn(i), rng.integers(0, 256, (16, WIDTH, 3), np.uint8)]) for i in range(50)]
    path = write(tmp_path / name, pictures=pictures, **CONTAINERS[name])  # type: ignore[arg-type]
    path = with_index_first(path) if name.endswith("mp4") else path
    with av.open(str(path)) as box:
        everything = list(box.decode(video=0))
        conversion = {"format": "rgb24", "interpolation": SCALING, "dst_color_range": 2}
        whole = {f.time - everything[0].time: f.reformat(**conversion).to_ndarray() for f in everything}
    cut = tmp_path / ("cut_" + name)
    cut.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    try:
        clip = read(cut, fps=25)
    except UserError as error:
        assert part == 0.02 and str(error).startswith(cut.name)
        return
    assert 0 < clip.total_frames < 50
    for time, frame in zip(clip.timestamps, clip.frames, strict=True):
        shown = min(whole, key=lambda other: abs(other - time))
        assert shown == pytest.approx(time, abs=0.002)
        assert np.array_equal(whole[shown], frame)


def test_an_mp4_that_lost_the_index_at_its_end(tmp_path: Path) -> None:
    data = write(tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(data[: len(data) // 2])
    assert "cut off" in sentence(tmp_path / "a.mp4")


def test_sound_without_a_picture(tmp_path: Path) -> None:
    for name, codec in (("a.m4a", "aac"), ("a.mka", "pcm_s16le"), ("a.wav", "pcm_s16le"), ("a.ogg", "libopus")):
        path = write_sound(tmp_path / name, codec)
        text = sentence(path)
        assert text.startswith(name) and "sound" in text
        with pytest.raises(UserError, match="sound"):
            kind_of(path)


def test_a_codec_that_nobody_knows(tmp_path: Path) -> None:
    data = write(tmp_path / "a.mp4").read_bytes().replace(b"avc1", b"zzzz")
    assert "convert it to MP4" in sentence(data)


def test_a_video_without_frames(tmp_path: Path) -> None:
    """Every JPEG of it overwritten: packets but nothing that can be decoded. And one without a single packet."""
    data = bytearray(write(tmp_path / "a.avi", "mjpeg", pixel_format="yuvj420p", count=8).read_bytes())
    blank(data, range(8))
    assert "no frame" in sentence(bytes(data))
    with av.open(str(tmp_path / "empty.mkv"), "w") as box:
        stream = box.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        box.start_encoding()
    assert sentence(tmp_path / "empty.mkv").startswith("empty.mkv ")


def test_other_files_get_the_sentence_that_fits(tmp_path: Path) -> None:
    PIL.Image.fromarray(drawn(1)).save(tmp_path / "a.png")
    PIL.Image.fromarray(drawn(1)).save(tmp_path / "a.pdf")
    assert "is a picture, not a video" in sentence(tmp_path / "a.png")
    assert "is a PDF, not a video" in sentence(tmp_path / "a.pdf")
    assert "not a video" in sentence(PIL.Image.fromarray(drawn(1)))
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert "empty.mp4 is empty" in sentence(tmp_path / "empty.mp4")
    assert "empty" in sentence(b"")
    assert "text file" in sentence(b"just words " * 100)
    assert "does not exist" in sentence(tmp_path / "absent.mp4")
    assert "folder" in sentence(tmp_path)
    assert "download it first" in sentence("https://example.com/a.mp4")
    assert "begins like a video" in sentence(b"\0\0\0\x20ftypisom" + bytes(200))
    assert "not a picture, video or PDF" in sentence(np.random.default_rng(0).bytes(100_000))
    assert "fps" in sentence(tmp_path / "a.png", fps=0)


@pytest.mark.parametrize(
    "script",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{}'\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5000 RTP/AVP 96\n",
        "[playlist]\nFile1={}\n",
    ],
)
def test_playlists_cannot_reach_other_files(tmp_path: Path, script: str) -> None:
    target = write(tmp_path / "secret.mp4")
    for name in ("a.m3u8", "a.mp4"):
        (tmp_path / name).write_text(script.format(target))
        assert "text file" in sentence(tmp_path / name)
        (tmp_path / name).write_bytes(script.format(target).encode() + bytes(100))  # not text any more
        sentence(tmp_path / name)


def test_an_mp4_that_keeps_its_data_in_another_file_cannot_have_it(tmp_path: Path) -> None:
    """A data reference of type `url ` whose "in this file" flag is cleared."""
    write(tmp_path / "other.mp4")
    data = bytearray((tmp_path / "other.mp4").read_bytes())
    at = data.index(b"url ")
    data[at + 4 : at + 8] = bytes(4)
    with contextlib.suppress(UserError):  # either the file is refused ...
        check_numbers(read(bytes(data)))  # ... or the reference is ignored


def test_a_limit_is_stated_and_only_a_setting_that_exists_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4")
    size = path.stat().st_size
    for options, limit in (
        ({"max_file_bytes": size - 1}, "MiB (--max-file-mb);"),
        ({"max_video_seconds": 1.5}, "the limit of 2 s;"),
        ({"max_video_frames": 49}, "the limit of 49;"),
        ({"max_video_frame_pixels": HEIGHT * WIDTH - 1}, f"the limit of {HEIGHT * WIDTH - 1};"),
    ):
        text = sentence(path, limits=MediaLimits(**options))  # type: ignore[arg-type]
        assert text.startswith("a.mp4 ") and limit in text and "max_" not in text
        assert sentence(path, limits=MediaLimits(**options), label="my film.mov").startswith("my film.mov ")  # type: ignore[arg-type]
    inside = MediaLimits(size, max_video_seconds=2, max_video_frames=50, max_video_frame_pixels=HEIGHT * WIDTH)
    check_numbers(read(path, limits=inside))
    frames = [PIL.Image.fromarray(drawn(i)) for i in range(9)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:])
    assert "the limit of 8;" in sentence(tmp_path / "a.webp", limits=MediaLimits(max_video_frames=8))
    assert "the limit of 66 for WEBP" in sentence(tmp_path / "a.webp", limits=MediaLimits(max_image_pixels=99))


def test_not_enough_memory_is_said(tmp_path: Path) -> None:
    assert "memory" in sentence(write(tmp_path / "a.mp4"), resize=lambda n, s: (10**7, 10**7))


def test_a_callers_own_error_is_not_dressed_up(tmp_path: Path) -> None:
    def broken(count: int, size: geometry.Size) -> geometry.Size:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        read(write(tmp_path / "a.mp4"), resize=broken)


@pytest.mark.parametrize("name", ["h264.mp4", "h264.mkv", "mpeg4.avi", "vp9.webm", "moving.gif"])
def test_bytes_turned_at_random_give_a_clip_or_a_sentence(tmp_path: Path, name: str) -> None:
    data = write(tmp_path / name, count=12, **CONTAINERS[name]).read_bytes()  # type: ignore[arg-type]
    rng = np.random.default_rng(7)
    for flips, _ in itertools.product((1, 20, 300), range(5)):
        broken = np.frombuffer(data, np.uint8).copy()
        broken[rng.integers(0, len(data), flips)] = rng.integers(0, 256, flips)
        try:
            clip = read(broken.tobytes(), resize=lambda n, s: (28, 56), limits=MediaLimits(max_video_seconds=1e9))
        except UserError as error:
            assert str(error).endswith(".")
        else:
            assert clip.frames.shape[1:] == (28, 56, 3) and len(clip.frames) == len(clip.timestamps) >= 2


# Manners


def test_every_file_is_closed(tmp_path: Path) -> None:
    good = write(tmp_path / "a.mp4")
    bad = tmp_path / "b.mp4"
    bad.write_bytes(good.read_bytes()[:500])
    read(good), sentence(bad)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        for _ in range(4):
            read(good), sentence(bad), kind_of(good)
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


def test_threads_read_side_by_side(tmp_path: Path) -> None:
    paths = [write(tmp_path / n, **CONTAINERS[n]) for n in ("h264.mp4", "vp8.webm", "mpeg4.avi", "moving.gif")]  # type: ignore[arg-type]
    alone = [read(p) for p in paths]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(read, paths * 3, timeout=300))
    for clip, expected in zip(together, alone * 3, strict=True):
        assert np.array_equal(clip.frames, expected.frames) and clip.timestamps == expected.timestamps
