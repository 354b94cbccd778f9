"""Clips that are damaged, cut off, no clips, hostile, or more than the limits allow."""

import contextlib
import itertools
import struct
from pathlib import Path

import av
import numpy as np
import PIL.Image
import pytest
from drawn_clips import CONTAINERS, HEIGHT, WIDTH, check_numbers, drawn, number_in, read, sentence, write

from qwen2vl_demo import geometry
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import MediaLimits, kind_of
from qwen2vl_demo.media.frames import SCALING


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
        ({"max_file_bytes": size - 1}, "B (--max-file-mb);"),
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
