"""Pictures as they came, to stand beside the resized ones that the model got.

A few are kept, so that a growing chat does not open its files again with every question. Safe for several threads;
knows no gradio.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from pathlib import Path

import numpy as np

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import load_thumbnail
from qwen2vl_demo.processing.messages import Message, Source, Text, Video
from qwen2vl_demo.trace import MediaTrace

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
            picture = load_thumbnail(part.source, video=isinstance(part, Video))
        except UserError:
            return None
        if key is not None:
            with self._lock:
                self._pictures[key] = picture
                while len(self._pictures) > self._kept:
                    self._pictures.popitem(last=False)
        return picture


def _key(source: Source) -> Hashable | None:
    """What names the content of a source for as long as it lies here; None for what has no name."""
    return str(source) if isinstance(source, str | Path) else None
