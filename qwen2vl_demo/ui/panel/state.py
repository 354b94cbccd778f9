"""What the panel shows: one prompt, sent or about to be sent, with the very pixels that were cut. Plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from qwen2vl_demo.engine.cost.estimate import Estimate
from qwen2vl_demo.engine.protocol import Outcome
from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.chat.conversation import Conversation
from qwen2vl_demo.ui.eyes import Eyes

if TYPE_CHECKING:
    from qwen2vl_demo.engine.protocol import Prompt


@dataclass(frozen=True, eq=False)
class PanelState:
    """A conversation, the prompt it became, and what that costs."""

    conversation: Conversation = field(default_factory=Conversation)
    prompt: Prompt | None = None  # as it is drawn; None: nothing was asked yet, or its media are gone
    eyes: Eyes = "model"
    own: PromptTrace | None = None  # of the model that answers, through whatever eyes the prompt is drawn
    draft: bool = False  # the last turn still stands in the composer
    estimate: Estimate | None = None  # what its answer costs; for a prompt that was sent, as predicted before
    outcomes: Sequence[Outcome] = ()  # what the last answers of this tab took, newest last
    model: str = ""  # the name of the model that answers; "" where it is not told
    limits: tuple[int, int] | None = None  # (min_pixels, max_pixels) of its pictures, likewise

    @property
    def trace(self) -> PromptTrace | None:
        return self.prompt.trace if self.prompt else None

    @property
    def frames(self) -> list[np.ndarray]:
        """The resized frames (n, H, W, 3) uint8 of each of trace.media, in order."""
        return [medium.frames for medium in self.prompt.media] if self.prompt else []

    @property
    def thumbnails(self) -> list[np.ndarray | None]:
        """Each medium as it came, (H, W, 3) uint8, perhaps shrunk; None where resizing changed nothing."""
        return [medium.thumbnail for medium in self.prompt.media] if self.prompt else []
