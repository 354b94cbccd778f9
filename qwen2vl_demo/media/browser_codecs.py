"""Which clips browsers play, by container, codec and pixel format.

Listed is what current Chromium, Firefox and Safari all play without help of the machine they run on. HEVC is not:
whether it plays depends on the graphics card.
"""

from __future__ import annotations

import av

ANIMATIONS = ("gif", "webp")  # which browsers show as pictures
CODECS = {  # FFmpeg's names, by the ending that a file gets here
    "mp4": ("h264", "vp9", "av1"),
    "mov": ("h264",),
    "webm": ("vp8", "vp9", "av1"),
}
EIGHT_BIT = ("yuv420p", "yuvj420p", "yuva420p")
PIXEL_FORMATS = {"vp9": (*EIGHT_BIT, "yuv420p10le"), "av1": (*EIGHT_BIT, "yuv420p10le")}  # of others, EIGHT_BIT


def plays_in_browsers(ending: str, stream: av.VideoStream) -> bool:
    """Whether browsers play a file of this ending with this stream."""
    decoder = stream.codec_context
    if ending in ANIMATIONS:
        return True
    if decoder is None:
        return False
    codec = decoder.codec.canonical_name
    return codec in CODECS.get(ending, ()) and decoder.pix_fmt in PIXEL_FORMATS.get(codec, EIGHT_BIT)
