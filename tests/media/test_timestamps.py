"""Which frame is shown when, where a file's clock cannot be believed. 25 frames a second, in milliseconds."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from drawn_clips import check_numbers, drawn, number_in, read, sentence, write

from qwen2vl_demo.media import MediaLimits
from qwen2vl_demo.media.timestamps import Clock, Stamp, read_clock

MS = Fraction(1, 1000)
STEP = 40


def clock(pts: list[int | None], dts: list[int | None] | None = None, duration: int = STEP) -> Clock:
    found = read_clock([Stamp(p, d, duration) for p, d in zip(pts, dts or pts, strict=True)], MS)
    assert found is not None
    return found


def even(count: int, start: int = 0) -> list[int]:
    return list(range(start, start + count * STEP, STEP))


def since_first(found: Clock) -> list[float]:
    return [float(t - found.times[0]) for t in found.times]


def test_an_intact_clock_is_left_alone() -> None:
    found = clock(even(50, 7000))
    assert found == Clock(list(range(50)), list(even(50, 7000)), STEP, False)


@pytest.mark.parametrize(
    "pts",
    [
        even(20) + even(30),  # two pieces joined
        even(20) + even(30, 100_000),  # a jump of minutes
        even(20) + even(30, 36_000_000),  # of hours
        even(20, 50_000_000) + even(30),  # back by hours
        [*even(49), 20_005_000],  # one wild stamp, at the end
        [*even(49), 3],
        [9_000_000, *even(49)],
        [*even(20), 77_000_000, *even(29, 21 * STEP)],  # in the middle
        [*even(20), 0, *even(29, 21 * STEP)],
        even(10) * 5,  # a loop
        [t for t in even(25) for _ in (0, 1)],  # every stamp twice
    ],
)
def test_every_frame_takes_its_time(pts: list[int]) -> None:
    found = clock(list(pts))
    step = STEP / 2 if pts.count(0) == 2 and pts[1] == 0 else STEP
    assert found.order == list(range(50)) and found.repaired
    assert since_first(found) == pytest.approx([i * step for i in range(50)])


def test_reordered_frames_are_not_a_clock_that_steps_back() -> None:
    """I0 P4 B2 b1 b3 ...: decoding order; then the same piece once more."""
    group = [0, 4, 2, 1, 3]
    pts: list[int | None] = [STEP * (5 * g + t) for g in range(5) for t in group]
    dts: list[int | None] = [STEP * (i - 2) for i in range(25)]
    order = [5 * g + i for g in range(5) for i in (0, 3, 2, 4, 1)]
    assert clock(pts, dts) == Clock(order, even(25), STEP, False)
    assert clock(pts, [None] * 25) == Clock(order, even(25), STEP, False)
    assert clock(pts, [None, None, *dts[2:]]) == Clock(order, even(25), STEP, False)
    twice = clock(pts * 2, dts * 2)
    assert twice.order == order + [25 + i for i in order]
    assert since_first(twice) == even(50)


def test_missing_stamps_lie_between_their_neighbours() -> None:
    """A program stream stamps some of its frames. AVI with B-frames has decoding times only."""
    some = [t if i % 5 == 0 else None for i, t in enumerate(even(51))]
    assert since_first(clock(some, [None] * 51)) == even(51)
    found = clock([None] * 50, [t - 2 * STEP for t in even(50)])
    assert since_first(found) == even(50)


def test_a_file_without_a_clock() -> None:
    assert read_clock([Stamp(None, None)] * 5, MS) is None
    assert read_clock([Stamp(0, 0)] * 5, MS) is None
    assert read_clock([Stamp(5, 5)], MS) == Clock([0], [5], 0, False)


def test_a_pause_is_not_a_jump() -> None:
    """Slides shown for minutes, and a screen recording that rests for 45 s."""
    slides = [0, 200_000, 500_000, 900_000]
    assert since_first(clock(list(slides), duration=0)) == slides
    rest = [*even(50), *even(50, 47_000)]
    for duration in (0, 45_040):  # unknown, or stated
        stamps = [Stamp(t, t, duration if i == 49 else STEP * bool(duration)) for i, t in enumerate(rest)]
        found = read_clock(stamps, MS)
        assert found is not None and not found.repaired and found.times == rest
    assert clock(list(rest)).repaired  # the frame before says that it is shown for 40 ms


def test_frames_that_share_a_stamp_are_spread() -> None:
    """A camera that stamps whole seconds: 25 frames each."""
    found = clock([1000 * (i // 25) for i in range(75)], duration=0)
    assert since_first(found) == pytest.approx(even(75))


# The same in files


def transport_stream(path: Path, numbers: range, start: float) -> bytes:
    options = {"bf": "2"}
    times = [round((start + i / 25) * 90_000) for i in range(len(numbers))]
    pictures = [drawn(i) for i in numbers]
    return write(path, pictures=pictures, times=times, time_base=Fraction(1, 90_000), options=options).read_bytes()


@pytest.mark.parametrize("starts", [(0, 0), (0, 300), (7200, 0)])
def test_transport_streams_joined_with_cat(tmp_path: Path, starts: tuple[float, float]) -> None:
    """40 and 58 frames: 98 of 98 at 25 a second, each at its place. FFmpeg takes a packet at the joint for damaged."""
    first = transport_stream(tmp_path / "a.ts", range(40), starts[0])
    joined = first + transport_stream(tmp_path / "b.ts", range(40, 98), starts[1])
    clip = read(joined, fps=25, limits=MediaLimits(max_video_seconds=5))
    check_numbers(clip)
    assert clip.total_frames == 98 and len(clip.frames) == 98 and clip.source_fps == pytest.approx(25)
    assert clip.timestamps == pytest.approx([i / 25 for i in range(98)])
    assert len(clip.notices) == 1 and clip.notices[0].startswith("Its clock")
    check_numbers(read(joined))


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
@pytest.mark.parametrize("reordered", ["0", "2"])
@pytest.mark.parametrize(
    "times",
    [
        [*even(49), 20_005_000],
        even(20) + even(30, 3_600_000),
        even(20) + even(30, 400_000),
    ],
)
def test_the_limit_of_length_counts_frames_that_exist(
    tmp_path: Path, name: str, reordered: str, times: list[int]
) -> None:
    """FFmpeg says that the first lasts 20005 s."""
    path = write(tmp_path / name, times=times, time_base=MS, options={"bf": reordered})
    clip = read(path, limits=MediaLimits(max_video_seconds=2))
    check_numbers(clip)
    assert clip.total_frames == 50 and clip.indices == (0, 16, 33, 49)
    assert clip.timestamps == pytest.approx([0, 0.64, 1.32, 1.96])
    assert clip.source_fps == pytest.approx(25)
    assert "lasts 2 s" in sentence(path, limits=MediaLimits(max_video_seconds=1.5))


@pytest.mark.parametrize("reordered", ["0", "2"])
def test_a_pause_that_the_file_states(tmp_path: Path, reordered: str) -> None:
    times = [*even(25), *even(25, 50_000)]
    path = write(tmp_path / "a.mp4", times=times, time_base=MS, options={"bf": reordered})
    clip = read(path, fps=25)
    check_numbers(clip)
    assert clip.notices == () and clip.timestamps == pytest.approx([t / 1000 for t in times])


def test_all_stamps_zero(tmp_path: Path) -> None:
    """The five bytes of each time stamp of a program stream overwritten with that of zero."""
    data = bytearray(write(tmp_path / "a.mpg", "mpeg2video").read_bytes())
    at, stamps = 0, 0
    while (at := data.find(b"\0\0\1\xe0", at)) >= 0:
        at += 6
        while data[at] == 0xFF:  # stuffing
            at += 1
        at += 2 * (data[at] >> 6 == 1)  # size of the buffer
        for i, mark in enumerate({2: [0x21], 3: [0x31, 0x11]}.get(data[at] >> 4, [])):
            data[at + 5 * i : at + 5 + 5 * i] = bytes([mark, 0, 1, 0, 1])
            stamps += 1
    assert stamps >= 6
    clip = read(bytes(data))
    check_numbers(clip)
    assert clip.total_frames == 50 and clip.source_fps == pytest.approx(25)
    assert clip.timestamps == pytest.approx([i / 25 for i in clip.indices])


def test_repeated_stamps(tmp_path: Path) -> None:
    """Each JPEG twice at its time: AVI has no stamps, MOV refuses them; FLV takes them."""
    path = tmp_path / "a.flv"
    with av.open(str(path), "w") as box:
        stream = box.add_stream("flv", rate=25)
        stream.height, stream.width, stream.pix_fmt = drawn(0).shape[0], drawn(0).shape[1], "yuv420p"
        stream.codec_context.bit_rate, stream.codec_context.gop_size = 2_000_000, 12
        for i in range(50):
            frame = av.VideoFrame.from_ndarray(drawn(i), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            for packet in stream.encode(frame):
                packet.pts = packet.dts = i // 2 * 2
                packet.time_base = Fraction(1, 25)
                box.mux(packet)
    clip = read(path, fps=25)
    assert [number_in(f) for f in clip.frames] == list(clip.indices) == list(range(50))
    assert np.allclose(clip.timestamps, [i / 25 for i in range(50)], atol=0.0011)
