"""The engine protocol: what every engine offers, the options of an answer, and what an answer consists of.

Implemented by LocalEngine, RemoteEngine, ProcessorOnlyEngine and the tests' FakeEngine. Imports no torch.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from qwen2vl_demo.attention_trace import AttentionTrace, Word
from qwen2vl_demo.config import Qwen2VLConfig
from qwen2vl_demo.engine.cost.estimate import Estimate
from qwen2vl_demo.engine.laboratory import Candidate, Choices, Likelihood, Way
from qwen2vl_demo.engine.request_queue import RequestQueue, Ticket
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.geometry import PositionScheme
from qwen2vl_demo.processing.messages import MediaOptions, Message
from qwen2vl_demo.trace import PromptTrace

if TYPE_CHECKING:
    from qwen2vl_demo.processing.processor import Prompt

MAX_SEED = 2**63 - 1  # what PyTorch and the servers take
StopReason = Literal["end", "length", "cancelled"]


@dataclass(frozen=True)
class GenerationOptions:
    """How an answer is generated, and how its media become pixels. Hashable."""

    max_new_tokens: int = 512
    temperature: float = 0.0  # 0 is greedy decoding
    top_p: float = 1.0  # sample from the smallest set of tokens that reaches this probability
    top_k: int = 0  # sample from the k most probable tokens; 0 is all
    repetition_penalty: float = 1.0  # above 1 makes tokens of the prompt and the answer less probable
    seed: int | None = None  # the same seed gives the same answer
    add_vision_id: bool = False  # put "Picture 1: " before each picture
    positions: PositionScheme = "mrope"  # the others are for experiments
    # What an engine has cached is found under the same salt only: a secret of one conversation, since the numbers and
    # the time of a hit would tell its visitor what others have asked. All that have none share.
    cache_salt: str = field(default="", repr=False)
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
        if self.seed is not None and not 0 <= self.seed <= MAX_SEED:
            raise UserError(f"The seed must be between 0 and {MAX_SEED}, not {self.seed}.")


@dataclass(frozen=True)
class Result:
    """A finished or cancelled answer, and what it took."""

    text: str
    stop_reason: StopReason
    prompt_tokens: int
    new_tokens: int
    timings: dict[str, float]  # seconds: prepare, encode, prefill (to the first token), first_token, decode, total
    trace: PromptTrace | None = None
    reused_tokens: int = 0  # of the prompt: in the KV cache from an earlier turn
    notes: tuple[str, ...] = ()  # for people: which settings did not act, and the like
    remark: str = ""  # for people: where the model read something else than the trace shows, and why


@dataclass(frozen=True)
class Abilities:
    """What an engine can do beside answering; the page does not offer the rest."""

    attention: bool = True  # `answer_words`, `answer_tokens` and `word_attention`
    laboratory: bool = False  # `laboratory`
    positions: bool = True  # GenerationOptions.positions other than "mrope"
    answers: bool = True  # `stream`, and all that needs weights
    resumes: bool = True  # `stream` of messages that end in an unfinished answer
    regions: bool = True  # questions about a Region, as far as is known: whether it was trained on them


@dataclass(frozen=True)
class Chunk:
    """One step of a stream: a status, some text, or (last of all) the result."""

    text: str = ""  # new text; never half a character
    status: str | None = None  # what the engine is doing, for people
    result: Result | None = None  # set on the last chunk only


@dataclass(frozen=True)
class Outcome:
    """The prediction for an answer, and what the answer took."""

    estimate: Estimate
    timings: Mapping[str, float]  # seconds, as in Result
    prompt_tokens: int
    new_tokens: int
    reused_tokens: int

    @classmethod
    def of(cls, estimate: Estimate, result: Result) -> Outcome:
        return cls(estimate, result.timings, result.prompt_tokens, result.new_tokens, result.reused_tokens)


class Laboratory(Protocol):
    """Each call takes a place in the engine's queue (`ticket` is as in `Engine.stream`), returns None if `cancel` was
    set, and raises UserError for what the caller can change. `prompt` is that of the answer."""

    def likelihood(
        self,
        prompt: Prompt,
        answer: str,
        watched: Collection[int] = (),
        cancel: threading.Event | None = None,
        *,
        ticket: Ticket | None = None,
    ) -> Likelihood | None:
        """The likelihood of an answer in one forced pass. `watched` are indices in the prompt."""
        ...

    def likelihood_without(
        self,
        prompt: Prompt,
        answer: str,
        hidden: Collection[int],
        way: Way,
        cancel: threading.Event | None = None,
        *,
        ticket: Ticket | None = None,
    ) -> np.ndarray | None:
        """The log-probabilities (A,) of the same tokens when merged tokens, given by their indices in the prompt, are
        hidden. Raises ValueError if some are no merged tokens."""
        ...

    def choices(
        self,
        prompt: Prompt,
        answer: str,
        word: int,
        options: GenerationOptions,
        cancel: threading.Event | None = None,
        *,
        ticket: Ticket | None = None,
    ) -> Choices | None:
        """What the tokens of word number `word` were chosen from, by the rules of these options."""
        ...

    def continued(
        self,
        prompt: Prompt,
        answer: str,
        place: int,
        token: int,
        options: GenerationOptions,
        cancel: threading.Event | None = None,
        *,
        ticket: Ticket | None = None,
    ) -> str | None:
        """The answer that would have been: up to `place` as it is, then `token`, then greedy."""
        ...

    def layer_words(
        self, prompt: Prompt, token: int, cancel: threading.Event | None = None, *, ticket: Ticket | None = None
    ) -> tuple[tuple[Candidate, ...], ...] | None:
        """For token number `token` of the prompt, the tokens of the vocabulary nearest to its hidden state: before the
        first layer, and after each. Nearness is the probability that the output layer gives them from this state."""
        ...


class Engine(Protocol):
    """Answers conversations. Safe to call from several threads; `queue` bounds how many requests run at a time."""

    @property
    def name(self) -> str:
        """The model's name, shown on the page."""
        ...

    queue: RequestQueue

    @property
    def abilities(self) -> Abilities: ...

    @property
    def description(self) -> str:
        """Parameters, device and dtype, and why these were chosen; for people."""
        ...

    @property
    def pixel_limits(self) -> tuple[int, int]:
        """(min_pixels, max_pixels) of a picture where the options leave them open."""
        ...

    @property
    def max_frames(self) -> int:
        """The most frames of a clip where the options leave it open."""
        ...

    @property
    def config(self) -> Qwen2VLConfig | None:
        """The loaded checkpoint's configuration; None where no weights are loaded here."""
        ...

    def warm_up(self) -> None:
        """Measures once what `estimate` needs, so that no later call has to. Does nothing where nothing is needed."""
        ...

    def forget(self, cache_salt: str) -> None:
        """Frees what is cached under a salt: its conversation is over. Callable from any thread; never waits."""
        ...

    def prepare(self, messages: Sequence[Message], options: GenerationOptions) -> PromptTrace:
        """The record of the prompt that the conversation becomes; needs no weights. Raises UserError.

        It is that of the last question. Where the last message is the assistant's, it is the part of the answer that is
        written already, and no part of the prompt.
        """
        ...

    def prompt(
        self, messages: Sequence[Message], options: GenerationOptions, cancel: threading.Event | None = None
    ) -> Prompt:
        """The prompt itself: its record together with the resized pixels. Needs no weights. Raises UserError, and
        Cancelled once `cancel` is set."""
        ...

    def estimate(self, trace: PromptTrace, options: GenerationOptions) -> Estimate:
        """What answering the prompt will cost, as far as the engine can predict it."""
        ...

    def stream(
        self,
        messages: Sequence[Message],
        options: GenerationOptions,
        cancel: threading.Event | None = None,
        *,
        prompt: Prompt | None = None,
        ticket: Ticket | None = None,
    ) -> Generator[Chunk, None, None]:
        """Answers the last message. Setting `cancel` ends the answer at the next step, with stop_reason "cancelled".

        Where the last message is the assistant's, the answer goes on behind its text, from the very tokens that were
        sampled as far as they are known. What is yielded, and the result, are those of the rest.

        `prompt` is what `prompt()` returned for the same messages and options; with it nothing is prepared again.
        `ticket` is a place in `queue` that the caller has joined and will leave; without one the engine joins and
        leaves the queue itself, and yields a status while it waits. Raises UserError before the first chunk for
        whatever the caller can change.
        """
        ...

    def answer_words(self, trace: PromptTrace, answer: str) -> tuple[Word, ...]:
        """The words of an answer to a prompt, as `word_attention` numbers them. Cheap, and never waits.

        Raises UserError, with the reason, where the engine has no access to its model's attention.
        """
        ...

    def answer_tokens(self, trace: PromptTrace, answer: str) -> tuple[str, ...]:
        """The readable tokens of an answer to a prompt. Cheap, and never waits. Raises UserError as `answer_words`."""
        ...

    def word_attention(
        self,
        prompt: Prompt,
        answer: str,
        word: int,
        cancel: threading.Event | None = None,
        *,
        ticket: Ticket | None = None,
    ) -> AttentionTrace | None:
        """The attention from which word number `word` of an answer was generated. None if `cancel` was set.

        Costs one step for each token of the word while the conversation is cached, else the prompt is prefilled again.
        `ticket` is as in `stream`. Raises UserError as `answer_words` does.
        """
        ...

    def laboratory(self) -> Laboratory:
        """What else can be asked about a finished answer. Raises UserError, with the reason, where the model's weights
        are not in this process."""
        ...
