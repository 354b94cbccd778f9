"""Decoding with CUDA graphs: a step, sampling included, is one graph, and tokens are read back every few steps.

In an eager step of 28 layers the host takes longer to launch the kernels than a GPU takes to run them; a graph is
launched at once. For replay everything that changes from step to step is kept in static buffers, and the step writes
into a KV cache of its own: the conversation's cache is copied into it first, and the new keys and values are copied
back. So graphs are captured once for each capacity and not once for each answer.

The same step runs eagerly on a CPU, where tests hold it equal to `generate_tokens` token for token, and on a GPU that
refuses the capture. `tests/gpu` compares the captured one with the CPU; it did so on an H100.

Axes: V vocabulary, n steps of a block.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator

import torch
from torch import Tensor

from qwen2vl_demo.engine.sampling import Sampler, StaticSampler
from qwen2vl_demo.model.decoder import Decoder
from qwen2vl_demo.model.kv_cache import KVCache

BLOCK = 8  # steps between two reads: 5 to 15 ms on a GPU, and the most steps that are computed in vain at the end
MIN_CAPACITY = 2048  # tokens: a picture and an answer; larger caches double it, so that there are few graphs
WARM_UP_STEPS = 3  # before the capture, so that libraries select their kernels and allocate their memory

log = logging.getLogger(__name__)


class CudaGraphDecoder:
    """Generates tokens with one decoder; keeps its graphs and the largest cache so far. One answer at a time."""

    def __init__(self, decoder: Decoder, vocab_size: int, *, capture: bool = True) -> None:
        """Without `capture` every step runs eagerly, for CPUs and for comparisons."""
        self._decoder, self._vocab_size = decoder, vocab_size
        self._capture = _Capture() if capture else None
        self._steps: dict[tuple[int, bool], _StaticStep] = {}  # by capacity, and whether it is greedy
        self._cache: KVCache | None = None

    def warm_up(self, device: torch.device, dtype: torch.dtype) -> float:
        """Captures the step that most answers take, greedy and short; returns the seconds that a step takes.

        Called before the first answer, or its second token would wait for the capture. Not during an answer.
        """
        return self._step(KVCache(self._decoder.config, 1, device=device, dtype=dtype), greedy=True).seconds()

    def generate(
        self, sampler: Sampler, logits: Tensor, rope_delta: int, cache: KVCache, max_tokens: int
    ) -> Generator[int, None, None]:
        """Yields `max_tokens` tokens of an answer, the first sampled from the logits (V,) after the prompt.

        When the generator is closed, `cache` holds everything before the last token that was yielded, as after
        `generate_tokens`. Until then it is not changed.
        """
        token = sampler.choose(logits)
        yield token
        step, start, new_tokens = self._step(cache, sampler.options.temperature == 0), cache.length, 0
        step.begin(cache, token, rope_delta, sampler)
        try:
            while new_tokens < max_tokens - 1:
                for token in step.run(sampler.uniforms(min(BLOCK, max_tokens - 1 - new_tokens))):
                    new_tokens += 1
                    yield token
        finally:
            new = slice(start, start + new_tokens)
            cache.keys[..., new, :] = step.cache.keys[..., new, :]
            cache.values[..., new, :] = step.cache.values[..., new, :]
            cache.advance(new_tokens)

    @property
    def captured(self) -> bool:
        """Whether every step so far runs as a graph: none was refused, and there is one."""
        return bool(self._steps) and all(step.captured for step in self._steps.values())

    def clear(self) -> None:
        """Frees the graphs and their cache."""
        self._steps, self._cache = {}, None

    def _step(self, cache: KVCache, greedy: bool) -> _StaticStep:
        capacity = MIN_CAPACITY
        while capacity < cache.capacity:
            capacity *= 2
        if self._cache is None or self._cache.capacity < capacity:
            self.clear()  # before the new one is allocated: both may not fit
            self._cache = KVCache(cache.config, capacity, device=cache.keys.device, dtype=cache.keys.dtype)
            self._cache.keys.zero_()
            self._cache.values.zero_()
        key = (capacity, greedy)
        if key not in self._steps:
            self._steps[key] = _StaticStep(
                self._decoder, self._cache.within(capacity), self._vocab_size, greedy, self._capture
            )
        return self._steps[key]


class _Capture:
    """Captures functions as CUDA graphs, all on one stream: libraries keep a workspace for each stream."""

    def __init__(self) -> None:
        self._stream: torch.cuda.Stream | None = None  # of the device of the first capture

    def __call__(self, run: Callable[[], None], device: torch.device) -> Callable[[], None]:
        """What replays `run`; `run` itself where the device or its driver refuses to capture.

        `run` is called a few times before, so that libraries select their kernels. In either case what is called next
        on the current stream waits for what was called here.
        """
        with torch.cuda.device(device):
            current = torch.cuda.current_stream()
            self._stream = self._stream or torch.cuda.Stream()
            try:
                self._stream.wait_stream(current)
                with torch.cuda.stream(self._stream):
                    for _ in range(WARM_UP_STEPS):
                        run()
                graph = torch.cuda.CUDAGraph()
                # Other threads may use the device meanwhile: they prepare prompts.
                with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                    run()
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                log.warning("Answers are written without a CUDA graph, which this device refused: %s", error)
                return run
            finally:
                # A capture that fails at its end leaves its own stream current, and steps without a graph would then
                # not wait for the prompt.
                torch.cuda.set_stream(current)
                current.wait_stream(self._stream)
            return graph.replay


class _StaticStep:
    """A decoding step on static buffers, captured or eager."""

    def __init__(
        self, decoder: Decoder, cache: KVCache, vocab_size: int, greedy: bool, capture: _Capture | None
    ) -> None:
        self._decoder, self.cache = decoder, cache
        device = cache.keys.device

        def integers(size: int) -> Tensor:
            return torch.zeros(size, dtype=torch.int64, device=device)

        self._token, self._index, self._position = integers(1), integers(1), integers(1)
        self._in_block = integers(1)  # the step's number within its block
        self._tokens, self._uniforms = integers(BLOCK), torch.zeros(BLOCK, device=device)
        self._sampler = StaticSampler(vocab_size, greedy, device)
        self._step: Callable[[], None] = capture(self._eager, device) if capture else self._eager
        self.captured = self._step != self._eager

    @torch.inference_mode()
    def begin(self, cache: KVCache, token: int, rope_delta: int, sampler: Sampler) -> None:
        """Prepares the buffers to run `token` after what `cache` holds."""
        length = cache.length
        self.cache.keys[..., :length, :] = cache.keys[..., :length, :]
        self.cache.values[..., :length, :] = cache.values[..., :length, :]
        self._token.fill_(token)
        self._index.fill_(length)
        self._position.fill_(length + rope_delta)
        self._sampler.load(sampler, token)

    @torch.inference_mode()
    def run(self, uniforms: Tensor) -> list[int]:
        """Runs one step for each of the uniform numbers (n,), n at most BLOCK; returns the sampled tokens."""
        self._uniforms[: len(uniforms)] = uniforms.to(self._uniforms.device)
        self._in_block.zero_()
        for _ in range(len(uniforms)):
            self._step()
        return self._tokens[: len(uniforms)].tolist()  # the only synchronization with the device

    def seconds(self) -> float:
        """The seconds that a step takes, measured."""
        uniforms = torch.zeros(BLOCK)
        self._index.zero_()
        self.run(uniforms)
        started = time.perf_counter()
        self.run(uniforms)
        return (time.perf_counter() - started) / len(uniforms)

    @torch.inference_mode()
    def _eager(self) -> None:
        logits = self._decoder.static_step(self._token, self._position, self._index, self.cache)
        self._token.copy_(self._sampler.choose(logits, self._uniforms.index_select(0, self._in_block)))
        self._tokens.index_copy_(0, self._in_block, self._token)
        for counter in (self._index, self._position, self._in_block):
            counter.add_(1)
