"""The engine of a ZeroGPU Space: a GPU is borrowed for each answer, and for the attention behind a word.

In the page's process the weights stay in the computer's memory and CUDA is never initialised: prompts are prepared
here, and costs predicted. `Worker` is what is forked with each loan.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import torch

from qwen2vl_demo.attention_trace import AttentionTrace, Word
from qwen2vl_demo.checkpoint.find import find_preprocessing
from qwen2vl_demo.checkpoint.load import load_model
from qwen2vl_demo.checkpoint.lora import find_base
from qwen2vl_demo.checkpoint.placement import MEMORY_SHARE, Placement
from qwen2vl_demo.config import Qwen2VLConfig
from qwen2vl_demo.decoding import Decoding
from qwen2vl_demo.engine.answer_tokens import AnswerTokens, words_of
from qwen2vl_demo.engine.cost.estimate import Estimate, tokens_only
from qwen2vl_demo.engine.cost.predictor import CostPredictor, Workload
from qwen2vl_demo.engine.local import OUT_OF_MEMORY, read_end_tokens
from qwen2vl_demo.engine.prefix_cache import prompt_key
from qwen2vl_demo.engine.processors import prepare_prompt
from qwen2vl_demo.engine.protocol import Abilities, Chunk, GenerationOptions, Laboratory, Result
from qwen2vl_demo.engine.request_queue import RequestQueue, Ticket
from qwen2vl_demo.engine.result_builder import ResultBuilder, check_context, memory_errors
from qwen2vl_demo.engine.zerogpu.loan import borrow
from qwen2vl_demo.engine.zerogpu.messages import (
    AnswerRequest,
    AttentionRequest,
    Lend,
    Measured,
    Request,
    Sampled,
    without_thumbnails,
)
from qwen2vl_demo.engine.zerogpu.stop_flags import StopFlags
from qwen2vl_demo.engine.zerogpu.worker import START_SECONDS, Worker
from qwen2vl_demo.errors import Cancelled, UserError
from qwen2vl_demo.media import MediaLimits
from qwen2vl_demo.memory import format_bytes
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.processing.messages import Message
from qwen2vl_demo.processing.processor import Processor, Prompt
from qwen2vl_demo.trace import PromptTrace

UNMEASURED_SECONDS = 60  # for which a GPU is asked for before one was measured; also ZeroGPU's own default
MIN_SECONDS, MAX_SECONDS = 20, 120  # of a loan: fewer get a GPU sooner, and more may be above a visitor's quota
COPIED_BYTES = 2 * 10**9  # of weights that go to a GPU in a second, a cautious guess
NOT_MEASURED = "How fast the GPU is gets measured with the first answer, so no time is predicted yet."
LENT = "a GPU that ZeroGPU lends for each answer"
NO_LABORATORY = (
    "This takes many short looks into the model, and here each would borrow a GPU of its own; it works where the model "
    "runs on the machine of the page, as nano does on a laptop (--model nano)."
)


class ZeroGpuEngine:
    """Answers with a checkpoint on GPUs that are lent. Implements `protocol.Engine`."""

    abilities = Abilities(resumes=False)

    def __init__(
        self,
        model: Qwen2VL,
        processor: Processor,
        *,
        name: str,
        placement: Placement,
        end_tokens: frozenset[int],
        lend: Lend,
        gpu_memory: int | None = None,
    ) -> None:
        """`model` is in the computer's memory and `placement` where it shall run; `lend` is `spaces.GPU`. `gpu_memory`
        are the bytes of a GPU, where they are known."""
        self.processor = processor
        self.name = name
        self.placement = placement
        self.queue = RequestQueue(None)  # ZeroGPU has a queue of its own, in which visitors have different priorities
        self._model = model
        self._parameters = sum(p.numel() for p in model.parameters())
        self._weights = sum(p.nbytes for p in model.parameters())
        self._free = None if gpu_memory is None else gpu_memory - self._weights
        self._answers = AnswerTokens()
        self._stops = StopFlags()
        self._predictor: CostPredictor | None = None  # once a GPU was measured
        worker = Worker(model, processor, name=name, placement=placement, end_tokens=end_tokens, stops=self._stops)
        # One function for both kinds of request: each function has processes, and so weights on a GPU, of its own.
        self._run = lend(worker.run, duration=lambda request: request.seconds)

    @classmethod
    def load(
        cls,
        model: str,
        lend: Lend,
        *,
        adapter: str | None = None,
        device: str = "cuda",
        dtype: str = "auto",
        preprocessing: str | None = None,
        limits: MediaLimits | None = None,
        decoding: Decoding | None = None,
    ) -> ZeroGpuEngine:
        """Loads "nano", a checkpoint directory or a hub id into the computer's memory. `device` is where the forked
        processes run it, `preprocessing` as for `LocalEngine`. Raises UserError if that is not possible."""
        # In the thread that imported it, `spaces` has torch imitate a GPU: there even shapes are plain tuples.
        with ThreadPoolExecutor(1) as elsewhere:
            return elsewhere.submit(
                cls._load, model, lend, adapter, device, dtype, preprocessing, limits, decoding
            ).result()

    @classmethod
    def _load(
        cls,
        model: str,
        lend: Lend,
        adapter: str | None,
        device: str,
        dtype: str,
        preprocessing: str | None,
        limits: MediaLimits | None,
        decoding: Decoding | None,
    ) -> ZeroGpuEngine:
        directory, adapter_directory = find_base(model, adapter)
        processor = Processor.from_directory(
            directory, limits, decoding=decoding, preprocessing=find_preprocessing(preprocessing)
        )
        number = torch.bfloat16 if dtype == "auto" else getattr(torch, dtype)
        why = "bfloat16, as the released checkpoints are stored" if dtype == "auto" else f"{dtype} as asked for"
        with memory_errors("Choose a smaller model, or --dtype bfloat16."):
            weights = load_model(directory, device=torch.device("cpu"), dtype=number, adapter=adapter_directory)
        engine = cls(
            weights,
            processor,
            name=model,
            placement=Placement(torch.device(device), number, f"{LENT}; {why}"),
            end_tokens=read_end_tokens(directory, processor),
            lend=lend,
            gpu_memory=_gpu_memory(),
        )
        engine.check_memory()
        return engine

    def check_memory(self) -> None:
        """Raises UserError if the weights leave a GPU no memory to compute in."""
        total = None if self._free is None else self._free + self._weights
        if total is not None and self._weights > MEMORY_SHARE * total:
            raise UserError(
                f"{self.name} takes {format_bytes(self._weights)}, and ZeroGPU lends {format_bytes(total)}; choose a "
                "smaller model, or let a server answer (--engine-url) from a Space on CPU hardware."
            )

    @property
    def config(self) -> Qwen2VLConfig:
        return self._model.config

    @property
    def pixel_limits(self) -> tuple[int, int]:
        return self.processor.image.min_pixels, self.processor.image.max_pixels

    @property
    def description(self) -> str:
        count = self._parameters
        size = f"{count / 1e9:.1f} billion" if count >= 1e9 else f"{count / 1e6:.1f} million"
        return f"{size} parameters on {self.placement.reason}"

    @property
    def max_frames(self) -> int:
        return self.processor.image.max_frames

    def warm_up(self) -> None:
        """There is no GPU to measure before one is lent."""

    def forget(self, cache_salt: str) -> None:
        self._answers.forget(cache_salt)
        self.processor.forget(cache_salt)

    def prepare(self, messages: Sequence[Message], options: GenerationOptions) -> PromptTrace:
        return self._process(messages, options, None).trace

    def prompt(
        self, messages: Sequence[Message], options: GenerationOptions, cancel: threading.Event | None = None
    ) -> Prompt:
        return self._process(messages, options, cancel, thumbnails=True)

    def estimate(self, trace: PromptTrace, options: GenerationOptions) -> Estimate:
        if (predictor := self._predictor) is None:
            return tokens_only(trace, NOT_MEASURED)
        work = _workload(trace, options.max_new_tokens)
        memory = predictor.memory(work, self._free)
        return replace(predictor.estimate(trace, work), memory=memory, place="on the GPU that is lent")

    def seconds(self, trace: PromptTrace, max_new_tokens: int) -> int:
        """For how long a GPU is asked for: what the answer may take at most, as far as that can be predicted."""
        times = None if self._predictor is None else self._predictor.times(_workload(trace, max_new_tokens))
        if times is None:
            return UNMEASURED_SECONDS
        answer = times.first_token.high + times.token.high * trace.room(max_new_tokens)
        needed = START_SECONDS + self._weights / COPIED_BYTES + answer
        return min(max(math.ceil(needed), MIN_SECONDS), MAX_SECONDS)

    def stream(
        self,
        messages: Sequence[Message],
        options: GenerationOptions,
        cancel: threading.Event | None = None,
        *,
        prompt: Prompt | None = None,
        ticket: Ticket | None = None,
    ) -> Generator[Chunk, None, None]:
        """Streams the answer from a process with a GPU. Stop does not wait for one: a loan that was asked for and comes
        later is given back at once."""
        answer = ResultBuilder()
        cancel = cancel or threading.Event()
        result: Result | None = None
        began = time.perf_counter()
        try:
            prompt = prompt or self._process(messages, options, cancel)
            check_context(prompt.trace)
            answer.trace = prompt.trace
            answer.end_phase("prepare")
            prepared = time.perf_counter() - began
            asked = without_thumbnails(prompt)
            seconds, measure = self.seconds(prompt.trace, options.max_new_tokens), self._predictor is None

            def request(stop: int) -> Request:
                return AnswerRequest(asked, options, seconds, stop, measure)

            yield Chunk(status="Waiting for a GPU")
            with closing(borrow(self._run, request, self._stops, cancel)) as events:
                for event in events:
                    if isinstance(event, Sampled):
                        self._answers.put(prompt_key(prompt.trace), answer.text, event.ids)
                    elif isinstance(event, Measured):
                        self._predictor = CostPredictor(self._model, None, event.speed)
                    elif isinstance(event, Chunk) and event.result is None:
                        answer.text += event.text
                        yield event
                    elif isinstance(event, Chunk):
                        result = event.result
            if result is None:  # stopped before it started
                raise Cancelled
        except Cancelled:
            answer.stop_reason = "cancelled"
            yield Chunk(result=answer.result())
            return
        self._observe(prompt.trace, options, result)
        total = time.perf_counter() - began
        yield Chunk(result=replace(result, trace=prompt.trace, timings=_timings(result.timings, prepared, total)))

    def answer_words(self, trace: PromptTrace, answer: str) -> tuple[Word, ...]:
        tokenizer = self.processor.tokenizer
        return words_of(self._answers.ids(prompt_key(trace), answer, tokenizer)[0], tokenizer)

    def answer_tokens(self, trace: PromptTrace, answer: str) -> tuple[str, ...]:
        tokenizer = self.processor.tokenizer
        return tuple(map(tokenizer.token_text, self._answers.ids(prompt_key(trace), answer, tokenizer)[0].tolist()))

    def word_attention(
        self,
        prompt: Prompt,
        answer: str,
        word: int,
        cancel: threading.Event | None = None,
        *,
        ticket: Ticket | None = None,
    ) -> AttentionTrace | None:
        asked, ids = without_thumbnails(prompt), self._answers.get(prompt_key(prompt.trace), answer)
        seconds = self.seconds(prompt.trace, 1)

        def request(stop: int) -> Request:
            return AttentionRequest(asked, answer, ids, word, seconds, stop)

        try:
            for event in borrow(self._run, request, self._stops, cancel or threading.Event()):
                if isinstance(event, AttentionTrace):
                    return replace(event, prompt=prompt.trace)
        except Cancelled:
            return None
        if cancel is None or not cancel.is_set():
            raise UserError(f"The GPU was lent for {seconds} seconds, too few for this word. {OUT_OF_MEMORY}")
        return None

    def laboratory(self) -> Laboratory:
        raise UserError(NO_LABORATORY)

    def _process(
        self,
        messages: Sequence[Message],
        options: GenerationOptions,
        cancel: threading.Event | None,
        *,
        thumbnails: bool = False,
    ) -> Prompt:
        return prepare_prompt(
            self.processor, messages, options, cancel, max_pixels=self.pixel_limits[1], thumbnails=thumbnails
        )

    def _observe(self, trace: PromptTrace, options: GenerationOptions, result: Result) -> None:
        """Corrects later predictions. Of an answer that reused something, it is not known here what was encoded."""
        if self._predictor is not None and not result.reused_tokens:
            self._predictor.observe(_workload(trace, options.max_new_tokens), result.timings, result.new_tokens)


def _workload(trace: PromptTrace, max_new_tokens: int) -> Workload:
    """Nothing counts as cached: the process that had cached it may be gone."""
    return Workload.of(trace, max_new_tokens, 0, lambda digest, grid: False)


def _timings(measured: dict[str, float], prepare: float, total: float) -> dict[str, float]:
    """The seconds of an answer as the page's process saw it: whatever is not the answer itself was waiting."""
    phases: dict[str, float] = {name: measured[name] for name in ("encode", "prefill", "decode") if name in measured}
    waited = max(0.0, total - prepare - sum(phases.values()))
    timings = {"prepare": prepare, "wait": waited, **phases, "total": total}
    if "prefill" in phases:
        timings["first_token"] = sum(timings[name] for name in ("prepare", "wait", "encode", "prefill"))
    return timings


def _gpu_memory() -> int | None:
    """Bytes of a GPU that will be lent; `spaces` has put them where torch would give them. None without one."""
    return int(torch.cuda.get_device_properties(0).total_memory) if torch.cuda.is_available() else None
