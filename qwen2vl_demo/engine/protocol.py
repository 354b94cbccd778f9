"""What an engine is: the protocol, its options and its chunks. Three exist: local, remote and the tests' fake.

Knows messages and traces; knows neither torch nor the network nor the page.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from qwen2vl_demo.attention_trace import AttentionTrace, Word
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.geometry import PositionScheme
from qwen2vl_demo.processing.messages import MediaOptions, Message
from qwen2vl_demo.trace import PromptTrace

if TYPE_CHECKING:
    from qwen2vl_demo.engine.cost.estimate import Estimate
    from qwen2vl_demo.processing.processor import Prompt

StopReason = Literal["end", "length", "cancelled"]


@dataclass(frozen=True)
class GenerationOptions:
    """How an answer is written."""

    max_new_tokens: int = 512
    temperature: float = 0.0  # 0 is greedy: always the likeliest token
    top_p: float = 1.0  # sample from the smallest set of tokens whose probability reaches this
    top_k: int = 0  # sample from this many likeliest tokens; 0 is all
    repetition_penalty: float = 1.0  # above 1 makes tokens that already stand in the prompt or answer less likely
    seed: int | None = None  # the same seed gives the same answer
    add_vision_id: bool = False  # put "Picture 1: " before each picture
    positions: PositionScheme = "mrope"  # anything else is an experiment
    media: MediaOptions = field(default_factory=MediaOptions)

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise UserError(f"An answer needs room for at least 1 token, not {self.max_new_tokens}.")
        if not 0 <= self.temperature <= 5:
            raise UserError(f"The temperature must be between 0 and 5, not {self.temperature}.")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p must be above 0 and at most 1, not {self.top_p}.")
        if self.top_k < 0:
            raise UserError(f"top_k must be 0 (all tokens) or more, not {self.top_k}.")
        if not 0.5 <= self.repetition_penalty <= 5:
            raise UserError(f"The repetition penalty must be between 0.5 and 5, not {self.repetition_penalty}.")


@dataclass(frozen=True)
class Result:
    """What a finished (or stopped) answer was and cost."""

    text: str
    stop_reason: StopReason
    prompt_tokens: int
    new_tokens: int
    timings: dict[str, float]  # seconds: prepare, encode, prefill, first_token, decode, total
    trace: PromptTrace | None = None
    reused_tokens: int = 0  # of the prompt: still known from an earlier turn, and not computed again


@dataclass(frozen=True)
class Chunk:
    """One step of a stream: a status, some text, or (last of all) the result."""

    text: str = ""  # new text; never half a character
    status: str | None = None  # what the engine is doing now, for people
    result: Result | None = None  # set on the last chunk only


class Engine(Protocol):
    """Something that answers. Safe to call from several threads: it runs one conversation at a time."""

    name: str  # what the page calls it

    @property
    def description(self) -> str:
        """Parameters, device and dtype, and why these."""
        ...

    @property
    def pixel_limits(self) -> tuple[int, int]:
        """(min_pixels, max_pixels) of a picture where the options leave them open."""
        ...

    def prepare(self, messages: Sequence[Message], options: GenerationOptions) -> PromptTrace:
        """What the conversation becomes; computed without weights. Raises UserError."""
        ...

    def prompt(self, messages: Sequence[Message], options: GenerationOptions) -> Prompt:
        """The same, together with the resized pixels that are cut into patches. Raises UserError."""
        ...

    def estimate(self, trace: PromptTrace, options: GenerationOptions) -> Estimate:
        """What an answer to it will cost. May be left out: then `estimate_of` counts the tokens."""
        ...

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, cancel: threading.Event | None = None
    ) -> Generator[Chunk, None, None]:
        """Answers the last message. Setting `cancel` ends it at the next step, with stop_reason "cancelled".

        Raises UserError before the first chunk for whatever the caller can change.
        """
        ...

    def words(self, prompt: PromptTrace, answer: str) -> tuple[Word, ...]:
        """The words of an answer to a prompt, as `attend` numbers them. Cheap, and waits for nothing.

        Raises UserError, with the reason, where the engine cannot see its model's attention.
        """
        ...

    def attend(
        self,
        messages: Sequence[Message],
        options: GenerationOptions,
        answer: str,
        word: int,
        cancel: threading.Event | None = None,
    ) -> AttentionTrace | None:
        """Where word number `word` of an answer looked when it was written. None if `cancel` was set meanwhile.

        Costs one step a token of the word while the conversation is still in memory, else its prompt is read again.
        Raises UserError as `words` does.
        """
        ...
