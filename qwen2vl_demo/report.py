"""`inspect --html`: the panel of the app as one self-contained HTML page.

The page embeds the panel's scripts and makes no requests. File names and words from outside are embedded as JSON data,
never as markup.
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
    """Returns the page.

    `frames` are the resized pixels (n, H, W, 3) uint8 of each of `trace.media`, `originals` the same media before
    resizing, (H, W, 3) uint8, or None; `limits` is the checkpoint's (min_pixels, max_pixels).
    """
    return standalone(payload(trace, frames, originals, limits=limits))
