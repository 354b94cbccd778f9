"""Clips: every frame shows its own number as bars, so that a sampled index can be verified by reading the frame."""

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from drawn_clips import CONTAINERS, HEIGHT, WIDTH, check_numbers, drawn, encodes, number_in, read, sentence, write

from qwen2vl_demo import geometry
from qwen2vl_demo.media import ENDINGS, FileType, identify_file, kind_of, timeline
from qwen2vl_demo.media import video_decoding as decoding


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
