"""Forms of video other than an MP4 of even frames: streams without a container, cropped, interlaced, changing size."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import PIL.Image
import pytest
from drawn_clips import HEIGHT, WIDTH, check_numbers, drawn, number_in, read, write

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import ENDINGS, FileType, identify_file, kind_of
from qwen2vl_demo.media import video_decoding as decoding
from qwen2vl_demo.media.file_type import SIGNATURES, VIDEO_ENDINGS

RAW = {
    "a.h264": {"codec": "libx264"},
    "a.h265": {"codec": "libx265"},
    "a.m2v": {"codec": "mpeg2video"},
    "a.mxf": {"codec": "mpeg2video"},
    "a.ivf": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "a.mjpeg": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
    "a.m2ts": {"codec": "libx264", "options": {"bf": "2"}},
}


@pytest.mark.parametrize("name", RAW)
@pytest.mark.parametrize("rate", [25, 50])
def test_streams_without_a_container_and_rarer_ones(tmp_path: Path, name: str, rate: int) -> None:
    """FFmpeg's own rate of raw H.264 and H.265 is always 25; the stream says another one."""
    path = write(tmp_path / name, fps=rate, **RAW[name])  # type: ignore[arg-type]
    ending = name[2:]
    assert identify_file(path.read_bytes()) == FileType("video", ending) and ending in ENDINGS
    clip = read(path, fps=rate)
    check_numbers(clip)
    assert clip.total_frames == len(clip.frames) == 50
    if name != "a.mjpeg":  # JPEG pictures have no rate
        assert clip.source_fps == pytest.approx(rate)
        assert clip.timestamps == pytest.approx([i / rate for i in range(50)], abs=1e-4)


def test_no_format_refers_to_other_files() -> None:
    """Playlists, lists of pieces and of pictures, devices, and FFmpeg's own way to single pictures."""
    reading_elsewhere = {
        "hls",
        "dash",
        "concat",
        "concatf",
        "image2",
        "image2pipe",
        "sdp",
        "rtp",
        "rtsp",
        "lavfi",
        "imf",
    }
    assert not reading_elsewhere & set(VIDEO_ENDINGS)
    assert not [name for name in VIDEO_ENDINGS if name.endswith("_pipe")]
    assert set(SIGNATURES) <= set(VIDEO_ENDINGS)


def test_a_file_in_which_ffmpeg_would_find_a_stream_is_what_it_begins_like(tmp_path: Path) -> None:
    """A PDF around a JPEG passed for a clip, as did noise before H.264."""
    PIL.Image.fromarray(drawn(1)).save(tmp_path / "a.pdf")
    assert kind_of(tmp_path / "a.pdf") == "pdf"
    stream = write(tmp_path / "a.h264", **RAW["a.h264"]).read_bytes()  # type: ignore[arg-type]
    with pytest.raises(UserError):
        kind_of(b"\x07" * 64 + stream)


def test_uncompressed_y4m(tmp_path: Path) -> None:
    """A line of text, then "FRAME" and the three planes of each frame."""
    planes = [
        np.concatenate([drawn(i)[..., 1].ravel(), np.full(HEIGHT * WIDTH // 2, 128, np.uint8)]).tobytes()
        for i in range(50)
    ]
    head = f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F25:1 Ip A1:1 C420jpeg\n".encode()
    data = head + b"".join(b"FRAME\n" + p for p in planes)
    assert identify_file(data) == FileType("video", "y4m")
    clip = read(data)
    check_numbers(clip)
    assert clip.total_frames == 50 and clip.indices == (0, 16, 33, 49)
    cut = read(data[: -len(planes[0]) // 2])
    check_numbers(cut)
    assert cut.total_frames == 49


def test_a_jpeg_with_another_one_behind_it_is_no_clip(tmp_path: Path) -> None:
    """Cameras put previews of other sizes there; phones mark theirs with MPF or have EXIF before the picture."""
    picture, preview = tmp_path / "a.jpg", tmp_path / "b.jpg"
    PIL.Image.fromarray(drawn(1)).save(picture)
    PIL.Image.fromarray(drawn(1)[::2, ::2]).save(preview)
    exif = PIL.Image.Exif()
    exif[0x0110] = "phone"
    PIL.Image.fromarray(drawn(1)).save(tmp_path / "c.jpg", exif=exif)
    assert kind_of(picture.read_bytes() + preview.read_bytes()) == "image"
    assert kind_of((tmp_path / "c.jpg").read_bytes() * 2) == "image"
    assert kind_of(picture.read_bytes()) == "image"
    assert kind_of(picture.read_bytes() * 2) == "video"


def test_a_row_of_jpegs_that_is_cut_off(tmp_path: Path) -> None:
    data = write(tmp_path / "a.mjpeg", **RAW["a.mjpeg"]).read_bytes()  # type: ignore[arg-type]
    last = data.rindex(b"\xff\xd8\xff")
    clip = read(data[: (last + len(data)) // 2], fps=25)
    check_numbers(clip)
    assert clip.total_frames == 49


@pytest.mark.parametrize("name", ["a.m2ts", "a.ts"])
def test_every_frame_of_a_transport_stream_that_is_whole(tmp_path: Path, name: str) -> None:
    """Whole wherever a frame ends; in the middle of the last frame it is left out."""
    noise = np.random.default_rng(1).integers(0, 256, (16, WIDTH, 3), np.uint8)
    pictures = [np.concatenate([drawn(i), np.roll(noise, i, 0)]) for i in range(30)]
    data = write(tmp_path / name, pictures=pictures, options={"bf": "0"}).read_bytes()
    assert read(data).total_frames == 30
    length, offset, pid = (192, 4, 0x1011) if name == "a.m2ts" else (188, 0, 0x100)
    packets = [data[i : i + length] for i in range(0, len(data), length)]
    while int.from_bytes(packets[-1][offset + 1 : offset + 3], "big") & 0x1FFF != pid:
        packets.pop()  # what M2TS is filled up with
    data = b"".join(packets)
    assert read(data).total_frames == 30
    cut = read(data[: len(data) - 4 * length], fps=25)
    check_numbers(cut)
    assert cut.total_frames == 29
    assert read(data[: len(data) - 4 * length - 77]).total_frames == 29


# Cropping


def with_clap(data: bytes, width: int, height: int, right: int, down: int) -> bytes:
    """An MP4 with a "clap" box in its sample description, whose index stands behind the pixels."""
    clap = struct.pack(">I4sIIIIiIiI", 40, b"clap", width, 1, height, 1, right, 2, down, 2)
    result = bytearray(data)
    entry = result.index(b"avc1", result.index(b"stsd")) - 4
    end = entry + int.from_bytes(result[entry : entry + 4], "big")
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"):
        at = result.rindex(name, 0, entry) - 4
        struct.pack_into(">I", result, at, int.from_bytes(result[at : at + 4], "big") + len(clap))
    struct.pack_into(">I", result, entry, end - entry + len(clap))
    result[end:end] = clap
    return bytes(result)


def test_the_clean_aperture_of_mp4(tmp_path: Path) -> None:
    """120x40 whose centre is 3.5 px right of the frame's and 6 px below it: columns 23.5 to 143.5, rows 18 to 58."""
    data = write(tmp_path / "a.mp4").read_bytes()
    whole, clip = read(data), read(with_clap(data, 120, 40, 8, 12))
    assert clip.original_size == (40, 120)
    assert np.array_equal(clip.frames[1], whole.frames[1][18:58, 24:144])
    scaled = read(with_clap(data, 80, 64, -80, 0), resize=lambda n, s: (28, 56))
    assert scaled.original_size == (64, 80) and scaled.frames.shape[1:3] == (28, 56)
    assert (scaled.frames[1][14, 5::11, 1] > 127).tolist() == [bool(16 >> b & 1) for b in range(5)]  # frame 16
    for nonsense in ((0, 0, 0, 0), (200, 300, 0, 0), (100, 40, 4000, 0)):
        assert read(with_clap(data, *nonsense)).original_size == (HEIGHT, WIDTH)


def test_the_cropping_of_matroska(tmp_path: Path) -> None:
    """32 px at the right and 10 at the bottom, in place of what FFmpeg writes behind the size of the frames."""
    data = write(tmp_path / "a.mkv").read_bytes()
    behind = bytes.fromhex("55ee8100 ec01000000000000020000")  # an element nobody needs, and one that fills up
    at = data.index(behind, data.rindex(bytes.fromhex("1654ae6b")))
    video = data.rindex(b"\xe0", 0, at)
    size = data[video + 1] & 0x7F
    assert video + 2 + size == at
    crop = bytes.fromhex("54dd8120 54aa810a")
    changed = data[: video + 1] + bytes([0x80 | size + len(crop)]) + data[video + 2 : at] + crop
    changed += bytes([0xEC, 0x80 | len(behind) - len(crop) - 2]) + bytes(len(behind) - len(crop) - 2)
    clip = read(changed + data[at + len(behind) :])
    assert clip.original_size == (HEIGHT - 10, WIDTH - 32)
    assert (clip.frames[1][20, 8::16, 1] > 127).tolist() == [bool(16 >> b & 1) for b in range(8)]


# A size that changes in mid-stream


def joined(tmp_path: Path, *sizes: tuple[int, int]) -> bytes:
    """Transport streams of 20 frames each, one behind the other."""
    data = b""
    for i, (height, width) in enumerate(sizes):
        pictures = [np.asarray(PIL.Image.fromarray(drawn(20 * i + n)).resize((width, height), 0)) for n in range(20)]
        times = [(20 * i + n) * 3600 for n in range(20)]
        options = {"bf": "0"}
        path = write(tmp_path / "a.ts", pictures=pictures, times=times, time_base=Fraction(1, 90_000), options=options)
        data += path.read_bytes()
    return data


def test_a_larger_size_in_mid_stream(tmp_path: Path) -> None:
    """As browsers send when the connection gets better: the clip has the larger size, and all frames that shape."""
    clip = read(joined(tmp_path, (64, 160), (128, 320)), fps=25)
    check_numbers(clip)
    assert clip.original_size == (128, 320) and clip.total_frames == 40


def test_other_proportions_in_mid_stream(tmp_path: Path) -> None:
    """A frame that is higher than the clip keeps its proportions between black bars."""
    clip = read(joined(tmp_path, (64, 160), (80, 80)), fps=25)
    assert clip.original_size == (64, 160) and clip.total_frames == 40
    assert [number_in(f) for f in clip.frames[:20]] == list(range(20))
    assert [number_in(f[:, 48:112]) for f in clip.frames[20:]] == list(range(20, 40))
    assert clip.frames[-1][:, :46].max() <= 4 and clip.frames[-1][:, 114:].max() <= 4


# Interlaced


def combs(picture: np.ndarray) -> float:
    """How much each line differs from both its neighbours in the same direction."""
    grey = picture[..., 1].astype(int)
    middle, above, below = grey[1:-1], grey[:-2], grey[2:]
    return float(np.clip(np.minimum(np.abs(middle - above), np.abs(middle - below)) - 20, 0, None).mean())


def moving(count: int) -> list[np.ndarray]:
    """Fields of a bright bar that moves 4 px a field, woven into frames, over a still pattern of single lines."""
    frames = []
    for i in range(count):
        fields = []
        for t in (2 * i, 2 * i + 1):
            picture = np.full((96, 160, 3), 40, np.uint8)
            picture[:48, 20 + 4 * t : 44 + 4 * t] = 220
            picture[64::2, 100:] = 90
            fields.append(picture)
        frame = fields[0].copy()
        frame[1::2] = fields[1][1::2]
        frames.append(frame)
    return frames


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mpg", "mpeg2video")])
def test_interlaced_video_is_deinterlaced(tmp_path: Path, name: str, codec: str) -> None:
    """Where the stream says so, and only there. In what moves the combs go; what stands still keeps all its lines."""
    flags = {"flags": "+ildct+ilme"} | ({"x264-params": "qp=4:bframes=2"} if codec == "libx264" else {})
    path = write(tmp_path / name, codec, pictures=moving(14), options=flags)
    with av.open(str(path)) as box:
        assert next(box.decode(video=0)).interlaced_frame
    for options in ({"fps": 25}, {"fps": 10}):
        clip = read(path, **options)
        assert clip.total_frames == 14
        for frame, index in zip(clip.frames, clip.indices, strict=True):
            assert combs(frame[:60]) < 1.5, index
            if 0 < index < 13:
                assert np.ptp(frame[70:90, 130, 1].astype(int)) >= 35
            bar = np.flatnonzero(frame[20, :, 1] > 128)
            assert (
                min(abs(bar.mean() - (place + 8 * index)) for place in (31.5, 35.5)) <= 1.5
            )  # as in one of its fields
    plain = read(write(tmp_path / "b.mp4", pictures=moving(14), options={"x264-params": "qp=4"}))
    assert combs(plain.frames[1][:60]) > 5


@pytest.mark.parametrize("kind", ["interlaced", "transparent"])
def test_seeking_changes_no_pixel_of_these_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    if kind == "interlaced":
        options = {"flags": "+ildct+ilme"}
        path = write(tmp_path / "a.mp4", count=150, options=options)
    else:
        pictures = [np.dstack([drawn(i), np.full((HEIGHT, WIDTH), 200, np.uint8)]) for i in range(150)]
        fast = {"deadline": "realtime", "cpu-used": "8"}
        path = write(tmp_path / "a.webm", "libvpx-vp9", pictures=pictures, pixel_format="yuva420p", options=fast)
    counted = []
    by_count = decoding.VideoFile._read_by_count
    monkeypatch.setattr(decoding.VideoFile, "_read_by_count", lambda *a: (counted.append(1), by_count(*a))[1])
    found = read(path, fps=2, max_frames=8)
    check_numbers(found)
    assert not counted
    monkeypatch.setattr(decoding, "FRAME_PER_PACKET", set())
    assert np.array_equal(found.frames, read(path, fps=2, max_frames=8).frames) and counted


def test_a_webm_whose_frames_grow(tmp_path: Path) -> None:
    """As a browser records a call: a new size begins at a key frame, in the same track."""
    fast = {"deadline": "realtime", "cpu-used": "8"}
    with av.open(str(tmp_path / "joined.webm"), "w") as box:
        for part, scale in enumerate((1, 2)):
            pictures = [drawn(20 * part + i).repeat(scale, 0).repeat(scale, 1) for i in range(20)]
            path = write(tmp_path / f"{part}.webm", "libvpx-vp9", pictures=pictures, gop=10, options=fast)
            with av.open(str(path)) as source:
                if part == 0:
                    stream = box.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(video=0):
                    if packet.dts is not None:
                        packet.stream = stream
                        packet.pts += 800 * part
                        packet.dts += 800 * part
                        box.mux(packet)
    for options in ({"fps": 25}, {"fps": 2}):
        clip = read(tmp_path / "joined.webm", **options)
        check_numbers(clip)
        assert clip.original_size == (2 * HEIGHT, 2 * WIDTH) and clip.total_frames == 40


# Delays of animations


def test_frames_of_an_animation_without_a_delay(tmp_path: Path) -> None:
    """Chromium 156 shows frames of 0, 5 and 10 ms for 100 ms, and those of 11 or 20 ms as long as they say (measured
    with a screencast of ten frames each). The same for GIF, whose unit is 10 ms."""
    frames = [PIL.Image.fromarray(drawn(i)) for i in range(6)]
    for ending, delays in (("webp", [0, 5, 10, 11, 20, 50]), ("gif", [0, 10, 20, 30, 10, 50])):
        path = tmp_path / f"a.{ending}"
        extra = {"lossless": True} if ending == "webp" else {}
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=delays, **extra)
        shown = [100 if d <= 10 else d for d in delays]
        clip = read(path, fps=100, min_frames=6)
        check_numbers(clip)
        assert clip.timestamps == pytest.approx([sum(shown[:i]) / 1000 for i in range(6)])
        assert clip.source_fps == pytest.approx(6000 / sum(shown))


def test_a_gif_with_bytes_behind_its_trailer(tmp_path: Path) -> None:
    frames = [PIL.Image.fromarray(drawn(i)) for i in range(6)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    data = (tmp_path / "a.gif").read_bytes()
    for behind in (b"", b"\0", b"\n<!-- served in 3 ms -->", bytes(5000), b";" * 9):
        clip = read(data + behind, fps=10)
        check_numbers(clip)
        assert clip.total_frames == 6
    frames[0].save(tmp_path / "b.gif")
    assert read((tmp_path / "b.gif").read_bytes() + b"\0\0").total_frames == 1
    assert read(data[:-1] + b"\0", fps=10).total_frames == 5  # the end is missing
