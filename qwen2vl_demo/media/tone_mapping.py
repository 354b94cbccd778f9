"""HDR and wide-gamut video to sRGB, in numpy, on frames that are scaled already.

HDR is decoded to light (PQ: SMPTE ST 2084; HLG: ITU-R BT.2100, with the system gamma of a 1000 cd/m2 display). The
white of sRGB is HDR reference white, 203 cd/m2 (ITU-R BT.2408). Light is compressed to that by the EETF of Report ITU-R
BT.2390 (section 5.4.1), a curve in PQ that is the identity for dark and middle tones and rolls off above. It is applied
to the brightest of R, G and B, and all three are scaled alike, which keeps the hue. Primaries are converted by a matrix
and clipped to BT.709. Of a file mastered at 1000 cd/m2, reference white comes out at 229 of 255 and the peak at 255.
"""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np

from qwen2vl_demo.media.video_colour import P_BT709, P_BT2020, P_DCI_P3, P_DISPLAY_P3, T_HLG, T_PQ

WHITE = 203.0  # cd/m2, HDR reference white
PQ_PEAK = 10_000.0  # cd/m2, what PQ can express
USUAL_PEAK = 1000.0  # cd/m2, of a display for which HDR is made unless the file states another
HLG_GAMMA = 1.2  # system gamma of a display of 1000 cd/m2
LEVELS = 65_536  # of the 16-bit frames that come in, and of the table that encodes

# x, y of red, green and blue; white is D65 throughout (DCI-P3 as FFmpeg's "P3 D65" and as phones write it)
CHROMATICITIES = {
    P_BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    P_BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    P_DCI_P3: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    P_DISPLAY_P3: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
D65 = (0.3127, 0.3290)


def to_srgb(picture: np.ndarray, transfer: int, primaries: int, peak: float | None = None) -> np.ndarray:
    """Converts (h, w, 3) uint16 R'G'B' of full range to (h, w, 3) uint8 sRGB.

    `transfer` and `primaries` are numbers of H.273. `peak` is the brightest light of the clip in cd/m2, if known; it
    matters for PQ only. A transfer other than PQ and HLG is taken for that of sRGB, so that greys stay as they are.
    """
    light = _to_light(transfer).take(picture)  # (h, w, 3) float32
    if transfer == T_PQ:
        top = float(np.clip(peak or USUAL_PEAK, WHITE, PQ_PEAK))
        light *= _pq_gain(top).take(_brightest(picture))[..., None]
    elif transfer == T_HLG:
        system = _at_root(_hlg_system_gain(), light @ _luminance(primaries))
        light *= (system * _at_root(_hlg_gain(), system * _brightest(light) * (WHITE / USUAL_PEAK)))[..., None]
    if primaries != P_BT709 and primaries in CHROMATICITIES:
        light = light @ _to_bt709(primaries)
    np.clip(light, 0, 1, out=light)
    light *= LEVELS - 1
    light += 0.5
    return _encoded().take(light.astype(np.uint16))


def _brightest(picture: np.ndarray) -> np.ndarray:
    """The largest of R, G and B. (h, w); much faster than max(axis=-1)"""
    return np.maximum(np.maximum(picture[..., 0], picture[..., 1]), picture[..., 2])


def _at_root(table: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Looks values of 0..1 up in a table over their square roots, which is finer in the dark."""
    return table.take((np.sqrt(np.clip(values, 0, 1)) * (LEVELS - 1) + 0.5).astype(np.uint16))


def pq_to_light(signal: np.ndarray) -> np.ndarray:
    """PQ signal of 0..1 to cd/m2."""
    m1, m2, c1, c2, c3 = 1305 / 8192, 2523 / 32, 107 / 128, 2413 / 128, 2392 / 128
    root = np.power(signal, 1 / m2)
    return PQ_PEAK * np.power(np.maximum(root - c1, 0) / (c2 - c3 * root), 1 / m1)


def light_to_pq(light: np.ndarray) -> np.ndarray:
    """cd/m2 to a PQ signal of 0..1."""
    m1, m2, c1, c2, c3 = 1305 / 8192, 2523 / 32, 107 / 128, 2413 / 128, 2392 / 128
    root = np.power(np.asarray(light) / PQ_PEAK, m1)
    return np.power((c1 + c2 * root) / (1 + c3 * root), m2)


def hlg_to_scene(signal: np.ndarray) -> np.ndarray:
    """HLG signal of 0..1 to scene light of 0..1 (inverse OETF)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


def eetf(light: np.ndarray, peak: float) -> np.ndarray:
    """Compresses light of 0..`peak` cd/m2 to 0..WHITE, both with a black of 0 (BT.2390)."""
    white, top = light_to_pq(np.array([WHITE, peak]))
    most = white / top
    knee = 1.5 * most - 0.5
    signal = np.clip(light_to_pq(light) / top, 0, 1)
    t = np.clip((signal - knee) / max(1 - knee, 1e-9), 0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * most
    return pq_to_light(np.where(signal < knee, signal, spline) * top)


@cache
def _to_light(transfer: int) -> np.ndarray:
    """Light for each 16-bit signal, as float32: of PQ and SDR in units of white, of HLG of the scene."""
    signal = np.arange(LEVELS) / (LEVELS - 1)
    if transfer == T_PQ:
        light = pq_to_light(signal) / WHITE
    elif transfer == T_HLG:
        light = hlg_to_scene(signal)
    else:
        light = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)


@cache
def _encoded() -> np.ndarray:
    """The sRGB code for each 16-bit value of linear light. (65536,) uint8"""
    light = np.arange(LEVELS) / (LEVELS - 1)
    signal = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.power(light, 1 / 2.4) - 0.055)
    return np.rint(255 * signal).astype(np.uint8)


@lru_cache(maxsize=16)
def _pq_gain(peak: float) -> np.ndarray:
    """By how much light is multiplied, for each 16-bit signal of the brightest channel. (65536,) float32"""
    light = pq_to_light(np.arange(LEVELS) / (LEVELS - 1))
    return (eetf(light, peak) / np.maximum(light, 1e-9)).astype(np.float32)


@cache
def _hlg_gain() -> np.ndarray:
    """The same for each square root of light, 1 being the peak."""
    light = USUAL_PEAK * (np.arange(LEVELS) / (LEVELS - 1)) ** 2
    gain = eetf(light, USUAL_PEAK) / np.maximum(light, 1e-9)
    gain[0] = 1
    return gain.astype(np.float32)


@cache
def _hlg_system_gain() -> np.ndarray:
    """The system gamma, for each square root of the luminance of the scene: light of the display, in units of white."""
    luminance = (np.arange(LEVELS) / (LEVELS - 1)) ** 2
    return (luminance ** (HLG_GAMMA - 1) * (USUAL_PEAK / WHITE)).astype(np.float32)


@cache
def _to_xyz(primaries: int) -> np.ndarray:
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in CHROMATICITIES.get(primaries, CHROMATICITIES[1])]).T
    x, y = D65
    return columns * np.linalg.solve(columns, np.array([x / y, 1, (1 - x - y) / y]))


@cache
def _to_bt709(primaries: int) -> np.ndarray:
    """(3, 3) float32 by which rows of R, G, B are multiplied."""
    return np.linalg.solve(_to_xyz(P_BT709), _to_xyz(primaries)).T.astype(np.float32)


@cache
def _luminance(primaries: int) -> np.ndarray:
    return _to_xyz(primaries)[1].astype(np.float32)
