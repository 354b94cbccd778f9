"""Pictures as they came, made small enough to look at: what stands beside the resized picture that the model got.

Of a clip it is the first frame, which is always among the sampled ones. A few are kept, so that a growing chat does
not open its files again with every question. Safe for several threads; knows no gradio.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from pathlib import Path

import numpy as np

from qwen2vl_demo import media
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.geometry import Size
from qwen2vl_demo.processing.messages import Image, Message, Source, Text
from qwen2vl_demo.trace import MediaTrace

SIDE = 1280  # px, the longer side at most
KEPT = 16


class Originals:
    """Opens each file once."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._pictures: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, medium: MediaTrace, message: Message) -> np.ndarray | None:
        """(H, W, 3) uint8 of one medium of a message; None where resizing changed nothing or it cannot be opened."""
        part = message.parts[medium.part]
        if isinstance(part, Text) or medium.original_size == medium.resized_size:
            return None
        key = _key(part.source)
        with self._lock:
            if (known := self._pictures.get(key)) is not None:
                self._pictures.move_to_end(key)
                return known
        try:
            picture = _picture(part.source) if isinstance(part, Image) else _first_frame(part.source)
        except UserError:
            return None
        if key is not None:
            with self._lock:
                self._pictures[key] = picture
                while len(self._pictures) > self._kept:
                    self._pictures.popitem(last=False)
        return picture


def _picture(source: Source) -> np.ndarray:
    picture = media.open_image(source)
    picture.thumbnail((SIDE, SIDE), reducing_gap=2.0)
    return np.asarray(picture, dtype=np.uint8)


def _first_frame(source: str | Path | bytes) -> np.ndarray:
    return media.read_video(source, fps=1.0, min_frames=2, max_frames=2, resize=_fitting).frames[0]


def _fitting(count: int, size: Size) -> Size:
    scale = min(1.0, SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _key(source: Source) -> Hashable | None:
    """What names the content of a source for as long as it lies here; None for what has no name."""
    return str(source) if isinstance(source, str | Path) else None
