"""The engine that runs our own model on this machine.

One conversation at a time: a lock stands around the model, and who waits for it can be stopped. What stays behind of
a conversation is found again by content alone: the merged tokens of its pictures, and the keys and values of its
prompt, so that on the next turn only what is new is encoded and read.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from qwen2vl_demo.engine.answer import Answer, check_context, memory_errors
from qwen2vl_demo.engine.base import Chunk, GenerationOptions
from qwen2vl_demo.engine.encode import VisionCache, encode_medium
from qwen2vl_demo.engine.generate import Sampler, decode_step, prefill
from qwen2vl_demo.engine.prefix import PrefixCache, prompt_key
from qwen2vl_demo.engine.processors import reference_processor
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.geometry import FACTOR
from qwen2vl_demo.media import MediaLimits
from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.model.weights import Placement, find_checkpoint, load_model, place
from qwen2vl_demo.processing.messages import Message
from qwen2vl_demo.processing.processor import Cancelled, Processor, Prompt
from qwen2vl_demo.processing.tokenizer import StreamDecoder
from qwen2vl_demo.trace import PromptTrace

CPU_MAX_PIXELS = 1280 * FACTOR * FACTOR  # a picture's budget on a CPU: the released limit would take minutes there
TOO_LARGE = "Lower the image budget (max_pixels), the frames of a clip, or the answer's length."
LOCK_POLL = 0.05  # s between two looks at `cancel` while waiting for the model


class LocalEngine:
    """Our Qwen2-VL, its processor, and the lock around them."""

    def __init__(
        self, model: Qwen2VL, processor: Processor, *, name: str, placement: Placement, end_tokens: frozenset[int]
    ) -> None:
        self.model = model
        self.processor = processor
        self.name = name
        self.placement = placement
        self.end_tokens = end_tokens
        self._lock = threading.Lock()
        self._vision = VisionCache()
        self._prefixes = PrefixCache()
        config = model.config
        self._never = (  # what an answer must not hold: it would ask for a picture
            config.image_token_id,
            config.video_token_id,
            config.vision_start_token_id,
            config.vision_end_token_id,
        )

    @classmethod
    def load(
        cls, model: str = "nano", *, device: str = "auto", dtype: str = "auto", limits: MediaLimits | None = None
    ) -> LocalEngine:
        """Loads "nano", a checkpoint directory or a hub id. Raises UserError for what cannot be loaded."""
        directory = find_checkpoint(model)
        processor = Processor.from_directory(directory, limits)
        placement = place(directory, device, dtype)
        with memory_errors("Choose a smaller model, or --dtype bfloat16."):
            weights = load_model(directory, device=placement.device, dtype=placement.dtype)
        return cls(weights, processor, name=model, placement=placement, end_tokens=_end_tokens(directory, processor))

    @property
    def pixel_limits(self) -> tuple[int, int]:
        most = self.processor.image.max_pixels
        return self.processor.image.min_pixels, min(most, CPU_MAX_PIXELS) if self.model.device.type == "cpu" else most

    @property
    def description(self) -> str:
        count = sum(p.numel() for p in self.model.parameters())
        size = f"{count / 1e9:.1f} billion" if count >= 1e9 else f"{count / 1e6:.1f} million"
        return f"{size} parameters on {self.placement.reason}"

    def prepare(self, messages: Sequence[Message], options: GenerationOptions) -> PromptTrace:
        return self._process(messages, options, None).trace

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, cancel: threading.Event | None = None
    ) -> Iterator[Chunk]:
        cancel = cancel or threading.Event()
        answer = Answer(started=time.perf_counter())

        def checkpoint() -> None:
            if cancel.is_set():
                raise Cancelled

        try:
            prompt = self._process(messages, options, cancel)
            check_context(prompt.trace)
            answer.prompt = prompt.trace
            answer.lap("prepare")
            yield from self._wait(cancel)
            try:
                answer.lap("wait")
                with memory_errors(TOO_LARGE, self._forget):
                    yield from self._write(prompt, options, answer, checkpoint)
            finally:
                self._lock.release()
        except Cancelled:
            answer.stop_reason = "cancelled"
        yield Chunk(result=answer.result())

    def _process(
        self, messages: Sequence[Message], options: GenerationOptions, cancel: threading.Event | None
    ) -> Prompt:
        media = options.media
        if media.max_pixels is None:
            media = replace(media, max_pixels=max(self.pixel_limits[1], media.min_pixels or 0))
        return self.processor.process(messages, media, add_vision_id=options.add_vision_id, cancel=cancel)

    def _wait(self, cancel: threading.Event) -> Iterator[Chunk]:
        """Takes the lock. Raises Cancelled without it."""
        if self._lock.acquire(blocking=False):
            return
        yield Chunk(status="Waiting for another answer to end")
        while not self._lock.acquire(timeout=LOCK_POLL):
            if cancel.is_set():
                raise Cancelled

    def _write(
        self, prompt: Prompt, options: GenerationOptions, answer: Answer, checkpoint: Callable[[], None]
    ) -> Iterator[Chunk]:
        """The answer, on top of whatever is known of its prompt from earlier turns."""
        trace, model = prompt.trace, self.model
        room = min(options.max_new_tokens, trace.context_length - len(trace))
        key = prompt_key(trace)
        capacity = len(trace) + room
        cache = self._prefixes.take(key, capacity)
        if cache is None:
            cache = KVCache(model.config.text, capacity, device=model.device, dtype=model.dtype)
        written: list[int] = []
        try:
            logits = yield from self._read(prompt, cache, answer, checkpoint)
            sampler = Sampler(options, torch.from_numpy(trace.input_ids).to(model.device), self._never)
            decoder = StreamDecoder(self.processor.tokenizer)
            while (token := sampler.choose(logits)) not in self.end_tokens:
                answer.new_tokens += 1
                if text := decoder.push(token):
                    answer.text += text
                    yield Chunk(text=text)
                if answer.new_tokens == room:
                    answer.stop_reason = "length"
                    break
                checkpoint()
                written.append(token)
                logits = decode_step(model, token, trace.rope_delta, cache)
        finally:
            # Also when it was stopped: what stands in the cache is complete up to its length.
            self._prefixes.put(np.concatenate([key, np.array(written, dtype=np.int64)]), cache)
        answer.lap("decode")

    def _read(
        self, prompt: Prompt, cache: KVCache, answer: Answer, checkpoint: Callable[[], None]
    ) -> Generator[Chunk, None, Tensor]:
        """Encodes and reads what the cache does not hold of a prompt; returns the logits behind its last token."""
        trace, known = prompt.trace, cache.length
        answer.reused_tokens = known
        new = [(m, t.span[0]) for m, t in zip(prompt.media, trace.media, strict=True) if t.span[1] > known]
        vision: list[Tensor] = []
        for index, (medium, start) in enumerate(new):
            tokens = self._vision.get(medium)
            if tokens is None:
                yield Chunk(status=_encoding(index, len(new), medium.kind))
                tokens = encode_medium(self.model, medium, self.processor.image, checkpoint)
                self._vision.put(medium, tokens)
            vision.append(tokens[max(0, known - start) :])  # a stopped prompt may end inside a picture
        answer.lap("encode")
        yield Chunk(status=_reading(len(trace) - known))
        ids = torch.from_numpy(trace.input_ids[known:]).to(self.model.device)
        positions = torch.from_numpy(trace.position_ids[:, known:]).to(self.model.device)
        logits = prefill(self.model, ids, torch.cat(vision) if vision else None, positions, cache, checkpoint)
        answer.lap("prefill")
        return logits

    def _forget(self) -> None:
        """Gives back the memory that only makes follow-up questions faster."""
        self._prefixes, self._vision = PrefixCache(), VisionCache()


class ProcessorOnlyEngine:
    """`--model none`: shows what conversations become, with the released checkpoints' limits, and answers nothing."""

    name = "none"
    description = "no weights: shows what pictures and words become, answers nothing"

    def __init__(self, processor: Processor) -> None:
        self.processor = processor

    @classmethod
    def load(cls, limits: MediaLimits | None = None) -> ProcessorOnlyEngine:
        return cls(reference_processor(limits))

    @property
    def pixel_limits(self) -> tuple[int, int]:
        return self.processor.image.min_pixels, self.processor.image.max_pixels

    def prepare(self, messages: Sequence[Message], options: GenerationOptions) -> PromptTrace:
        return self.processor.process(messages, options.media, add_vision_id=options.add_vision_id).trace

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, cancel: threading.Event | None = None
    ) -> Iterator[Chunk]:
        raise UserError("No model is loaded (--model none), so there is no answer; start with --model nano for one.")


def _reading(tokens: int) -> str:
    return "Reading 1 token" if tokens == 1 else f"Reading {tokens} tokens"


def _encoding(index: int, count: int, kind: str) -> str:
    what = "the picture" if kind == "image" else "the clip"
    return f"Encoding {what}" if count == 1 else f"Encoding {what[4:]} {index + 1} of {count}"


def _end_tokens(directory: Path, processor: Processor) -> frozenset[int]:
    """What ends an answer: the checkpoint's generation_config.json, and <|im_end|> in any case."""
    ends = {processor.tokenizer.special("<|im_end|>")}
    path = directory / "generation_config.json"
    if path.exists():
        given = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id", [])
        ends.update([given] if isinstance(given, int) else given)
    return frozenset(ends)
