"""Builds the Result of an answer that is being generated; and the checks for a full context and a full memory."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Iterator

import torch

from qwen2vl_demo.engine.protocol import Result, StopReason
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.model.device import release_unused, synchronize
from qwen2vl_demo.trace import PromptTrace

MEMORY_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed")  # in the words of torch


class ResultBuilder:
    """Collects the text, the counts and the timings of one answer."""

    def __init__(self) -> None:
        """Starts the clock."""
        self.text = ""
        self.new_tokens = 0
        self.reused_tokens = 0
        self.stop_reason: StopReason = "end"
        self.trace: PromptTrace | None = None
        self._started = self._phase_started = time.perf_counter()
        self._seconds: dict[str, float] = {}

    def end_phase(self, name: str, device: torch.device | None = None) -> None:
        """Records the seconds since the end of the last phase, after waiting for the device that ran it."""
        if device is not None:
            synchronize(device)
        now = time.perf_counter()
        self._seconds[name] = now - self._phase_started
        self._phase_started = now

    def result(self) -> Result:
        """The result so far."""
        seconds = self._seconds
        timings = {**seconds, "total": time.perf_counter() - self._started}
        if "prefill" in seconds:
            timings["first_token"] = sum(seconds[name] for name in ("prepare", "wait", "encode", "prefill"))
        return Result(
            text=self.text,
            stop_reason=self.stop_reason,
            prompt_tokens=len(self.trace) if self.trace is not None else 0,
            new_tokens=self.new_tokens,
            timings=timings,
            trace=self.trace,
            reused_tokens=self.reused_tokens,
        )


def check_context(trace: PromptTrace, *, exact_text: bool = True, written: int = 0) -> None:
    """Raises UserError for a prompt that leaves no room for an answer, of which so many tokens are `written` already.

    Without `exact_text` the tokens of words are an estimate, and only those of pictures and clips count.
    """
    pictures = sum(m.merged_tokens for m in trace.media)
    if trace.context_length is None or (len(trace) if exact_text else pictures) + written < trace.context_length:
        return
    advice = "Begin a new chat or write less"
    if pictures > len(trace) // 2:
        advice = "Lower the image budget, send fewer pictures or frames, or begin a new chat"
    raise UserError(
        f"This conversation takes {len(trace) + written} tokens ({pictures} of them pictures), "
        f"but the model reads at most {trace.context_length}. {advice}."
    )


@contextlib.contextmanager
def memory_errors(advice: str, release: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Turns the out-of-memory errors of any device into a UserError with this advice.

    Before that, what was computed is let go of: the frames of the error hold the cache and the activations, `release`
    drops what others hold, and the devices get their memory back.
    """
    try:
        yield
        return
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        problem: BaseException | None = error
    while problem is not None:
        traceback.clear_frames(problem.__traceback__)
        problem = problem.__context__
    release()
    for kind, there in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())):
        if there:
            release_unused(torch.device(kind))
    raise UserError(f"The device ran out of memory. {advice}")


def _is_out_of_memory(error: Exception) -> bool:
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or any(words in str(error).lower() for words in MEMORY_WORDS)
