"""Measures how fast this device runs this model: a short calibration with the model's own layers, dtype and shapes.

Each measurement grows until it is long enough to be reliable, and all of them together keep to a budget of time. The
layers are run in turn, so that weights come from memory, as in generation, and not from a processor's cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from qwen2vl_demo.engine.cost import flops
from qwen2vl_demo.model.decoder import Decoder
from qwen2vl_demo.model.device import synchronize
from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.model.qwen2vl import Qwen2VL

BUDGET = 0.12  # s for the whole calibration
RELIABLE = 0.006  # s: after a measurement this long no larger one is made
LONG = 0.02  # s: a run this long is not repeated
FEW_TOKENS = 64  # with fewer, reading a layer's weights takes longer than computing with them
STEPS = 12  # decoding steps that are timed, at most
SEGMENT = 64  # patches in a segment while a ViT block is timed: few, so that attention takes no time


@dataclass(frozen=True)
class TimeCurve:
    """Seconds as a function of work: linear between the measured points and after them, constant before them."""

    points: tuple[tuple[float, float], ...]  # (work, seconds), work ascending

    def at(self, work: float) -> float:
        x, y = zip(*self.points, strict=True)
        if work <= x[-1]:
            return float(np.interp(work, x, y))
        average = y[-1] / x[-1]  # s per unit of work, constant costs included
        slope = (y[-1] - y[-2]) / (x[-1] - x[-2]) if len(x) > 1 else average
        slope = min(max(slope, 0.5 * average), 1.5 * average)  # so that noise is not extrapolated
        return y[-1] + slope * (work - x[-1])


@dataclass(frozen=True)
class DeviceSpeed:
    """The results of a calibration."""

    block: TimeCurve  # a ViT block, over its linear FLOPs
    layer: TimeCurve  # a layer of the language model over several tokens, over its linear FLOPs
    attention: float  # s per FLOP of attention
    head: float  # s of the output layer after a prompt
    token: float  # s of a decoding step with a short cache
    byte: float  # s to read a byte of keys and values
    calibration_seconds: float  # s that measuring this took


@torch.inference_mode()
def calibrate(model: Qwen2VL, decoder: Decoder, token: float | None = None, *, budget: float = BUDGET) -> DeviceSpeed:
    """Times the parts of a model and of its decoder on their device.

    `token` are the seconds of a decoding step where they are known: an engine that decodes in CUDA graphs has timed
    one. Takes about `budget` seconds; more only where a single layer does, or where a device begins slowly.
    """
    began = time.perf_counter()
    vision, text = model.config.vision, model.config.text
    clock = _Clock(model.device)

    def ones(*shape: int) -> Tensor:
        return torch.ones(shape, device=model.device, dtype=model.dtype)

    def no_rotation(*shape: int) -> tuple[Tensor, Tensor]:
        """cos and sin of the angle 0; a rotation costs the same by any angle."""
        return torch.ones(shape, device=model.device), torch.zeros(shape, device=model.device)

    def block(patches: int) -> Callable[[int], object]:
        x, (cos, sin) = ones(patches, vision.embed_dim), no_rotation(patches, 1, 1, vision.head_dim // 2)
        runs = [(patches // SEGMENT, SEGMENT)]
        blocks = model.visual.blocks
        return lambda index: blocks[index % len(blocks)](x, cos, sin, runs)

    def layer(tokens: int) -> Callable[[int], object]:
        x, (cos, sin) = ones(1, tokens, text.hidden_size), no_rotation(1, 1, tokens, text.head_dim // 2)
        layers = [layer for layer in model.model.layers if layer.device == x.device]  # of several devices, the first
        return lambda index: layers[index % len(layers)](x, cos, sin, None, None)

    def attention(patches: int) -> Callable[[int], object]:
        q, k, v = (ones(1, vision.num_heads, patches, vision.head_dim) for _ in range(3))
        return lambda index: F.scaled_dot_product_attention(q, k, v)

    hidden = ones(1, text.hidden_size)
    head = clock.shortest(lambda index: model.logits(hidden))
    if token is None:
        token = _token(decoder, hidden, head, clock, began + 0.3 * budget)
    attentions = clock.ladder(attention, [256, 1024, 4096], began + 0.4 * budget)
    blocks = clock.ladder(block, [SEGMENT, 4 * SEGMENT, 16 * SEGMENT, 64 * SEGMENT], began + 0.7 * budget)
    layers = clock.ladder(layer, [1, FEW_TOKENS, 256, 1024, 4096], began + budget, min_size=FEW_TOKENS)
    per_attention = attentions[-1][1] / (4 * vision.embed_dim * attentions[-1][0] ** 2)
    read = text.vocab_size * text.hidden_size * hidden.element_size()

    def without_attention(tokens: int, seconds: float) -> tuple[float, float]:
        count = flops.layer_flops(text, tokens)
        return count.linear, max(seconds - count.attention * per_attention, seconds / 2)

    return DeviceSpeed(
        block=TimeCurve(tuple((flops.block_flops(vision, [SEGMENT] * (n // SEGMENT)).linear, s) for n, s in blocks)),
        layer=TimeCurve(tuple(without_attention(n, s) for n, s in layers)),
        attention=per_attention,
        head=head,
        token=token,
        byte=head / read,
        calibration_seconds=time.perf_counter() - began,
    )


class _Clock:
    """Times functions of a repetition index; synchronizes with the device before reading the time."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def once(self, run: Callable[[int], object], index: int) -> float:
        synchronize(self._device)
        began = time.perf_counter()
        run(index)
        synchronize(self._device)
        return time.perf_counter() - began

    def shortest(self, run: Callable[[int], object], repeats: int = 2) -> float:
        """The shortest of some runs after a first one, which may load kernels; a long one is not repeated."""
        first = self.once(run, 0)
        times = [self.once(run, 1)]
        while len(times) < repeats and times[0] < LONG:
            times.append(self.once(run, len(times) + 1))
        return min(first, *times)

    def mean(self, run: Callable[[int], object], repeats: int, deadline: float) -> float:
        """The mean after a first run, of as many as the deadline allows, without the longest third."""
        self.once(run, 0)
        times: list[float] = []
        while len(times) < repeats and (not times or time.perf_counter() < deadline):
            times.append(self.once(run, len(times) + 1))
        kept = sorted(times)[: max(1, 2 * len(times) // 3)]
        return sum(kept) / len(kept)

    def ladder(
        self, make: Callable[[int], Callable[[int], object]], sizes: Sequence[int], deadline: float, min_size: int = 0
    ) -> list[tuple[int, float]]:
        """(size, seconds) of ever larger runs until one is reliable or time is up; `min_size` is run in any case."""
        found: list[tuple[int, float]] = []
        for size in sizes:
            found.append((size, self.shortest(make(size))))
            if size >= min_size and (found[-1][1] > RELIABLE or time.perf_counter() > deadline):
                break
        return found


def _token(decoder: Decoder, hidden: Tensor, head: float, clock: _Clock, deadline: float) -> float:
    """Seconds of a decoding step: measured, or where that would take too long, in proportion to the output layer, which
    takes `head` seconds with the model's own weights."""
    if decoder.kind != "same":
        head = clock.shortest(lambda index: decoder.head(hidden))
    by_bytes = head / decoder.head.nbytes * decoder.nbytes
    if by_bytes > LONG:
        return by_bytes  # large products are bound by reading their weights
    cache = KVCache(decoder.config, STEPS + 1, device=decoder.layer_devices, dtype=hidden.dtype)
    return clock.mean(lambda index: decoder.step(0, index, cache), STEPS, deadline)
