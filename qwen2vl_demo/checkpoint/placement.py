"""On which device and in which dtypes a model is loaded. Every automatic choice comes with its reason, for people."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from qwen2vl_demo.checkpoint.cpu_speed import bfloat16_gain, bfloat16_row_gain
from qwen2vl_demo.checkpoint.quantised.formats import quantization_method
from qwen2vl_demo.checkpoint.weight_files import checkpoint_config
from qwen2vl_demo.config import Qwen2VLConfig, TextConfig
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.memory import free_memory
from qwen2vl_demo.model.decoder import WeightKind
from qwen2vl_demo.model.quantised import Quantization
from qwen2vl_demo.model.qwen2vl import Qwen2VL

# On a CPU a second copy of the weights, in bfloat16, is made for decoding where that is clearly faster and worth it.
MIN_GAIN = 1.3  # times as fast
MIN_DECODE_BYTES = 1 << 28  # of weights that a token reads; smaller models are fast enough as they are
MEMORY_SHARE = 0.85  # of the free memory that weights may take


@dataclass(frozen=True)
class Placement:
    """The device and the dtypes of a model, and why these were chosen, for people."""

    device: torch.device
    dtype: torch.dtype
    reason: str
    decode: WeightKind = "same"  # the weights for decoding, where they differ from those for prefill
    quantize: Quantization = "none"


def place(directory: Path, device: str = "auto", dtype: str = "auto", quantize: Quantization = "none") -> Placement:
    """Chooses what the user left open. Raises UserError for a device that is not there."""
    placement = _place(directory, device, dtype)
    if quantize != "none":
        why = f"{placement.reason}; {_quantised(quantize, placement.device)}, as asked for"
        return replace(placement, quantize=quantize, reason=why)
    if (method := quantization_method(directory)) is not None:
        return replace(placement, reason=f"{placement.reason}; its weights are quantised ({method})")
    if dtype != "auto" or (placement.device.type, placement.dtype) != ("cpu", torch.float32):
        return placement
    read = 4 * decode_parameters(Qwen2VLConfig.from_file(directory / "config.json").text)
    if read < MIN_DECODE_BYTES or not _fits(4 * _parameters(directory) + read // 2, free_memory()):
        return placement
    if (gain := bfloat16_row_gain()) < MIN_GAIN:
        return placement
    why = f"{placement.reason}; answers are written with bfloat16 weights, {gain:.1f} times as fast for a single token"
    return replace(placement, decode="bfloat16", reason=why)


def _quantised(quantize: Quantization, device: torch.device) -> str:
    """What quantising does, for people."""
    bits = 8 if quantize == "int8" else 4
    no_kernel = device.type == "mps" or (device.type, quantize) == ("cuda", "int8")
    return f"weights of {bits} bits" + (", which save memory and no time on a GPU" if no_kernel else "")


def _place(directory: Path, device: str, dtype: str) -> Placement:
    chosen, why = _device(device)
    if dtype != "auto":
        return Placement(chosen, getattr(torch, dtype), f"{why}; {dtype} as asked for")
    if chosen.type != "cpu":
        if chosen.type == "cuda" and not torch.cuda.is_bf16_supported():
            return Placement(chosen, torch.float32, f"{why}; float32, since this GPU has no bfloat16")
        return Placement(chosen, torch.bfloat16, f"{why}; bfloat16, as the released checkpoints are stored")
    gain = bfloat16_gain()
    if gain > 1:
        return Placement(chosen, torch.bfloat16, f"{why}; bfloat16, {gain:.1f} times as fast as float32 here")
    needed, free = 4 * _parameters(directory), free_memory()
    if free is not None and not _fits(needed, free):
        return Placement(
            chosen,
            torch.bfloat16,
            f"{why}; bfloat16, since float32 would need {needed / 2**30:.1f} GB of the {free / 2**30:.1f} GB free",
        )
    return Placement(chosen, torch.float32, f"{why}; float32, {1 / gain:.0f} times as fast as bfloat16 here")


def _device(device: str) -> tuple[torch.device, str]:
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        found = next(name for name, there in available.items() if there)
        why = "no GPU was found" if found == "cpu" else "a GPU was found"
        return torch.device(found), f"{found}, since {why}"
    kind = device.split(":")[0]
    if not available.get(kind, False):
        there = ", ".join(name for name, there in available.items() if there)
        raise UserError(f"There is no device {device} here (there is: {there}); change --device.")
    return torch.device(device), f"{device} as asked for"


def decode_parameters(text: TextConfig) -> int:
    """The number of weights that a decoding step reads: those of the layers' products and the output layer."""
    shared = text.num_kv_heads * text.head_dim
    layer = text.hidden_size * (2 * text.hidden_size + 2 * shared + 3 * text.intermediate_size)
    return text.num_layers * layer + text.vocab_size * text.hidden_size


def _parameters(directory: Path) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in Qwen2VL(checkpoint_config(directory)).parameters())


def _fits(size: int, free: int | None) -> bool:
    """Whether weights of `size` bytes may be loaded; where the free memory is unknown, they may."""
    return free is None or size <= MEMORY_SHARE * free
