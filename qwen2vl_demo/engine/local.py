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
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from qwen2vl_demo.attention_trace import AttentionTrace, Word, query_places, split_words
from qwen2vl_demo.config import Qwen2VLConfig
from qwen2vl_demo.engine.answer_tokens import WrittenAnswers
from qwen2vl_demo.engine.attention import going_on, look_again
from qwen2vl_demo.engine.cost.estimate import Estimate
from qwen2vl_demo.engine.cost.predictor import Meter, Work
from qwen2vl_demo.engine.cuda_graph import WriteAhead
from qwen2vl_demo.engine.generate import Sampler, prefill, tokens_one_by_one
from qwen2vl_demo.engine.prefix_cache import PrefixCache, prompt_key
from qwen2vl_demo.engine.protocol import Chunk, GenerationOptions
from qwen2vl_demo.engine.request_queue import RequestQueue, Ticket, waiting_text
from qwen2vl_demo.engine.result_builder import Answer, check_context, memory_errors
from qwen2vl_demo.engine.vision_cache import VisionCache, encode_medium
from qwen2vl_demo.errors import Cancelled, UserError
from qwen2vl_demo.geometry import FACTOR
from qwen2vl_demo.media import MediaLimits
from qwen2vl_demo.model.decoder import Decoder
from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.model.weights import Placement, find_checkpoint, load_model, place
from qwen2vl_demo.processing.chat import answer_ids
from qwen2vl_demo.processing.messages import Message
from qwen2vl_demo.processing.processor import Processor, Prompt
from qwen2vl_demo.processing.tokenizer import StreamDecoder
from qwen2vl_demo.trace import PromptTrace

CPU_MAX_PIXELS = 1280 * FACTOR * FACTOR  # a picture's budget on a CPU: the released limit would take minutes there
TOO_LARGE = "Lower the image budget (max_pixels), the frames of a clip, or the answer's length."


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
        self.decoder = Decoder(model, placement.decode)
        # On a GPU the host would be the bottleneck: there tokens are written ahead of it, by a captured graph.
        self._ahead = WriteAhead(self.decoder, model.config.text.vocab_size) if model.device.type == "cuda" else None
        self.queue = RequestQueue()
        self._vision = VisionCache()
        self._prefixes = PrefixCache()
        self._written = WrittenAnswers()
        self._meter = Meter(model, self.decoder)
        config = model.config
        self._never = (  # what an answer must not hold: it would ask for a picture
            config.image_token_id,
            config.video_token_id,
            config.vision_start_token_id,
            config.vision_end_token_id,
        )

    @classmethod
    def load(
        cls,
        model: str = "nano",
        *,
        device: str = "auto",
        dtype: str = "auto",
        quantize: str = "none",
        limits: MediaLimits | None = None,
    ) -> LocalEngine:
        """Loads "nano", a checkpoint directory or a hub id. Raises UserError for what cannot be loaded."""
        directory = find_checkpoint(model)
        processor = Processor.from_directory(directory, limits)
        placement = place(directory, device, dtype, quantize)
        with memory_errors("Choose a smaller model, or --dtype bfloat16."):
            weights = load_model(directory, device=placement.device, dtype=placement.dtype)
        return cls(weights, processor, name=model, placement=placement, end_tokens=_end_tokens(directory, processor))

    @property
    def config(self) -> Qwen2VLConfig:
        return self.model.config

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
        return self.prompt(messages, options).trace

    def prompt(self, messages: Sequence[Message], options: GenerationOptions) -> Prompt:
        return self._process(messages, options, None, thumbnails=True)

    def warm_up(self) -> None:
        """Measures how fast the device is, about a tenth of a second, once."""
        self._meter.calibrate()

    def estimate(self, trace: PromptTrace, options: GenerationOptions) -> Estimate:
        return self._meter.estimate(trace, self._work(trace, options, self._prefixes.known(prompt_key(trace))))

    def stream(
        self,
        messages: Sequence[Message],
        options: GenerationOptions,
        cancel: threading.Event | None = None,
        *,
        prompt: Prompt | None = None,
        ticket: Ticket | None = None,
    ) -> Generator[Chunk, None, None]:
        cancel = cancel or threading.Event()
        answer = Answer(started=time.perf_counter())

        def checkpoint() -> None:
            if cancel.is_set():
                raise Cancelled

        try:
            prompt = prompt or self._process(messages, options, cancel)
            check_context(prompt.trace)
            answer.prompt = prompt.trace
            answer.lap("prepare")
            with ExitStack() as stack:
                ticket = ticket or stack.enter_context(self.queue.join())
                for position in ticket.positions(cancel):
                    yield Chunk(status=waiting_text(position))
                stack.enter_context(ticket.hold())
                answer.lap("wait")
                with memory_errors(TOO_LARGE, self._forget):
                    yield from self._write(prompt, options, answer, checkpoint)
        except Cancelled:
            answer.stop_reason = "cancelled"
        yield Chunk(result=answer.result())

    def answer_words(self, trace: PromptTrace, answer: str) -> tuple[Word, ...]:
        return self._words(self._tokens_of(prompt_key(trace), answer)[0])

    def word_attention(
        self,
        prompt: Prompt,
        answer: str,
        word: int,
        cancel: threading.Event | None = None,
        *,
        ticket: Ticket | None = None,
    ) -> AttentionTrace | None:
        cancel = cancel or threading.Event()

        def checkpoint() -> None:
            if cancel.is_set():
                raise Cancelled

        key = prompt_key(prompt.trace)
        ids, exact = self._tokens_of(key, answer)
        words = self._words(ids)
        if not 0 <= word < len(words):
            raise UserError(f"The answer has {len(words)} words; choose one of them.")
        sequence, places = going_on(prompt, ids[:-1]), query_places(len(prompt.trace), words[word])
        try:
            with ExitStack() as stack:
                ticket = ticket or stack.enter_context(self.queue.join())
                ticket.wait(cancel)
                stack.enter_context(ticket.hold())
                started = time.perf_counter()
                with memory_errors(TOO_LARGE, self._forget):
                    known, computed = self._known(sequence, np.concatenate([key, ids[:-1]]), places, checkpoint)
                    weights = look_again(self.model, sequence, places, known, checkpoint)
                taken = time.perf_counter() - started
        except Cancelled:
            return None
        tokens = tuple(map(self.processor.tokenizer.token_text, ids.tolist()))
        return AttentionTrace(
            prompt.trace, ids, tokens, words[word], weights, taken, computed + len(places), exact_tokens=exact
        )

    def _tokens_of(self, key: np.ndarray, answer: str) -> tuple[np.ndarray, bool]:
        """The tokens of an answer: those that were chosen, or (False) those that its text is cut into."""
        written = self._written.get(key, answer)
        return (answer_ids(answer, self.processor.tokenizer), False) if written is None else (written, True)

    def _words(self, ids: np.ndarray) -> tuple[Word, ...]:
        tokenizer = self.processor.tokenizer
        return split_words([b"" if tokenizer.hides(i) else tokenizer.token_bytes(i) for i in ids.tolist()])

    def _known(
        self, sequence: Prompt, key: np.ndarray, queries: range, checkpoint: Callable[[], None]
    ) -> tuple[KVCache, int]:
        """A cache that holds what stands before the queries, and how many tokens had to be run for it."""
        found = self._prefixes.look(key)
        if found is not None and found[1] >= queries.start:
            return found[0], 0
        cache = self._cache_for(key, len(key))
        known = cache.length
        try:
            for _ in self._read(sequence, cache, Answer(time.perf_counter()), checkpoint):
                pass
        finally:
            self._prefixes.put(key, cache)
        return cache, cache.length - known

    def _process(
        self,
        messages: Sequence[Message],
        options: GenerationOptions,
        cancel: threading.Event | None,
        *,
        thumbnails: bool = False,
    ) -> Prompt:
        media = options.media
        if media.max_pixels is None:
            media = replace(media, max_pixels=max(self.pixel_limits[1], media.min_pixels or 0))
        return self.processor.process(
            messages,
            media,
            add_vision_id=options.add_vision_id,
            positions=options.positions,
            cancel=cancel,
            thumbnails=thumbnails,
        )

    def _write(
        self, prompt: Prompt, options: GenerationOptions, answer: Answer, checkpoint: Callable[[], None]
    ) -> Iterator[Chunk]:
        """The answer, on top of whatever is known of its prompt from earlier turns."""
        trace, model = prompt.trace, self.model
        room = min(options.max_new_tokens, trace.context_length - len(trace))
        key = prompt_key(trace)
        cache = self._cache_for(key, len(trace) + room)
        work = self._work(trace, options, cache.length)
        written: list[int] = []
        try:
            logits = yield from self._read(prompt, cache, answer, checkpoint)
            sampler = Sampler(options, torch.from_numpy(trace.input_ids).to(model.device), self._never)
            decoder = StreamDecoder(self.processor.tokenizer)
            with closing(self._tokens(sampler, logits, trace.rope_delta, cache, room)) as tokens:
                for token in takewhile(lambda token: token not in self.end_tokens, tokens):
                    answer.new_tokens += 1
                    written.append(token)
                    if text := decoder.push(token):
                        answer.text += text
                        yield Chunk(text=text)
                    if answer.new_tokens == room:
                        answer.stop_reason = "length"
                        break
                    checkpoint()
        finally:
            # Also when it was stopped: what stands in the cache is complete up to its length.
            ids = np.array(written, dtype=np.int64)
            self._prefixes.put(np.concatenate([key, ids]), cache)
            self._written.put(key, answer.text, ids)
        answer.lap("decode")
        self._meter.observe(work, answer.result().timings, answer.new_tokens)

    def _tokens(
        self, sampler: Sampler, logits: Tensor, rope_delta: int, cache: KVCache, room: int
    ) -> Generator[int, None, None]:
        """The tokens of an answer, of which at most `room` are taken; close it before the cache is used again."""
        if self._ahead is None:
            return tokens_one_by_one(self.decoder, sampler, logits, rope_delta, cache)
        return self._ahead.tokens(sampler, logits, rope_delta, cache, room)

    def _work(self, trace: PromptTrace, options: GenerationOptions, known: int) -> Work:
        """What there is to do for an answer, with `known` tokens of its prompt in a KV cache."""
        return Work.of(trace, options.max_new_tokens, known, self._vision.holds)

    def _cache_for(self, key: np.ndarray, capacity: int) -> KVCache:
        """A cache with what is known of a prompt, or an empty one. The caller puts it back."""
        config = self.model.config.text
        known = self._prefixes.take(key, capacity)
        return known or KVCache(config, capacity, device=self.model.device, dtype=self.model.dtype)

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
        """Gives back the memory that only makes answers faster."""
        if self._ahead is not None:
            self._ahead.forget()
        self._prefixes, self._vision = PrefixCache(), VisionCache()


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
