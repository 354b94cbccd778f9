"""Seeking and skipping in clips: the fast way to the sampled frames gives what decoding everything gives."""

import struct
from pathlib import Path

import numpy as np
import pytest
from drawn_clips import CONTAINERS, check_numbers, encodes, number_in, read, write

from qwen2vl_demo.media import packets as packet_ranges
from qwen2vl_demo.media import video_decoding as decoding
from qwen2vl_demo.media.packets import Packet, decode_ranges


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
