"""`inspect --html`: the panel of the app as one page that needs nothing but itself.

Pure: a trace and its pixels in, HTML out. Opens no file of a visitor and knows no model. The page holds the scripts of
the panel, asks no server for anything, and everything that comes from outside (file names, words) is data in it, never
markup.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.viz.lens_page import standalone
from qwen2vl_demo.viz.lens_payload import payload


def report_page(
    trace: PromptTrace,
    frames: Sequence[np.ndarray],
    originals: Sequence[np.ndarray | None] = (),
    *,
    limits: tuple[int, int] | None = None,
) -> str:
    """The whole page. `frames` holds the resized pixels (n, H, W, 3) uint8 of each of `trace.media`, in order,
    `originals` each as it came, (H, W, 3) uint8, or None; `limits` is the checkpoint's (min_pixels, max_pixels)."""
    return standalone(payload(trace, frames, originals, limits=limits))
