"""Predicts the time and memory of an answer on this device, and corrects itself by the answers that follow.

A prediction is the counted work (`flops`) at the calibrated speed (`calibration`), times a factor for each phase. The
factor follows the ratio of measured to predicted seconds of the last answers; the spread of that ratio becomes the
range. Thread-safe; never waits for the engine.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from qwen2vl_demo.engine.cost import flops
from qwen2vl_demo.engine.cost.calibration import DeviceSpeed, calibrate
from qwen2vl_demo.engine.cost.estimate import NO_TIME, Estimate, Memory, TimeRange, Times, tokens_only
from qwen2vl_demo.engine.generate import PREFILL_CHUNK
from qwen2vl_demo.engine.vision_cache import PIECE_PATCHES
from qwen2vl_demo.geometry import Grid
from qwen2vl_demo.memory import free_memory
from qwen2vl_demo.model.decoder import Decoder
from qwen2vl_demo.model.device import free_bytes
from qwen2vl_demo.model.quantised import held_bytes
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.trace import PromptTrace

log = logging.getLogger(__name__)

UNKNOWN = "How fast this device is could not be found out, so no time is predicted."
HISTORY = 16  # answers by which predictions are corrected
DECAY = 0.75  # weight of an answer relative to the next one
# The prior, before any answer was measured: the calibration is off by PRIOR_SPREAD (log of a factor), and counts as
# much as this many answers towards the mean and towards the spread.
PRIOR_SPREAD = 0.5
PRIOR_MEAN_WEIGHT = 0.3
PRIOR_SPREAD_WEIGHT = 1.0
# Seconds to prepare a prompt whose media are decoded already: constant, and for each token. Corrected like the rest.
PREPARE_SECONDS = (1e-3, 1e-6)
MIN_SPREAD = 0.15  # log: two runs of the same work differ by this much


@dataclass(frozen=True)
class Workload:
    """What has to be computed for one answer."""

    prompt_tokens: int
    cached_tokens: int  # of the prompt, in the KV cache already
    max_new_tokens: int
    grids: tuple[Grid, ...]  # of the media that must be encoded; a clip can be in pieces
    new_media: int = 0  # how many of the attached pictures and clips these are, or are pieces of

    @classmethod
    def of(
        cls, trace: PromptTrace, max_new_tokens: int, cached_tokens: int, is_encoded: Callable[[str, Grid], bool]
    ) -> Workload:
        """`is_encoded` tells by digest and grid whether a medium's merged tokens are cached."""
        new = [
            medium
            for medium in trace.media
            if medium.span[1] > cached_tokens and not is_encoded(medium.digest, medium.grid_thw)
        ]
        starts = {medium.span[0] for medium in new}
        return cls(
            prompt_tokens=len(trace),
            cached_tokens=cached_tokens,
            max_new_tokens=trace.room(max_new_tokens),
            grids=tuple(medium.grid_thw for medium in new),
            new_media=sum(any(start in range(*medium.span) for start in starts) for medium in trace.attached),
        )


class CostPredictor:
    """Predictions for one model and its decoder."""

    def __init__(self, model: Qwen2VL, decoder: Decoder | None, speed: DeviceSpeed | None = None) -> None:
        """`speed` is what a calibration has measured already, where the model does not run in this process: then there
        is no decoder either."""
        self._model, self._decoder, self.config = model, decoder, model.config
        self.itemsize = model.dtype.itemsize
        self._held = held_bytes(model)
        self._speed = speed
        self._failed = False
        self._ratios: dict[str, deque[float]] = {}  # logs of measured / predicted, newest last
        self._calibrating, self._lock = threading.Lock(), threading.Lock()

    @property
    def ready(self) -> bool:
        """Whether the device has been calibrated, so that predicting is mere arithmetic."""
        return self._speed is not None

    def calibrate(self, token: float | None = None) -> DeviceSpeed | None:
        """Measures the device's speed, about a tenth of a second, once.

        `token` are the seconds of a decoding step, where they are known. None where calibrating fails (the memory is
        full, or the device lacks an operation): then no times are predicted.
        """
        with self._calibrating:
            if self._speed is None and self._decoder is not None and not self._failed:
                try:
                    self._speed = calibrate(self._model, self._decoder, token)
                except (RuntimeError, MemoryError) as problem:
                    self._failed = True
                    log.warning("the device could not be calibrated: %s", type(problem).__name__)
            return self._speed

    def estimate(self, trace: PromptTrace, work: Workload) -> Estimate:
        """The predicted tokens, memory and seconds of an answer."""
        return replace(
            tokens_only(trace),
            reused_tokens=work.cached_tokens,
            reused_media=len(trace.attached) - work.new_media,
            memory=self.memory(work, _free(self._model.device)),
            times=self.times(work),
            basis=self.basis,
        )

    def memory(self, work: Workload, free: int | None) -> Memory:
        """Bytes of an answer. `activations` is the larger of the ViT's and the language model's."""
        patches = flops.largest_piece(work.grids, PIECE_PATCHES)
        vision = flops.vision_activation_bytes(self.config.vision, patches, self.itemsize)
        text = flops.prefill_activation_bytes(
            self.config.text, work.prompt_tokens - work.cached_tokens, work.cached_tokens, self.itemsize, PREFILL_CHUNK
        )
        return Memory(
            weights=self._held + (self._decoder.extra_bytes if self._decoder is not None else 0),
            kv_cache=flops.kv_bytes(self.config.text, work.prompt_tokens + work.max_new_tokens, self.itemsize),
            activations=max(vision, text),
            free=free,
        )

    def times(self, work: Workload) -> Times | None:
        """Seconds of each phase of an answer; calibrates first if necessary. None if calibration fails."""
        speed = self.calibrate()
        if speed is None:
            return None
        raw = self._raw(work, speed)
        return Times(
            prepare=self._corrected("prepare", raw["prepare"]),
            encode=self._corrected("encode", raw["encode"]) if work.grids else NO_TIME,
            prefill=self._corrected("prefill", raw["prefill"]),
            token=self._corrected("token", raw["token"]),
        )

    def observe(self, work: Workload, timings: Mapping[str, float], new_tokens: int) -> None:
        """Corrects later predictions by the timings of an answer, in seconds, for the phases that it reached."""
        if self._speed is None:
            return
        raw = self._raw(work, self._speed)
        measured = {phase: timings[phase] for phase in ("prepare", "encode", "prefill") if phase in timings}
        if not work.grids:  # then the time before prefill was spent on finding and copying a KV cache
            measured["prepare"] = measured.get("prepare", 0.0) + measured.pop("encode", 0.0)
        if "decode" in timings and new_tokens > 1:
            measured["token"] = timings["decode"] / new_tokens
        with self._lock:
            for phase, seconds in measured.items():
                if seconds > 0 and raw[phase] > 0:
                    ratios = self._ratios.setdefault(phase, deque(maxlen=HISTORY))
                    ratios.append(math.log(seconds / raw[phase]))

    @property
    def basis(self) -> str:
        """What the predicted seconds are based on, or why there are none; for people."""
        if self._speed is None:
            return UNKNOWN
        answers = max((len(ratios) for ratios in self._ratios.values()), default=0)
        learned = ", not yet corrected by a measured answer"
        if answers:
            learned = f", corrected by the last {answers} answers" if answers > 1 else ", corrected by one answer"
        return f"a calibration of this device in {self._speed.calibration_seconds:.2f} s{learned}"

    def _raw(self, work: Workload, speed: DeviceSpeed) -> dict[str, float]:
        """Seconds of each phase at the calibrated speed, without corrections."""
        vision, text = self.config.vision, self.config.text
        encode = 0.0
        if work.grids:
            count, runs = flops.vision_flops(vision, work.grids), flops.pieces_of(work.grids, PIECE_PATCHES)
            encode = runs * vision.depth * speed.block.at(count.linear / vision.depth / runs)
            encode += count.attention * speed.attention
        new = work.prompt_tokens - work.cached_tokens
        count, runs = flops.layer_flops(text, new, work.cached_tokens), math.ceil(new / PREFILL_CHUNK)
        prefill = text.num_layers * (runs * speed.layer.at(count.linear / runs) + count.attention * speed.attention)
        seen = flops.kv_bytes(text, work.prompt_tokens + work.max_new_tokens // 2, self.itemsize)
        return {
            "prepare": PREPARE_SECONDS[0] + PREPARE_SECONDS[1] * work.prompt_tokens,
            "encode": encode,
            "prefill": prefill + speed.head,
            "token": speed.token + seen * speed.byte,
        }

    def _corrected(self, phase: str, seconds: float) -> TimeRange:
        with self._lock:
            ratios = list(self._ratios.get(phase, ()))
        weights = [DECAY**age for age in range(len(ratios))][::-1]
        mean = sum(w * r for w, r in zip(weights, ratios, strict=True)) / (sum(weights) + PRIOR_MEAN_WEIGHT)
        squares = PRIOR_SPREAD_WEIGHT * PRIOR_SPREAD**2 + sum(
            w * (r - mean) ** 2 for w, r in zip(weights, ratios, strict=True)
        )
        spread = math.sqrt(squares / (sum(weights) + PRIOR_SPREAD_WEIGHT))
        return TimeRange.around(seconds * math.exp(mean), max(MIN_SPREAD, 1.5 * spread))


def _free(device: torch.device) -> int | None:
    """Bytes that are free on the device; None where it does not tell."""
    return free_memory() if device.type == "cpu" else free_bytes(device)
