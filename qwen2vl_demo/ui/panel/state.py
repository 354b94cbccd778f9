"""What the panel is about: one prompt, sent or about to be sent, with the very pixels that were cut. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from qwen2vl_demo.engine.cost.estimate import Estimate
from qwen2vl_demo.engine.protocol import Outcome
from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.chat.conversation import Conversation


@dataclass(frozen=True)
class Sight:
    """A conversation, what it became, and the pixels behind it."""

    conversation: Conversation = field(default_factory=Conversation)
    trace: PromptTrace | None = None  # None: nothing was asked yet, or its media are gone
    media: tuple[np.ndarray, ...] = ()  # resized frames (n, H, W, 3) uint8 of each of trace.media, in order
    originals: tuple[np.ndarray | None, ...] = ()  # each as it came, (H, W, 3) uint8, perhaps shrunk; None: unknown
    draft: bool = False  # the last turn still stands in the composer
    estimate: Estimate | None = None  # what its answer costs; of a prompt that was sent, as it was said before
    outcomes: tuple[Outcome, ...] = ()  # what the last answers of this tab took, newest last
