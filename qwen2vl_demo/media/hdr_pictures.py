"""HDR still pictures to sRGB, by the curve that HDR clips get (`tone_mapping`).

A picture is HDR where its code points (cICP in PNG, "nclx" in AVIF and HEIF) name PQ or HLG as its transfer. PIL
decodes to 8 bits, in which neighbouring codes of PQ differ by about 4 % of light.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import PIL.Image

from qwen2vl_demo.media.tone_mapping import to_srgb
from qwen2vl_demo.media.video_colour import P_BT2020, T_HLG, T_PQ, UNSPECIFIED

HDR = "hdr"  # key in the `info` of a picture


@dataclass(frozen=True)
class HdrColours:
    """The colours of an HDR picture, and their conversion."""

    transfer: int  # of H.273: PQ or HLG
    primaries: int
    peak: float | None = None  # cd/m2, the brightest light in the picture; None if it is not stated

    @classmethod
    def stated(cls, primaries: int, transfer: int, peak: float | None = None) -> HdrColours | None:
        """From the code points of a file; None for a picture that is not HDR. Primaries that are not stated are those
        of BT.2020, as for clips."""
        if transfer not in (T_PQ, T_HLG):
            return None
        return cls(transfer, P_BT2020 if primaries == UNSPECIFIED else primaries, peak)

    def apply(self, picture: PIL.Image.Image) -> PIL.Image.Image:
        """The picture in sRGB, as a new RGB picture."""
        signal = np.asarray(picture.convert("RGB")).astype(np.uint16) * 257  # 255 becomes 65535
        return PIL.Image.fromarray(to_srgb(signal, self.transfer, self.primaries, self.peak))


def png_peak(content_light: bytes, mastering: bytes) -> float | None:
    """The brightest light in cd/m2 that the data of a cLLI or an mDCV chunk states; 0 there means unknown."""
    if len(content_light) == 8 and (most := int.from_bytes(content_light[:4], "big")):
        return most / 10_000
    if len(mastering) == 24 and (most := int.from_bytes(mastering[16:20], "big")):
        return most / 10_000
    return None


def box_peak(head: bytes) -> float | None:
    """The same for the "clli" and "mdcv" boxes of AVIF and HEIF, which stand in the head of the file."""
    start = head.find(b"clli") + 4
    if start >= 4 and start + 2 <= len(head) and (most := int.from_bytes(head[start : start + 2], "big")):
        return float(most)
    start = head.find(b"mdcv") + 4
    if start >= 4 and start + 20 <= len(head) and (most := struct.unpack_from(">I", head, start + 16)[0]):
        return float(most) / 10_000
    return None
