"""An answer while it grows, and what may keep the local engine from giving one: a full context, a full memory.

Knows results and clocks; knows neither the model nor the conversation.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import torch

from qwen2vl_demo.engine.protocol import Result, StopReason
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.trace import PromptTrace


class Answer:
    """The result while it grows."""

    def __init__(self, started: float) -> None:
        self.text = ""
        self.new_tokens = 0
        self.reused_tokens = 0
        self.stop_reason: StopReason = "end"
        self.prompt: PromptTrace | None = None
        self._started = self._last = started
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """Books the time since the last lap under a name."""
        now = time.perf_counter()
        self._laps[name] = now - self._last
        self._last = now

    def result(self) -> Result:
        laps = self._laps
        timings = {**laps, "total": time.perf_counter() - self._started}
        if "prefill" in laps:
            timings["first_token"] = sum(laps[name] for name in ("prepare", "wait", "encode", "prefill"))
        return Result(
            text=self.text,
            stop_reason=self.stop_reason,
            prompt_tokens=len(self.prompt) if self.prompt is not None else 0,
            new_tokens=self.new_tokens,
            timings=timings,
            trace=self.prompt,
            reused_tokens=self.reused_tokens,
        )


def check_context(trace: PromptTrace) -> None:
    """Raises UserError for a prompt that leaves no room for an answer."""
    if len(trace) < trace.context_length:
        return
    pictures = sum(m.merged_tokens for m in trace.media)
    advice = "Clear the chat or write less"
    if pictures > len(trace) // 2:
        advice = "Lower the image budget, send fewer pictures or frames, or clear the chat"
    raise UserError(
        f"This conversation takes {len(trace)} tokens ({pictures} of them pictures), "
        f"but the model reads at most {trace.context_length}. {advice}."
    )


@contextlib.contextmanager
def memory_errors(advice: str, release: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Turns what a device says when its memory is full into a sentence that names what to lower; then `release`."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError):
        pass
    except RuntimeError as error:
        if "memory" not in str(error).lower():
            raise
    else:
        return
    release()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    raise UserError(f"The device ran out of memory. {advice}")
