"""Predicts what an answer will take on this device, and learns from what answers then took.

A prediction is counted work (`cost`) at the calibrated speed (`speed`), times a factor for each phase that follows the
ratio of measured to predicted seconds of the last answers; how much that ratio varies becomes the range. Safe for
several threads; never waits for the engine. Knows numbers of prompts, not their content.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from qwen2vl_demo.engine.cost import flops as cost
from qwen2vl_demo.engine.cost.calibration import Speed, calibrate
from qwen2vl_demo.engine.cost.estimate import NOTHING, Estimate, Memory, Span, Times, tokens_only
from qwen2vl_demo.engine.generate import PREFILL_CHUNK
from qwen2vl_demo.engine.vision_cache import PIECE_PATCHES
from qwen2vl_demo.geometry import Grid
from qwen2vl_demo.model.decoder import Decoder
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.model.weights import free_memory
from qwen2vl_demo.trace import PromptTrace

log = logging.getLogger(__name__)

UNKNOWN = "How fast this device is could not be found out, so no time is predicted."
REMEMBERED = 16  # answers
FADING = 0.75  # weight of an answer beside the one after it
DOUBT = 0.5  # log of the factor by which a calibration alone is usually wrong ...
DOUBT_WEIGHT = 0.3  # ... what the calibration counts beside one answer ...
SPREAD_WEIGHT = 1.0  # ... and its doubt: one answer says little of how much they vary
# Seconds to prepare a prompt whose files are opened already, which they are once it can be estimated: a start, and a
# token. Only where the learning begins.
PREPARE = (1e-3, 1e-6)
LEAST_SPREAD = 0.15  # log: two runs of the same work differ by this much


@dataclass(frozen=True)
class Work:
    """What there is to do for one answer."""

    length: int  # tokens of the prompt
    known: int  # of these, in the KV cache already
    room: int  # most tokens of the answer
    grids: tuple[Grid, ...]  # of the pictures and clips that must be encoded

    @classmethod
    def of(cls, trace: PromptTrace, new_tokens: int, known: int, encoded: Callable[[str, Grid], bool]) -> Work:
        """`new_tokens` were asked for; `encoded` says by digest and grid whether a picture's merged tokens are kept."""
        return cls(
            length=len(trace),
            known=known,
            room=max(0, min(new_tokens, trace.context_length - len(trace))),
            grids=tuple(m.grid_thw for m in trace.media if m.span[1] > known and not encoded(m.digest, m.grid_thw)),
        )


class Meter:
    """One for an engine."""

    def __init__(self, model: Qwen2VL, decoder: Decoder) -> None:
        self._model, self._decoder, self.config = model, decoder, model.config
        self.itemsize = model.dtype.itemsize
        self._speed: Speed | None = None
        self._failed = False
        self._ratios: dict[str, deque[float]] = {}  # logs of measured / predicted, newest last
        self._calibrating, self._lock = threading.Lock(), threading.Lock()

    @property
    def ready(self) -> bool:
        """Whether predicting is a matter of arithmetic now."""
        return self._speed is not None

    def calibrate(self) -> Speed | None:
        """Finds out the speed, once; takes about a tenth of a second the first time. None where that cannot be done
        (a memory that is full, an operation that a device lacks): then nothing is predicted, and answers come as ever.
        """
        with self._calibrating:
            if self._speed is None and not self._failed:
                try:
                    self._speed = calibrate(self._model, self._decoder)
                except (RuntimeError, MemoryError) as problem:
                    self._failed = True
                    log.warning("the device could not be calibrated: %s", type(problem).__name__)
            return self._speed

    def estimate(self, trace: PromptTrace, work: Work) -> Estimate:
        """All that can be said before an answer is asked for."""
        return replace(
            tokens_only(trace),
            reused_tokens=work.known,
            reused_media=len(trace.media) - len(work.grids),
            memory=self.memory(work, _free(self._model.device)),
            times=self.times(work),
            basis=self.basis,
        )

    def memory(self, work: Work, free: int | None) -> Memory:
        """Bytes of an answer. Those inside a layer are the larger of the ViT's and the language model's."""
        patches = cost.largest_piece(work.grids, PIECE_PATCHES)
        vision = cost.vision_activation_bytes(self.config.vision, patches, self.itemsize)
        text = cost.prefill_activation_bytes(
            self.config.text, work.length - work.known, work.known, self.itemsize, PREFILL_CHUNK
        )
        return Memory(
            weights=cost.parameters(self.config).total * self.itemsize + self._decoder.extra_bytes,
            kv_cache=cost.kv_bytes(self.config.text, work.length + work.room, self.itemsize),
            activations=max(vision, text),
            free=free,
        )

    def times(self, work: Work) -> Times | None:
        """Seconds of an answer's parts; calibrates first if nobody has. None if that cannot be done."""
        speed = self.calibrate()
        if speed is None:
            return None
        raw = self._raw(work, speed)
        return Times(
            prepare=self._corrected("prepare", raw["prepare"]),
            encode=self._corrected("encode", raw["encode"]) if work.grids else NOTHING,
            prefill=self._corrected("prefill", raw["prefill"]),
            token=self._corrected("token", raw["token"]),
        )

    def observe(self, work: Work, timings: Mapping[str, float], new_tokens: int) -> None:
        """Learns from an answer: its timings in seconds, phase by phase, as far as it came."""
        if self._speed is None:
            return
        raw = self._raw(work, self._speed)
        measured = {phase: timings[phase] for phase in ("prepare", "encode", "prefill") if phase in timings}
        if not work.grids:  # then the time between preparing and reading was spent on finding and copying a KV cache
            measured["prepare"] = measured.get("prepare", 0.0) + measured.pop("encode", 0.0)
        if "decode" in timings and new_tokens > 1:
            measured["token"] = timings["decode"] / new_tokens
        with self._lock:
            for phase, seconds in measured.items():
                if seconds > 0 and raw[phase] > 0:
                    ratios = self._ratios.setdefault(phase, deque(maxlen=REMEMBERED))
                    ratios.append(math.log(seconds / raw[phase]))

    @property
    def basis(self) -> str:
        """What the seconds rest on, in words; or why there are none."""
        if self._speed is None:
            return UNKNOWN
        answers = max((len(ratios) for ratios in self._ratios.values()), default=0)
        learned = "; no answer has been measured yet"
        if answers:
            learned = f", corrected by the last {answers} answers" if answers > 1 else ", corrected by one answer"
        return f"a calibration of this device in {self._speed.took:.2f} s{learned}"

    def _raw(self, work: Work, speed: Speed) -> dict[str, float]:
        """Seconds at the calibrated speed, without what answers taught."""
        vision, text = self.config.vision, self.config.text
        encode = 0.0
        if work.grids:
            flops, runs = cost.vision_flops(vision, work.grids), cost.pieces_of(work.grids, PIECE_PATCHES)
            encode = runs * vision.depth * speed.block.at(flops.linear / vision.depth / runs)
            encode += flops.attention * speed.attention
        new = work.length - work.known
        flops, runs = cost.layer_flops(text, new, work.known), math.ceil(new / PREFILL_CHUNK)
        prefill = text.num_layers * (runs * speed.layer.at(flops.linear / runs) + flops.attention * speed.attention)
        seen = cost.kv_bytes(text, work.length + work.room // 2, self.itemsize)
        return {
            "prepare": PREPARE[0] + PREPARE[1] * work.length,
            "encode": encode,
            "prefill": prefill + speed.head,
            "token": speed.token + seen * speed.byte,
        }

    def _corrected(self, phase: str, seconds: float) -> Span:
        with self._lock:
            ratios = list(self._ratios.get(phase, ()))
        weights = [FADING**age for age in range(len(ratios))][::-1]
        mean = sum(w * r for w, r in zip(weights, ratios, strict=True)) / (sum(weights) + DOUBT_WEIGHT)
        squares = SPREAD_WEIGHT * DOUBT**2 + sum(w * (r - mean) ** 2 for w, r in zip(weights, ratios, strict=True))
        spread = math.sqrt(squares / (sum(weights) + SPREAD_WEIGHT))
        return Span.around(seconds * math.exp(mean), max(LEAST_SPREAD, 1.5 * spread))


def _free(device: torch.device) -> int | None:
    """Bytes that the device could still give."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return free_memory() if device.type == "cpu" else None
