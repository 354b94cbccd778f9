"""HDR still pictures: PQ and HLG, stated by cICP in a PNG and by nclx in AVIF and HEIC. Truths are those of the
standards: ST 2084 and BT.2408 for levels, BT.2087 for the matrix; and what the same signal gives in a clip."""

import struct

import numpy as np
import pytest
from made_pictures import chunk, png, saved
from PIL import Image

from qwen2vl_demo.media import open_image, rgb
from qwen2vl_demo.media.tone_mapping import to_srgb

PQ, HLG, BT2020, SRGB_PRIMARIES = 16, 18, 9, 1
# R, G and B of BT.709 in BT.2020 (ITU-R BT.2087)
TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])


def cicp(primaries: int, transfer: int) -> bytes:
    return chunk(b"cICP", bytes([primaries, transfer, 0, 1]))


def pq(light: np.ndarray) -> np.ndarray:
    """cd/m2 to the signal. (SMPTE ST 2084)"""
    y = (light / 10_000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32)


def linear(colour: tuple[int, int, int]) -> np.ndarray:
    signal = np.asarray(colour) / 255
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def shown(pixels: np.ndarray, *chunks: bytes) -> list[list[int]]:
    """The first row, as it is opened."""
    return np.asarray(open_image(png(pixels, before=list(chunks))))[0].tolist()


def stated(picture: Image.Image) -> bytes:
    """A PNG of any mode, in PQ."""
    data = saved(picture, "PNG")
    header = 8 + 25
    return data[:header] + cicp(BT2020, PQ) + data[header:]


def greys(*levels: int) -> np.ndarray:
    return np.repeat(np.array([levels], np.uint8)[..., None], 3, axis=2)


def test_reference_white_and_peak_of_pq_and_hlg() -> None:
    """White, 203 cd/m2, is 58 % of PQ and 75 % of HLG and comes out at 229; the peak, 75 % and all, at 255."""
    for transfer, white, peak in ((PQ, 148, 192), (HLG, 191, 255)):
        found = shown(greys(0, white, peak), cicp(BT2020, transfer))
        assert [max(colour) - min(colour) for colour in found] == [0, 0, 0]
        assert found[0][0] == 0 and abs(found[1][0] - 229) <= 2 and found[2][0] >= 254


@pytest.mark.parametrize("colour", [(100, 60, 40), (40, 120, 150), (130, 130, 130)])
def test_colours_that_an_sdr_picture_has_too_stay(colour: tuple[int, int, int]) -> None:
    """The curve leaves what is well below white alone. A level of PQ is up to five of sRGB here."""
    light = 203 * linear(colour)
    pixels = np.rint(255 * np.array([[pq(TO_2020 @ light), pq(light)]])).astype(np.uint8)
    found = shown(pixels[:, :1], cicp(BT2020, PQ)) + shown(pixels[:, 1:], cicp(SRGB_PRIMARIES, PQ))
    assert np.abs(np.array(found) - colour).max() <= 5


def test_a_picture_is_shown_as_the_clip_of_the_same_signal() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 200, 3), dtype=np.uint8)
    for primaries, transfer in ((BT2020, PQ), (12, HLG)):
        expected = to_srgb(pixels.astype(np.uint16) * 257, transfer, primaries)
        assert shown(pixels, cicp(primaries, transfer)) == expected[0].tolist()


def test_a_brighter_peak_that_is_stated_leaves_room_for_it() -> None:
    clli = chunk(b"cLLI", struct.pack(">II", 4000 * 10_000, 0))
    mdcv = chunk(b"mDCV", bytes(16) + struct.pack(">II", 4000 * 10_000, 1))
    (usual,), (dimmer,), (mastered,) = (shown(greys(192), cicp(BT2020, PQ), *more) for more in ((), (clli,), (mdcv,)))
    assert usual[0] >= 254 > dimmer[0] == mastered[0]
    unknown = chunk(b"cLLI", bytes(8))
    assert shown(greys(192), cicp(BT2020, PQ), unknown) == [usual]


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
@pytest.mark.parametrize(("transfer", "white"), [(PQ, 148), (HLG, 191)])
def test_avif_and_heic(kind: str, transfer: int, white: int) -> None:
    """An encoder's code points are replaced by those of HDR; BT.2020 is meant where none are stated."""
    grey = Image.fromarray(np.repeat(np.repeat(greys(white), 64, 0), 64, 1))
    data = saved(grey, kind, quality=100)
    place = data.index(b"colrnclx") + 8
    for primaries in (BT2020, 2):
        hdr = data[:place] + struct.pack(">HH", primaries, transfer) + data[place + 4 :]
        found = np.asarray(open_image(hdr))[32, 32].astype(int)
        assert np.abs(found - 229).max() <= 3
    plain = np.asarray(open_image(data))[32, 32].astype(int)
    assert np.abs(plain - white).max() <= 2


def test_strips_and_transparency(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours are converted before they are laid on white, and a large picture in strips."""
    pixels = np.zeros((40, 30, 4), np.uint8)
    pixels[..., :3], pixels[:, 15:, 3] = 148, 255
    data = stated(Image.fromarray(pixels))
    whole = np.asarray(open_image(data))
    assert whole[0, 0].tolist() == [255] * 3 and abs(int(whole[0, 20, 0]) - 229) <= 2
    monkeypatch.setattr(rgb, "STRIP_PIXELS", 30 * 7)
    assert np.array_equal(np.asarray(open_image(data)), whole)


def test_sixteen_bits_are_read_as_well() -> None:
    grey = np.full((4, 4), round(0.5807 * 65535), np.uint16)
    data = stated(Image.fromarray(grey))
    assert abs(int(np.asarray(open_image(data))[0, 0, 0]) - 229) <= 2
