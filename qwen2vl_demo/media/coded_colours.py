"""Colours that a file states as code points or chromaticities instead of a profile, as an ICC profile.

PNG has them in its cICP, gAMA and cHRM chunks, AVIF and HEIF in a "colr" box of type "nclx". (ITU-T H.273 for the code
points; ICC.1 for the profile.)
"""

from __future__ import annotations

import struct

import numpy as np

Chromaticities = tuple[float, float, float, float, float, float, float, float]  # x and y of white, red, green, blue

D65 = (0.3127, 0.3290)
SRGB_PRIMARIES: Chromaticities = (*D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
PRIMARIES: dict[int, Chromaticities] = {
    1: SRGB_PRIMARIES,
    5: (*D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (*D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),  # BT.2020
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),  # Display P3
}
SRGB_TRANSFER, UNSPECIFIED = 13, 2
BROADCAST_TRANSFERS = (1, 6, 14, 15)  # BT.709, BT.601 and BT.2020, which have the same curve
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)  # g, a, b, c, d: (a x + b)^g from d on, below c x
SCREEN_CURVE = (2.4,)  # how BT.709 and BT.2020 are meant to be shown, and are in Chromium (BT.1886)
CURVES: dict[int, tuple[float, ...]] = {
    **dict.fromkeys(BROADCAST_TRANSFERS, SCREEN_CURVE), 4: (2.2,), 5: (2.8,), 8: (1.0,), SRGB_TRANSFER: SRGB_CURVE,
}  # fmt: skip
GAMMA_22, GAMMA_TOLERANCE = 0.45455, 0.05  # what programs write for sRGB; browsers convert from about here on
CHROMATICITY_TOLERANCE = 0.002
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
D50_XYZ = np.array([0.9642, 1.0, 0.8249])


def from_code_points(primaries: int, transfer: int) -> bytes | None:
    """A profile for colour primaries and transfer characteristics; None for sRGB, unknown values, PQ and HLG."""
    if primaries not in PRIMARIES or transfer not in CURVES or (primaries, transfer) == (1, SRGB_TRANSFER):
        return None
    return matrix_profile(PRIMARIES[primaries], CURVES[transfer])


def from_gamma(gamma: float | None, chromaticities: Chromaticities | None) -> bytes | None:
    """A profile for the exponent with which a PNG was encoded and its primaries; None where it is as good as sRGB.

    As in browsers, primaries without an exponent count for nothing. About 1 / 2.2 with the primaries of sRGB is what
    many programs write for sRGB and is left alone, which differs from browsers by up to 9 levels in dark parts.
    """
    if gamma is None or not 0.05 <= gamma <= 20:
        return None
    primaries = chromaticities or SRGB_PRIMARIES
    deviation = max(abs(x - y) for x, y in zip(primaries, SRGB_PRIMARIES, strict=True))
    if abs(gamma - GAMMA_22) <= GAMMA_TOLERANCE * GAMMA_22 and deviation <= CHROMATICITY_TOLERANCE:
        return None
    return matrix_profile(primaries, (1 / gamma,))


def matrix_profile(chromaticities: Chromaticities, curve: tuple[float, ...]) -> bytes | None:
    """An ICC profile (version 4.2, display, RGB) of three primaries and one tone curve, a gamma or five parameters.
    None for chromaticities of which no profile can be made."""
    white, *colours = (_xyz(x, y) for x, y in zip(chromaticities[::2], chromaticities[1::2], strict=True))
    columns = np.column_stack(colours)
    if not np.isfinite(columns).all() or not np.isfinite(white).all() or abs(np.linalg.det(columns)) < 1e-6:
        return None
    cone = BRADFORD @ white
    adapted = np.linalg.inv(BRADFORD) @ np.diag((BRADFORD @ D50_XYZ) / cone) @ BRADFORD  # of this white to D50
    matrix = adapted @ columns @ np.diag(np.linalg.inv(columns) @ white)
    if np.abs(matrix).max() > 10:
        return None
    tone = b"para" + struct.pack(">4xHxx", 0 if len(curve) == 1 else 3) + _fixed(curve)
    text = "".encode("utf-16-be")
    words = b"mluc" + struct.pack(">4xII", 0, 12) + text
    tags = {b"desc": words, b"cprt": words, b"wtpt": _xyz_tag(D50_XYZ)}
    tags |= {name: _xyz_tag(matrix[:, i]) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), tone)
    offset = 128 + 4 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for name, body in tags.items():
        table += struct.pack(">4sII", name, offset + len(data), len(body))
        data += body + bytes(-len(body) % 4)
    size = offset + len(data)
    head = struct.pack(">I4xI4s4s4s12x4s", size, 0x04200000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    return head.ljust(68, b"\0") + _fixed(D50_XYZ) + bytes(48) + table + data


def _xyz(x: float, y: float) -> np.ndarray:
    return np.array([x / y, 1.0, (1 - x - y) / y]) if y else np.full(3, np.nan)


def _xyz_tag(values: np.ndarray) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(values)


def _fixed(values: np.ndarray | tuple[float, ...]) -> bytes:
    """Numbers of 16.16 bits."""
    return struct.pack(f">{len(values)}i", *(round(float(value) * 65536) for value in values))
