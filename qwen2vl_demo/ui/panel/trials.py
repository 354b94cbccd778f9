"""One way to ask the question, and what has come of it so far; reading the answers of several at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qwen2vl_demo.engine.protocol import Chunk
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.trace import MediaTrace
from qwen2vl_demo.ui.chat.page_update import FAILED, report
from qwen2vl_demo.ui.chat.prompts import PreparedPrompt
from qwen2vl_demo.ui.chat.streaming import AnswerStream
from qwen2vl_demo.ui.panel.columns import Variation

LOOK_UP = 0.25  # seconds without news from the engine until the next look at it
GATHER = 0.15  # seconds in which words travel together


@dataclass(frozen=True, eq=False)
class Trial:
    """A variation and what came of it."""

    variation: Variation
    medium: MediaTrace | None = None  # the last one, as it was cut this time; None: not yet
    picture: np.ndarray | None = None  # (H, W, 3) uint8, its resized pixels; of a clip, its first frame; None: not yet
    status: str = ""  # what is done before the first word
    answer: str = ""  # so far
    seconds: float | None = None  # to the first token; None while it is written, and where nobody measured it
    reused_tokens: int = 0  # of the prompt: in the cache already, so that the first token came sooner
    ended: bool = False
    problem: str = ""  # why there is no answer, or no more of it

    def of(self, prepared: PreparedPrompt) -> Trial:
        """The same with the picture of its prompt."""
        medium = prepared.trace.attached[-1]
        frames = prepared.prompt.media[prepared.trace.index_of(medium)].frames
        return replace(self, medium=medium, picture=frames[0])

    def after(self, chunk: Chunk) -> Trial:
        """The same after a chunk of its answer."""
        if chunk.result is not None:
            seconds, reused = chunk.result.timings.get("first_token"), chunk.result.reused_tokens
            return replace(self, answer=chunk.result.text, ended=True, seconds=seconds, reused_tokens=reused)
        return replace(self, status=chunk.status or self.status, answer=self.answer + chunk.text)

    def refused(self, problem: UserError | str) -> Trial:
        return replace(self, problem=str(problem), ended=True)


async def streamed(
    streams: Sequence[tuple[int, AnswerStream]], trials: list[Trial], *, apart: bool = False
) -> AsyncGenerator[tuple[Trial, ...], None]:
    """Reads all streams to their ends, each into the trial of its number; all trials whenever there is news.

    Raises what an engine raises. With `apart`, what goes wrong with one stands in its trial, and the others go on.
    """
    while running := [(number, stream) for number, stream in streams if not stream.ended]:
        taken = await asyncio.gather(*(stream.take(LOOK_UP, GATHER) for _, stream in running), return_exceptions=True)
        for (number, _), chunks in zip(running, taken, strict=True):
            if isinstance(chunks, UserError) and apart:
                trials[number] = trials[number].refused(chunks)
            elif isinstance(chunks, Exception) and apart:
                report(chunks, "answering beside others")
                trials[number] = trials[number].refused(FAILED.format("this model"))
            elif isinstance(chunks, BaseException):
                raise chunks
            else:
                for chunk in chunks:
                    trials[number] = trials[number].after(chunk)
        if any(taken):  # an exception is true
            yield tuple(trials)
