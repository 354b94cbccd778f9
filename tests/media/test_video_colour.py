"""The colours of clips: matrix, range, HDR and transparency."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from drawn_clips import read, write

from qwen2vl_demo.media.tone_mapping import eetf, light_to_pq, pq_to_light, to_srgb
from qwen2vl_demo.media.video_colour import Colour

BT709, BT601, BT2020 = 1, 5, 9
PQ, HLG = 16, 18
Samples = Sequence[tuple[int, int, int]]


def patches(
    path: Path,
    samples: Samples,
    *,
    height: int = 32,
    pixel_format: str = "yuv444p",
    codec: str = "ffv1",
    options: dict[str, str] | None = None,
    **tags: int,
) -> Path:
    """A clip of columns 16 px wide, each of one (Y, Cb, Cr). Tags are colorspace, color_range, color_trc and
    color_primaries of the stream."""
    kind = np.uint16 if "10" in pixel_format else np.uint8
    with av.open(str(path), "w") as box:
        stream = box.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width, stream.pix_fmt = height, 16 * len(samples), pixel_format
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        for i in range(4):
            frame = av.VideoFrame(stream.width, height, pixel_format)
            for plane, values in zip(frame.planes, zip(*samples, strict=True), strict=False):
                row = np.zeros(plane.line_size // np.dtype(kind).itemsize, kind)
                row[: plane.width] = np.repeat(values, 16 * plane.width // stream.width)
                plane.update(np.tile(row, (plane.height, 1)).tobytes())
            for name, value in tags.items():
                setattr(frame, name, value)
            frame.pts, frame.time_base = i, Fraction(1, 25)
            box.mux(stream.encode(frame))
        box.mux(stream.encode())
    return path


def columns(path: Path) -> list[list[int]]:
    frame = read(path).frames[0]
    return frame[frame.shape[0] // 2, 8::16].tolist()


def by_hand(sample: tuple[int, int, int], kr: float, kb: float) -> np.ndarray:
    """8-bit YCbCr of 16..235 to RGB. (ITU-T H.273, equations for a matrix with these weights)"""
    y, cb, cr = (sample[0] - 16) / 219, (sample[1] - 128) / 224, (sample[2] - 128) / 224
    r, b = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    return np.clip(np.array([r, (y - kr * r - kb * b) / (1 - kr - kb), b]) * 255, 0, 255)


WEIGHTS = {BT709: (0.2126, 0.0722), BT601: (0.299, 0.114), BT2020: (0.2627, 0.0593)}
SOME = [(81, 100, 200), (145, 60, 40), (120, 128, 128), (70, 200, 110)]


@pytest.mark.parametrize(
    ("height", "tags", "matrix"),
    [
        (718, {}, BT601),
        (720, {}, BT709),
        (720, {"colorspace": BT601}, BT601),
        (64, {"colorspace": BT709}, BT709),
        (64, {"colorspace": 0}, BT601),  # RGB, which YCbCr samples cannot be
        (64, {"color_primaries": 9, "color_trc": 14}, BT2020),
    ],
)
def test_the_matrix_that_is_stated_or_usual(tmp_path: Path, height: int, tags: dict[str, int], matrix: int) -> None:
    """Chromium 156 shows an untagged H.264 of Y, Cb, Cr = 81, 90, 240 as (254, 0, 0) at 1280x718 and as (255, 24, 0)
    at 1280x720, 1920x1080 and 640x720."""
    path = patches(tmp_path / "a.mkv", SOME, height=height, **tags)
    if matrix == BT2020:  # its primaries are converted as well, which leaves greys alone
        assert columns(path)[2] == pytest.approx(by_hand(SOME[2], *WEIGHTS[matrix]), abs=1.5)
        assert columns(path)[0][0] > by_hand(SOME[0], *WEIGHTS[matrix])[0] + 10
        return
    for found, sample in zip(columns(path), SOME, strict=True):
        assert found == pytest.approx(by_hand(sample, *WEIGHTS[matrix]), abs=3)
    assert read(path).notices == ()


@pytest.mark.parametrize(
    ("tag", "primaries", "matrix", "name"),
    [
        (8, 2, BT601, "YCgCo"),
        (10, 2, BT2020, "BT.2020 with constant luminance"),
        (12, 1, BT709, "derived from the primaries"),
        (14, 2, BT2020, "ICtCp"),
    ],
)
def test_a_matrix_that_cannot_be_converted_is_read_as_the_nearest(
    tmp_path: Path, tag: int, primaries: int, matrix: int, name: str
) -> None:
    """Swscale refuses these, with "operation not supported"."""
    path = patches(tmp_path / "a.mkv", SOME, colorspace=tag, color_primaries=primaries)
    for found, sample in zip(columns(path), SOME, strict=True):
        assert found == pytest.approx(by_hand(sample, *WEIGHTS[matrix]), abs=3)
    (notice,) = read(path).notices
    assert "of unknown kind (99)" in Colour(99).notice(64)
    assert f"matrix is {name}," in notice and "read as BT." in notice and notice.endswith(".")


@pytest.mark.parametrize(("level", "black", "white"), [(1, 16, 235), (2, 0, 255)])
def test_grey_clips_have_a_range(tmp_path: Path, level: int, black: int, white: int) -> None:
    path = patches(tmp_path / "a.mkv", [(black,) * 3, (white,) * 3], pixel_format="gray", color_range=level)
    assert columns(path) == [[0, 0, 0], [255, 255, 255]]


# HDR

# 10-bit Y, Cb, Cr and what zimg 3.0.4 makes of it (ffmpeg 5.1: zscale=tin=smpte2084:min=2020_ncl:pin=2020:rin=limited:
# t=linear:npl=203, zscale=p=709, zscale=t=iec61966-2-1:r=full), which clips above reference white.
ZIMG_PQ = {
    (64, 512, 512): (0, 0, 0),
    (150, 512, 512): (5, 5, 5),
    (300, 512, 512): (51, 51, 51),
    (400, 512, 512): (102, 102, 102),
    (450, 512, 512): (136, 136, 136),
    (350, 450, 560): (137, 56, 13),
    (350, 560, 450): (0, 92, 132),
    (300, 480, 600): (149, 0, 24),
    (400, 400, 500): (75, 121, 0),
}
ZIMG_HLG = {  # tin=arib-std-b67; greys only, as its OOTF takes each channel for itself, which BT.2100 does not
    (64, 512, 512): (0, 0, 0),
    (150, 512, 512): (16, 16, 16),
    (300, 512, 512): (67, 67, 67),
    (400, 512, 512): (102, 102, 102),
    (450, 512, 512): (119, 119, 119),
    (572, 512, 512): (165, 165, 165),
}


def hdr(path: Path, samples: Samples, transfer: int, **tags: int) -> Path:
    tags = {"colorspace": BT2020, "color_primaries": 9, "color_trc": transfer, "color_range": 1, **tags}
    return patches(path, samples, pixel_format="yuv444p10le", **tags)


@pytest.mark.parametrize(("transfer", "expected"), [(PQ, ZIMG_PQ), (HLG, ZIMG_HLG)])
def test_dark_and_middle_tones_of_hdr_are_only_decoded(
    tmp_path: Path, transfer: int, expected: dict[tuple[int, int, int], tuple[int, int, int]]
) -> None:
    path = hdr(tmp_path / "a.mkv", list(expected), transfer)
    assert np.abs(np.array(columns(path)) - list(expected.values())).max() <= 1
    untagged = hdr(tmp_path / "b.mkv", list(expected), transfer, colorspace=2)
    assert columns(untagged) == columns(path)


def test_white_and_highlights_of_hdr(tmp_path: Path) -> None:
    """Reference white is 203 cd/m2: 58 % of PQ, 75 % of HLG (BT.2408). Read as SDR they are 148 and 191. With a peak of
    1000 cd/m2 the BT.2390 of libplacebo 4.208, whose knee is lower than that of the report, gives 213."""
    white = {PQ: 572, HLG: 721}
    for transfer, code in white.items():
        path = hdr(tmp_path / "a.mkv", [(c, 512, 512) for c in (code, 800, 940)], transfer)
        middle, brighter, peak = columns(path)
        assert middle == pytest.approx([229] * 3, abs=1)
        assert middle[0] < brighter[0] <= peak[0] == 255


@pytest.mark.parametrize(
    ("light", "white"),
    [
        ("max-cll=4000,400", 208),
        ("max-cll=0,0:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(40000000,50)", 208),
        ("max-cll=203,50", 255),
        ("hdr10=0", 229),
    ],
)
def test_the_brightest_light_that_the_stream_states(tmp_path: Path, light: str, white: int) -> None:
    """Reference white in a clip of 4000, of 203 and, unless stated, of 1000 cd/m2. H.265 of 10 bits, as from phones."""
    tags = {"colorspace": BT2020, "color_primaries": 9, "color_trc": PQ, "color_range": 1}
    options = {"x265-params": f"log-level=none:qp=4:{light}", "preset": "ultrafast"}
    samples = [(572, 512, 512)] * 4
    path = patches(
        tmp_path / "a.mp4", samples, height=64, pixel_format="yuv420p10le", codec="libx265", options=options, **tags
    )
    assert columns(path)[0] == pytest.approx([white] * 3, abs=3)


def test_the_tone_curve_is_that_of_the_report() -> None:
    """BT.2390: the knee is at 1.5 maxLum - 0.5, here PQ 0.495 or 88 cd/m2. The value at reference white by hand."""
    light = np.array([0, 1, 10, 50, 85])
    assert eetf(light, 1000) == pytest.approx(light, rel=1e-9)
    white, top = float(light_to_pq(np.array(203.0))), float(light_to_pq(np.array(1000.0)))
    assert (white, top) == pytest.approx((0.5807, 0.7518), abs=1e-4)  # SMPTE ST 2084
    most = white / top
    knee = 1.5 * most - 0.5
    t = (most - knee) / (1 - knee)
    by_report = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    assert light_to_pq(eetf(np.array([203.0]), 1000))[0] == pytest.approx(by_report * top, abs=1e-6)
    assert eetf(np.array([1000.0, 4000.0]), 1000) == pytest.approx([203, 203])
    curve = eetf(np.linspace(0, 4000, 500), 4000)
    assert (np.diff(curve) > 0).all()
    assert eetf(light, 203) == pytest.approx(light, rel=1e-9)  # made for SDR: nothing to compress
    assert pq_to_light(light_to_pq(light)) == pytest.approx(light, abs=1e-9)


def test_hlg_is_lit_by_its_luminance() -> None:
    """BT.2100: the light of each channel is multiplied by Ys ** 0.2. By hand, these are 0.1393, 0.0800 and 0.0326 of
    white, and 0.1819, 0.0730 and 0.0259 with the primaries of BT.709."""
    signal = np.rint(np.array([[[0.40548, 0.30726, 0.19629]]]) * 65535).astype(np.uint16)
    assert to_srgb(signal, HLG, 9)[0, 0].tolist() == pytest.approx([118, 76, 44], abs=1)


def test_wide_primaries_without_hdr() -> None:
    """The red of Display P3 at 200 of 255 is (219, 0, 0) clipped in sRGB, greys stay (CSS Color 4, sample code)."""
    signal = np.array([[[200, 0, 0], [90, 90, 90]]], np.uint16) * 257
    red, grey = to_srgb(signal, 13, 12)[0].tolist()
    assert red == [219, 0, 0] and grey == [90, 90, 90]


# Transparency


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "options"),
    [
        ("a.webm", "libvpx", "yuva420p", {"deadline": "realtime", "auto-alt-ref": "0"}),
        ("a.webm", "libvpx-vp9", "yuva420p", {"deadline": "realtime", "cpu-used": "8"}),
        ("a.mov", "prores_ks", "yuva444p10le", {"profile": "4444"}),
        ("a.mov", "png", "rgba", {}),
        ("a.mov", "qtrle", "argb", {}),
        ("a.mkv", "ffv1", "yuva420p", {}),
    ],
)
def test_transparent_parts_are_white(
    tmp_path: Path, name: str, codec: str, pixel_format: str, options: dict[str, str]
) -> None:
    """Left opaque red, in the middle half of it, on the right none, where black is hidden. Chromium draws a VP9 of half
    red over white as (255, 128, 128)."""
    picture = np.zeros((64, 96, 4), np.uint8)
    picture[:, :32], picture[:, 32:64] = (250, 0, 0, 255), (250, 0, 0, 128)
    path = write(tmp_path / name, codec, pictures=[picture] * 6, pixel_format=pixel_format, options=options)
    clip = read(path)
    assert clip.total_frames == 6
    for x, colour in ((12, (250, 0, 0)), (48, (252, 127, 127)), (86, (255, 255, 255))):
        assert np.abs(clip.frames[-1][32, x].astype(int) - colour).max() <= 8, x
    small = read(path, resize=lambda n, s: (16, 24)).frames[0]
    assert small[8, 16:].min() > 130  # no dark seam from the hidden black
