"""Pictures and clips as parts of a request, with exactly the pixels that the page shows.

A picture is a PNG. A clip is a file of lossless H.264 (RGB) at two frames a second, from which servers, which sample
two frames a second, take exactly these frames. Both are encoded once, however often they are sent, and kept within a
budget of bytes. vLLM keeps pictures and clips that came with a `uuid` and afterwards takes the uuid alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import secrets
from collections.abc import Iterable
from typing import Any

import av
import numpy as np
import PIL.Image

from qwen2vl_demo.geometry import TEMPORAL_PATCH_SIZE, VIDEO_FPS
from qwen2vl_demo.lru_cache import LRUCache
from qwen2vl_demo.processing.image import VisionInput

CACHE_BYTES = 96 * 2**20  # of encoded media; a picture of the largest size takes 12 to 33 MB
MAX_HELD = 4096  # media that the server is remembered to hold
LOSSLESS = {"qp": "0", "preset": "ultrafast"}  # of x264: 3 ms a frame


class MediaParts:
    """Encodes media for one server, and remembers which of them the server holds. Safe for several threads."""

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self._encoded: LRUCache[str, str] = LRUCache(max_bytes, weight=len)
        self._held: LRUCache[str, bool] = LRUCache(MAX_HELD)
        # Whoever else uses the server must not be able to guess a uuid and store other pixels under it.
        self._secret = secrets.token_bytes(16)

    def part(self, medium: VisionInput, *, named: bool) -> dict[str, Any]:
        """The part of a message. `named`: with a uuid, and without content where the server holds it."""
        kind = "video_url" if medium.kind == "video" else "image_url"
        content = None if named and medium.digest in self._held else {"url": self._data_uri(medium)}
        part: dict[str, Any] = {"type": kind, kind: content}
        if named:
            part["uuid"] = hmac.new(self._secret, medium.digest.encode(), hashlib.sha256).hexdigest()
        return part

    def sent(self, media: Iterable[VisionInput]) -> None:
        """The server has answered a request with these media, all named."""
        for medium in media:
            self._held.put(medium.digest, True)

    def forget(self, media: Iterable[VisionInput]) -> bool:
        """The server holds these media no longer. False if it was not thought to hold any of them."""
        return any([self._held.pop(medium.digest) is not None for medium in media])

    def _data_uri(self, medium: VisionInput) -> str:
        uri = self._encoded.get(medium.digest)
        if uri is None:
            uri = clip_uri(medium.frames) if medium.kind == "video" else picture_uri(medium.frames[0])
            self._encoded.put(medium.digest, uri)
        return uri


def picture_uri(pixels: np.ndarray) -> str:
    """A picture (H, W, 3) uint8 as a PNG in a `data:` URI."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
    return f"data:image/png;base64,{_base64(buffer.getvalue())}"


def clip_uri(frames: np.ndarray) -> str:
    """A clip (n, H, W, 3) uint8 as an MP4 in a `data:` URI.

    The last frame of an odd number is repeated, as the model does anyway, since some servers leave it out instead.
    """
    missing = -len(frames) % TEMPORAL_PATCH_SIZE
    content = clip_file(np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)]) if missing else frames)
    return f"data:video/mp4;base64,{_base64(content)}"


def clip_file(frames: np.ndarray, fps: int = int(VIDEO_FPS)) -> bytes:
    """An MP4 of frames (n, H, W, 3) uint8, at `fps` frames per second, that decodes to the same pixels."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264rgb", rate=fps, options=LOSSLESS)
        stream.pix_fmt = "rgb24"
        stream.height, stream.width = frames.shape[1:3]
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
