"""The engine without weights: prepares prompts for the panel, and answers nothing."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence

from qwen2vl_demo.attention_trace import AttentionTrace, Word
from qwen2vl_demo.decoding import Decoding
from qwen2vl_demo.engine.cost.estimate import Estimate, tokens_only
from qwen2vl_demo.engine.processors import prepare_prompt, reference_processor
from qwen2vl_demo.engine.protocol import Abilities, Chunk, GenerationOptions, Laboratory
from qwen2vl_demo.engine.request_queue import RequestQueue, Ticket
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import MediaLimits
from qwen2vl_demo.processing.messages import Message
from qwen2vl_demo.processing.processor import Processor, Prompt
from qwen2vl_demo.trace import PromptTrace

NO_MODEL_ATTENTION = "No model is loaded (--model none), so no word looked anywhere; start with --model nano for one."

NO_MODEL_ESTIMATE = (
    "No model is loaded, so there is neither time nor memory to predict. The tokens of pictures are exact; those of "
    "words are counted with nano's tokenizer, which needs more of them."
)


class ProcessorOnlyEngine:
    """`--model none`: prepares prompts with the released checkpoints' limits, and refuses to answer."""

    name = "none"
    description = "no weights: shows what pictures and words become, answers nothing"

    config = None
    abilities = Abilities(attention=False, positions=False, answers=False, resumes=False)

    def __init__(self, processor: Processor) -> None:
        self.processor = processor
        self.queue = RequestQueue(None)

    @classmethod
    def load(cls, limits: MediaLimits | None = None, decoding: Decoding | None = None) -> ProcessorOnlyEngine:
        return cls(reference_processor(limits, decoding))

    @property
    def pixel_limits(self) -> tuple[int, int]:
        return self.processor.image.min_pixels, self.processor.image.max_pixels

    @property
    def max_frames(self) -> int:
        return self.processor.image.max_frames

    def warm_up(self) -> None:
        """Nothing is measured without a model."""

    def forget(self, cache_salt: str) -> None:
        self.processor.forget(cache_salt)

    def prepare(self, messages: Sequence[Message], options: GenerationOptions) -> PromptTrace:
        return prepare_prompt(self.processor, messages, options).trace

    def prompt(
        self, messages: Sequence[Message], options: GenerationOptions, cancel: threading.Event | None = None
    ) -> Prompt:
        return prepare_prompt(self.processor, messages, options, cancel, thumbnails=True)

    def estimate(self, trace: PromptTrace, options: GenerationOptions) -> Estimate:
        return tokens_only(trace, NO_MODEL_ESTIMATE)

    def stream(
        self,
        messages: Sequence[Message],
        options: GenerationOptions,
        cancel: threading.Event | None = None,
        *,
        prompt: Prompt | None = None,
        ticket: Ticket | None = None,
    ) -> Generator[Chunk, None, None]:
        raise UserError("No model is loaded (--model none), so there is no answer; start with --model nano for one.")

    def answer_words(self, trace: PromptTrace, answer: str) -> tuple[Word, ...]:
        raise UserError(NO_MODEL_ATTENTION)

    def answer_tokens(self, trace: PromptTrace, answer: str) -> tuple[str, ...]:
        raise UserError(NO_MODEL_ATTENTION)

    def word_attention(
        self,
        prompt: Prompt,
        answer: str,
        word: int,
        cancel: threading.Event | None = None,
        *,
        ticket: Ticket | None = None,
    ) -> AttentionTrace | None:
        raise UserError(NO_MODEL_ATTENTION)

    def laboratory(self) -> Laboratory:
        raise UserError("No model is loaded (--model none), so there is nothing to look into; start with --model nano.")
