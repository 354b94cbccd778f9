"""How the samples of a video frame are to be read as colours: matrix, range, transfer and primaries.

The numbers are those of ITU-T H.273, which FFmpeg uses as well. What neither the stream nor the container states is
decided as Chromium does for H.264: BT.601 below 720 lines, BT.709 from there. BT.2020 if transfer or primaries are.
"""

from __future__ import annotations

from dataclasses import dataclass

import av
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange, Colorspace

UNSPECIFIED = 2
HD_LINES = 720

RGB = 0  # of YCbCr samples this tag is a mistake
BT709, FCC, BT470BG, SMPTE170M, SMPTE240M, BT2020 = 1, 4, 5, 6, 7, 9  # matrices that swscale converts from
MATRICES = {
    BT709: Colorspace.ITU709,
    FCC: Colorspace.FCC,
    BT470BG: Colorspace.ITU601,
    SMPTE170M: Colorspace.ITU601,
    SMPTE240M: Colorspace.SMPTE240M,
    BT2020: Colorspace.BT2020,
}
# The others, and which of the above is nearest (None: as if nothing were stated)
YCGCO, BT2020_CONSTANT, DERIVED, DERIVED_CONSTANT, ICTCP = 8, 10, 12, 13, 14
OTHER_MATRICES: dict[int, tuple[str, int | None]] = {
    YCGCO: ("YCgCo", None),
    BT2020_CONSTANT: ("BT.2020 with constant luminance", BT2020),
    11: ("Y'D'zD'x", BT2020),
    DERIVED: ("derived from the primaries", None),
    DERIVED_CONSTANT: ("derived from the primaries, with constant luminance", None),
    ICTCP: ("ICtCp", BT2020),
    15: ("IPT-C2", BT2020),
    16: ("YCgCo-Re", None),
    17: ("YCgCo-Ro", None),
}
NAMES = {BT709: "BT.709", BT470BG: "BT.601", BT2020: "BT.2020"}

P_BT709, P_BT2020, P_DCI_P3, P_DISPLAY_P3 = 1, 9, 11, 12
T_PQ, T_HLG = 16, 18


@dataclass(frozen=True)
class Colour:
    """The description of a frame's colours. Numbers of H.273; 2 is unspecified, a range of 0 as well."""

    matrix: int = UNSPECIFIED
    range: int = 0  # 1 is 16..235, 2 is 0..255
    transfer: int = UNSPECIFIED
    primaries: int = UNSPECIFIED

    @classmethod
    def of(cls, source: av.VideoFrame | VideoCodecContext, otherwise: Colour | None = None) -> Colour:
        """Of a frame or of a stream's codec context. What it does not state is taken from `otherwise`."""
        stated = cls(source.colorspace, source.color_range, source.color_trc, source.color_primaries)
        if otherwise is None:
            return stated
        return cls(
            otherwise.matrix if stated.matrix == UNSPECIFIED else stated.matrix,
            stated.range or otherwise.range,
            otherwise.transfer if stated.transfer == UNSPECIFIED else stated.transfer,
            otherwise.primaries if stated.primaries == UNSPECIFIED else stated.primaries,
        )

    @property
    def hdr(self) -> bool:
        return self.transfer in (T_PQ, T_HLG)

    @property
    def wide(self) -> bool:
        """Whether the primaries hold colours that sRGB has not."""
        return self.primaries in (P_BT2020, P_DCI_P3, P_DISPLAY_P3)

    def readable_matrix(self, lines: int) -> int:
        """The matrix, out of those that can be converted from, for a frame of this many lines."""
        if self.matrix in MATRICES:
            return self.matrix
        nearest = OTHER_MATRICES.get(self.matrix, ("", None))[1]
        if nearest is not None:
            return nearest
        if self.hdr or self.primaries == P_BT2020:
            return BT2020
        if self.matrix in (DERIVED, DERIVED_CONSTANT) and self.primaries == P_BT709:
            return BT709
        return BT709 if lines >= HD_LINES else BT470BG

    def swscale(self, lines: int) -> tuple[Colorspace, ColorRange]:
        """Matrix and range as arguments of `VideoReformatter.reformat`."""
        return MATRICES[self.readable_matrix(lines)], ColorRange(self.range if self.range in (1, 2) else 0)

    def notice(self, lines: int) -> str:
        """A sentence if the matrix is read as another one, otherwise ""."""
        if self.matrix in MATRICES or self.matrix in (RGB, UNSPECIFIED):
            return ""
        name = OTHER_MATRICES.get(self.matrix, (f"of unknown kind ({self.matrix})", None))[0]
        return (
            f"Its colour matrix is {name}, which cannot be converted here; "
            f"its colours were read as {NAMES[self.readable_matrix(lines)]} and may be wrong."
        )
