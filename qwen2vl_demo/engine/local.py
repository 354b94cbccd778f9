"""The engine that runs the model on this machine.

One request runs at a time, in the order of `queue`. What remains of earlier requests is found again by content alone:
the merged tokens of pictures, and the keys and values of prompts, so that a follow-up encodes and prefills only what is
new. What was sent under another `cache_salt` is not found.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from qwen2vl_demo.attention_trace import AttentionTrace, Word, query_places
from qwen2vl_demo.checkpoint.find import find_preprocessing
from qwen2vl_demo.checkpoint.load import Progress, load_model
from qwen2vl_demo.checkpoint.lora import find_base
from qwen2vl_demo.checkpoint.memory_needed import bytes_free
from qwen2vl_demo.checkpoint.placement import Placement, place
from qwen2vl_demo.config import Qwen2VLConfig
from qwen2vl_demo.decoding import Decoding
from qwen2vl_demo.engine.answer_tokens import AnswerTokens, words_of
from qwen2vl_demo.engine.attention import capture_attention, extend_prompt
from qwen2vl_demo.engine.cost import flops
from qwen2vl_demo.engine.cost.estimate import Estimate
from qwen2vl_demo.engine.cost.predictor import CostPredictor, Workload
from qwen2vl_demo.engine.cuda_graph import CudaGraphDecoder
from qwen2vl_demo.engine.generate import generate_tokens, prefill
from qwen2vl_demo.engine.local_laboratory import LocalLaboratory
from qwen2vl_demo.engine.picture_budget import affordable_pixels
from qwen2vl_demo.engine.prefix_cache import PrefixCache, PromptKey, prompt_key
from qwen2vl_demo.engine.processors import prepare_prompt
from qwen2vl_demo.engine.protocol import Abilities, Chunk, GenerationOptions, Laboratory
from qwen2vl_demo.engine.request_queue import RequestQueue, Ticket, waiting_text
from qwen2vl_demo.engine.result_builder import ResultBuilder, check_context, memory_errors
from qwen2vl_demo.engine.sampling import Sampler
from qwen2vl_demo.engine.vision_cache import VisionCache, encode_medium
from qwen2vl_demo.errors import Cancelled, UserError
from qwen2vl_demo.geometry import FACTOR
from qwen2vl_demo.json_values import read_json_object, shown
from qwen2vl_demo.lru_cache import CacheBudget
from qwen2vl_demo.media import MediaLimits
from qwen2vl_demo.memory import FreedMemory, cache_bytes, format_bytes
from qwen2vl_demo.model.decoder import Decoder
from qwen2vl_demo.model.device import prefer_reliable_attention
from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.model.quantised import held_bytes
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.processing.image import VisionInput
from qwen2vl_demo.processing.messages import Message, without_unfinished
from qwen2vl_demo.processing.processor import Processor, Prompt
from qwen2vl_demo.processing.tokenizer import StreamDecoder
from qwen2vl_demo.trace import PromptTrace

CPU_MAX_PIXELS = 1280 * FACTOR * FACTOR  # max_pixels of a picture on a CPU, where the released limit takes minutes
NOTHING = np.empty(0, dtype=np.int64)  # ids of an answer of which nothing is written yet
OUT_OF_MEMORY = "Lower the image budget (max_pixels), the frames of a clip, or the answer's length."


class LocalEngine:
    """A Qwen2-VL checkpoint, its processor, and the caches of what it computed. Implements `protocol.Engine`."""

    def __init__(
        self,
        model: Qwen2VL,
        processor: Processor,
        *,
        name: str,
        placement: Placement,
        end_tokens: frozenset[int],
        capture: bool = True,
        answers: AnswerTokens | None = None,
    ) -> None:
        """Without `capture` no CUDA graphs are made: a process of a few seconds would not get their time back.
        `answers` is where the tokens of answers are kept, by default the engine's own."""
        self.model = model
        self.processor = processor
        self.name = name
        self.abilities = Abilities(regions=processor.image.region_questions, laboratory=True)
        self.placement = placement
        self.end_tokens = end_tokens
        self.decoder = Decoder(model, placement.decode)
        # On a GPU launching the kernels of a step would be the bottleneck.
        on_gpu = model.device.type == "cuda"
        capture = capture and len({model.device, *model.layer_devices}) == 1  # a graph is of one device
        if on_gpu:
            prefer_reliable_attention()
        self._graphs = CudaGraphDecoder(self.decoder, model.config.text.vocab_size) if on_gpu and capture else None
        self.queue = RequestQueue()
        on_device = processor.budget
        if on_gpu:
            on_device = CacheBudget(cache_bytes(torch.cuda.get_device_properties(model.device).total_memory))
        self._vision, self._prefixes = VisionCache(on_device), PrefixCache(on_device)
        self._answers = answers if answers is not None else AnswerTokens()
        self._freed = FreedMemory()
        self._predictor = CostPredictor(model, self.decoder)
        config = model.config
        # Measured once: a budget that followed every answer would make another picture of what has been cached.
        self._max_pixels = self._affordable_pixels(processor.image.max_pixels)
        self._never = (  # never sampled: an answer with a placeholder would ask for a picture
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
        adapter: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        quantize: str = "none",
        preprocessing: str | None = None,
        limits: MediaLimits | None = None,
        decoding: Decoding | None = None,
        name: str | None = None,
        progress: Progress | None = None,
    ) -> LocalEngine:
        """Loads "nano", a checkpoint directory or a hub id, with an adapter merged into it. Raises UserError.

        `preprocessing` names another checkpoint, whose tokenizer and image preprocessing are taken. `name` is what
        people see of it, by default `model`; `progress` is told the share of the weights that are loaded.
        """
        small_files, merged = find_base(model, adapter, weights=False)
        if not any(small_files.glob("*.safetensors")) and (small_files / "config.json").is_file():
            # A model that does not fit is not downloaded.
            place(small_files, device, dtype, quantize, name=model, adapter=merged is not None)
        directory, adapter_directory = find_base(model, adapter)
        processor = Processor.from_directory(
            directory, limits, decoding=decoding, preprocessing=find_preprocessing(preprocessing)
        )
        placement = place(directory, device, dtype, quantize, name=model, adapter=adapter_directory is not None)
        with memory_errors("Choose a smaller model, or --dtype bfloat16."):
            weights = load_model(
                directory,
                device=placement.device_of,
                dtype=placement.dtype,
                quantize=placement.quantize,
                adapter=adapter_directory,
                progress=progress,
            )
        end_tokens = read_end_tokens(directory, processor)
        return cls(weights, processor, name=name or model, placement=placement, end_tokens=end_tokens)

    @property
    def config(self) -> Qwen2VLConfig:
        return self.model.config

    @property
    def pixel_limits(self) -> tuple[int, int]:
        return self.processor.image.min_pixels, self._max_pixels

    @property
    def max_frames(self) -> int:
        return self.processor.image.max_frames

    def _affordable_pixels(self, most: int) -> int:
        """The default max_pixels of a picture: at most `most`, less where time or free memory is short."""
        device = self.model.device
        if device.type == "cpu":
            most = min(most, CPU_MAX_PIXELS)
        free = bytes_free(device)
        if free is None:
            return most
        # Apple's attention holds the matrix of all patches by all patches; other devices have kernels that do not.
        whole = device.type == "mps"
        pixels = affordable_pixels(self.config, self.model.dtype.itemsize, free, whole_matrix=whole, most=most)
        return max(pixels, self.processor.image.min_pixels)

    @property
    def description(self) -> str:
        count = flops.parameters(self.config).total
        size = f"{count / 1e9:.1f} billion" if count >= 1e9 else f"{count / 1e6:.1f} million"
        held = held_bytes(self.model) + self.decoder.extra_bytes
        return f"{size} parameters ({format_bytes(held)} of weights) on {self.placement.reason}"

    def forget(self, cache_salt: str) -> None:
        for cache in (self._prefixes, self._vision, self._answers, self.processor):
            cache.forget(cache_salt)
        self._freed.give_back_soon()

    def prepare(self, messages: Sequence[Message], options: GenerationOptions) -> PromptTrace:
        return self._process(messages, options, None).trace

    def prompt(
        self, messages: Sequence[Message], options: GenerationOptions, cancel: threading.Event | None = None
    ) -> Prompt:
        return self._process(messages, options, cancel, thumbnails=True)

    def warm_up(self) -> None:
        """Captures the decoding step on a GPU, and measures how fast the device is, about a tenth of a second, once."""
        token = None
        if self._graphs is not None and not self._predictor.ready:
            with self.queue.join() as ticket:  # no answer runs meanwhile
                ticket.wait(None)
                with ticket.hold(), suppress(UserError), memory_errors(OUT_OF_MEMORY, self._clear_caches):
                    token = self._graphs.warm_up(self.model.device, self.model.dtype)
        self._predictor.calibrate(token)

    def estimate(self, trace: PromptTrace, options: GenerationOptions) -> Estimate:
        return self._predictor.estimate(
            trace, self._workload(trace, options, self._prefixes.match_length(prompt_key(trace)))
        )

    def stream(
        self,
        messages: Sequence[Message],
        options: GenerationOptions,
        cancel: threading.Event | None = None,
        *,
        prompt: Prompt | None = None,
        ticket: Ticket | None = None,
    ) -> Generator[Chunk, None, None]:
        check_cancelled = _cancellation(cancel)
        answer = ResultBuilder()
        try:
            prompt = prompt or self._process(messages, options, cancel)
            written = without_unfinished(messages)[1]
            key = prompt_key(prompt.trace)
            given = self._answers.ids(key, written, self.processor.tokenizer)[0] if written else NOTHING
            check_context(prompt.trace, written=len(given))
            answer.trace = prompt.trace
            answer.end_phase("prepare")
            with ExitStack() as stack:
                ticket = ticket or stack.enter_context(self.queue.join())
                for position in ticket.positions(cancel):
                    yield Chunk(status=waiting_text(position))
                stack.enter_context(ticket.hold())
                answer.end_phase("wait")
                with memory_errors(OUT_OF_MEMORY, self._clear_caches):
                    yield from self._generate(prompt, written, given, options, answer, check_cancelled)
        except Cancelled:
            answer.stop_reason = "cancelled"
        finally:
            self._freed.give_back_soon()
        yield Chunk(result=answer.result())

    def sampled(self, trace: PromptTrace, answer: str) -> np.ndarray | None:
        """The ids (A,) that were sampled for an answer to a prompt; None where they are not kept."""
        return self._answers.get(prompt_key(trace), answer)

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
        ids, exact = self.answer_ids(prompt.trace, answer)
        chosen = self.chosen_word(ids, word)
        queries = query_places(len(prompt.trace), chosen)
        try:
            with self.running(cancel, ticket) as check_cancelled:
                started = time.perf_counter()
                sequence = extend_prompt(prompt, ids[:-1])
                cache, computed = self.cache_before(prompt, ids[:-1], queries.start, check_cancelled)
                weights = capture_attention(self.model, sequence, queries, cache, check_cancelled)
                seconds = time.perf_counter() - started
        except Cancelled:
            return None
        tokens = tuple(map(self.processor.tokenizer.token_text, ids.tolist()))
        return AttentionTrace(
            prompt.trace, ids, tokens, chosen, weights, seconds, computed + len(queries), exact_tokens=exact
        )

    def laboratory(self) -> Laboratory:
        return LocalLaboratory(self)

    def answer_ids(self, trace: PromptTrace, answer: str) -> tuple[np.ndarray, bool]:
        """The ids (A,) of an answer to a prompt, and whether they are those that were sampled."""
        return self._answers.ids(prompt_key(trace), answer, self.processor.tokenizer)

    def chosen_word(self, ids: np.ndarray, word: int) -> Word:
        """Word number `word` of an answer. Raises UserError if there is none."""
        words = words_of(ids, self.processor.tokenizer)
        if not 0 <= word < len(words):
            raise UserError(f"The answer has {len(words)} words; choose one of them.")
        return words[word]

    @contextmanager
    def running(
        self, cancel: threading.Event | None, ticket: Ticket | None = None
    ) -> Generator[Callable[[], None], None, None]:
        """The turn of one request that writes no answer: waits for it and holds it. Gives what checks `cancel`, and
        raises Cancelled, and UserError where memory is short."""
        with ExitStack() as stack:
            ticket = ticket or stack.enter_context(self.queue.join())
            ticket.wait(cancel)
            stack.enter_context(ticket.hold())
            with memory_errors(OUT_OF_MEMORY, self._clear_caches):
                yield _cancellation(cancel)

    def cache_before(
        self, prompt: Prompt, answer: np.ndarray, length: int, check_cancelled: Callable[[], None]
    ) -> tuple[KVCache, int]:
        """A cache with the first `length` tokens of a prompt and ids of its answer, or more, and how many tokens were
        computed for it. It must not be written to. Call it within `running`."""
        sequence, key = extend_prompt(prompt, answer), prompt_key(prompt.trace).followed_by(answer)
        match = self._prefixes.peek(key)
        if match is not None and match[1] >= length:
            return match[0], 0
        cache = self._cache_for(key, len(key))
        cached_tokens = cache.length
        try:
            for _ in self._prefill(sequence, cache, ResultBuilder(), check_cancelled):
                pass
        finally:
            self._prefixes.put(key, cache)
        return cache, cache.length - cached_tokens

    def encoded(self, prompt: Prompt, check_cancelled: Callable[[], None]) -> list[Tensor]:
        """The merged tokens of each medium of a prompt. Call it within `running`."""
        salt = prompt.trace.cache_salt
        return [self._merged_tokens(salt, medium, check_cancelled) for medium in prompt.media]

    def _merged_tokens(self, salt: str, medium: VisionInput, check_cancelled: Callable[[], None]) -> Tensor:
        tokens = self._vision.get(salt, medium)
        if tokens is None:
            tokens = encode_medium(self.model, medium, self.processor.image, check_cancelled)
            self._vision.put(salt, medium, tokens)
        return tokens

    def continue_from(
        self, prompt: Prompt, given: np.ndarray, options: GenerationOptions, check_cancelled: Callable[[], None]
    ) -> str:
        """An answer to a prompt whose first ids are `given` (A,). Call it within `running`."""
        written, answer = self.text_of(given), ResultBuilder()
        for phase in ("prepare", "wait"):
            answer.end_phase(phase)
        chunks = self._generate(prompt, written, given, options, answer, check_cancelled)
        return written + "".join(chunk.text for chunk in chunks)

    def text_of(self, ids: np.ndarray) -> str:
        """The text that ids (A,) of an answer are streamed as, without half a character at the end."""
        return "".join(map(StreamDecoder(self.processor.tokenizer).push, ids.tolist()))

    def remember(self, trace: PromptTrace, answer: str, ids: np.ndarray) -> None:
        """That these ids (A,) were sampled for an answer to a prompt."""
        self._answers.put(prompt_key(trace), answer, ids)

    @property
    def never_sampled(self) -> tuple[int, ...]:
        return self._never

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

    def _generate(
        self,
        prompt: Prompt,
        written: str,
        given: np.ndarray,
        options: GenerationOptions,
        answer: ResultBuilder,
        check_cancelled: Callable[[], None],
    ) -> Generator[Chunk, None, None]:
        """Yields the statuses and the text of an answer, starting from what is cached of its prompt.

        It goes on behind `written`, whose ids are `given` (A,); both are empty where it is a new one.
        """
        key, model = prompt_key(prompt.trace), self.model
        sequence = extend_prompt(prompt, given)
        trace = sequence.trace
        max_tokens = trace.room(options.max_new_tokens)
        cache = self._cache_for(key.followed_by(given), len(trace) + max_tokens)
        workload = self._workload(trace, options, cache.length)
        ids: list[int] = []
        try:
            logits = yield from self._prefill(sequence, cache, answer, check_cancelled)
            sampler = Sampler(options, torch.from_numpy(trace.input_ids).to(model.device), self._never)
            decoder = StreamDecoder(self.processor.tokenizer)
            for token in given.tolist():  # the last one may be half a character
                decoder.push(token)
            with closing(self.tokens(sampler, logits, trace.rope_delta, cache, max_tokens)) as tokens:
                for token in tokens:
                    if not ids:  # choosing the first one may take as long as a short prompt: drawing sorts all logits
                        answer.end_phase("prefill", model.device)
                    if token in self.end_tokens:
                        break
                    answer.new_tokens += 1
                    ids.append(token)
                    if text := decoder.push(token):
                        answer.text += text
                        yield Chunk(text=text)
                    if answer.new_tokens == max_tokens:
                        answer.stop_reason = "length"
                        break
                    check_cancelled()
        except Cancelled:
            self._predictor.observe(workload, answer.result().timings, answer.new_tokens)  # what it reached
            raise
        finally:
            # Also after a cancellation: the cache is complete up to its length.
            sampled = np.concatenate([given, np.array(ids, dtype=np.int64)])
            self._prefixes.put(key.followed_by(sampled), cache)
            self._answers.put(key, written + answer.text, sampled)
        answer.end_phase("decode", self.model.device)
        self._predictor.observe(workload, answer.result().timings, answer.new_tokens)

    def tokens(
        self, sampler: Sampler, logits: Tensor, rope_delta: int, cache: KVCache, max_tokens: int
    ) -> Generator[int, None, None]:
        """Yields the tokens of an answer; take at most `max_tokens`, and close it before using the cache."""
        if self._graphs is None:
            return generate_tokens(self.decoder, sampler, logits, rope_delta, cache)
        return self._graphs.generate(sampler, logits, rope_delta, cache, max_tokens)

    def _workload(self, trace: PromptTrace, options: GenerationOptions, cached_tokens: int) -> Workload:
        return Workload.of(
            trace, options.max_new_tokens, cached_tokens, partial(self._vision.contains, trace.cache_salt)
        )

    def _cache_for(self, key: PromptKey, capacity: int) -> KVCache:
        """A cache with the longest cached prefix of a prompt, or an empty one. The caller puts it back."""
        cache = self._prefixes.take(key, capacity)
        config = self.model.config.text
        return cache or KVCache(config, capacity, device=self.model.layer_devices, dtype=self.model.dtype)

    def _prefill(
        self, prompt: Prompt, cache: KVCache, answer: ResultBuilder, check_cancelled: Callable[[], None]
    ) -> Generator[Chunk, None, Tensor]:
        """Encodes and prefills what the cache lacks of a prompt; returns the logits (V,) after its last token."""
        trace, cached_tokens = prompt.trace, cache.length
        answer.reused_tokens = cached_tokens
        new = [(m, t.span[0]) for m, t in zip(prompt.media, trace.media, strict=True) if t.span[1] > cached_tokens]
        vision: list[Tensor] = []
        for index, (medium, start) in enumerate(new):
            if not self._vision.contains(trace.cache_salt, medium.digest, medium.grid_thw):
                yield Chunk(status=_encoding(index, len(new), medium.kind))
            tokens = self._merged_tokens(trace.cache_salt, medium, check_cancelled)
            vision.append(tokens[max(0, cached_tokens - start) :])  # a cancelled prefill may end inside a picture
        answer.end_phase("encode", self.model.device)
        yield Chunk(status=_reading(len(trace) - cached_tokens))
        ids = torch.from_numpy(trace.input_ids[cached_tokens:]).to(self.model.device)
        positions = torch.from_numpy(trace.position_ids[:, cached_tokens:]).to(self.model.device)
        return prefill(self.model, ids, torch.cat(vision) if vision else None, positions, cache, check_cancelled)

    def _clear_caches(self) -> None:
        """Frees the memory that only makes later answers faster."""
        if self._graphs is not None:
            self._graphs.clear()
        self._prefixes.clear()
        self._vision.clear()


def _cancellation(cancel: threading.Event | None) -> Callable[[], None]:
    """A function that raises Cancelled once `cancel` is set."""

    def check_cancelled() -> None:
        if cancel is not None and cancel.is_set():
            raise Cancelled

    return check_cancelled


def _reading(tokens: int) -> str:
    return "Reading 1 token" if tokens == 1 else f"Reading {tokens} tokens"


def _encoding(index: int, count: int, kind: str) -> str:
    what = "the picture" if kind == "image" else "the clip"
    return f"Encoding {what}" if count == 1 else f"Encoding {what[4:]} {index + 1} of {count}"


def read_end_tokens(directory: Path, processor: Processor) -> frozenset[int]:
    """The ids that end an answer: <|im_end|>, and those in the checkpoint's generation_config.json, if it has one.

    Raises UserError for a file that is broken.
    """
    ends = {processor.tokenizer.special("<|im_end|>")}
    path = directory / "generation_config.json"
    if path.exists():
        value = read_json_object(path).get("eos_token_id")
        ids = value if isinstance(value, list) else [] if value is None else [value]
        if not all(type(i) is int and 0 <= i < processor.config.text.vocab_size for i in ids):
            raise UserError(
                f"{path} gives {shown(value)} as eos_token_id, which is neither an id of its vocabulary "
                "nor a list of such ids; take the file again from its source."
            )
        ends.update(ids)
    return frozenset(ends)
