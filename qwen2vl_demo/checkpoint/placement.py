"""On which device and in which dtypes a model is loaded. Every automatic choice comes with its reason, for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from qwen2vl_demo.checkpoint.cpu_speed import bfloat16_gain, bfloat16_row_gain
from qwen2vl_demo.checkpoint.graphics_cards import computes_bfloat16, why_unusable
from qwen2vl_demo.checkpoint.memory_needed import bytes_free, check_fits, lay_out, memory_needed, weight_sizes
from qwen2vl_demo.checkpoint.quantised.formats import quantization_method, stays_in_4_bits
from qwen2vl_demo.checkpoint.weight_files import checkpoint_config
from qwen2vl_demo.config import Qwen2VLConfig, TextConfig
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.memory import format_bytes, free_memory
from qwen2vl_demo.model.decoder import WeightKind
from qwen2vl_demo.model.quantised import Quantization, price

# On a CPU a second copy of the weights, in bfloat16, is made for decoding where that is clearly faster and worth it.
MIN_GAIN = 1.3  # times as fast
MIN_DECODE_BYTES = 1 << 28  # of weights that a token reads; smaller models are fast enough as they are
MEMORY_SHARE = 0.85  # of the free memory that weights may take


@dataclass(frozen=True)
class Placement:
    """The devices and the dtypes of a model, and why these were chosen, for people."""

    device: torch.device  # of the embedding and the vision transformer; ids go there, and logits come from there
    dtype: torch.dtype
    reason: str
    decode: WeightKind = "same"  # the weights for decoding, where they differ from those for prefill
    quantize: Quantization = "none"
    layers: tuple[torch.device, ...] = ()  # of each layer of the language model, where there are several devices

    @property
    def devices(self) -> tuple[torch.device, ...]:
        """All of them, each once."""
        return tuple(dict.fromkeys((self.device, *self.layers)))

    def device_of(self, name: str) -> torch.device:
        """The device of a parameter: of its layer; of the last layer for the final norm and an untied output layer."""
        if self.layers and name.startswith("model.layers."):
            return self.layers[int(name.split(".")[2])]
        if self.layers and name.startswith(("model.norm.", "lm_head.")):
            return self.layers[-1]
        return self.device


def place(
    directory: Path,
    device: str = "auto",
    dtype: str = "auto",
    quantize: Quantization = "none",
    *,
    name: str = "",
    adapter: bool = False,
    must_fit: bool = True,
) -> Placement:
    """Chooses what the user left open. The weights need not be there yet; `name` is the model's, for people, and with
    `adapter` one will be merged, which widens weights that are stored in 4 bits.

    Raises UserError for a device that is not there, and with `must_fit` for a model that does not fit, with what would
    work.
    """
    devices, why = find_devices(device)
    config = checkpoint_config(directory)
    chosen, reason = _dtype(config, devices, dtype, quantize)
    stored_int4 = not adapter and stays_in_4_bits(directory, config.text, devices)
    if must_fit:
        check_fits(name or str(directory), config, chosen, quantize, devices, stored_int4=stored_int4)
    placement = Placement(devices[0], chosen, f"{why}; {reason}", quantize=quantize)
    if len(devices) > 1:
        free = [bytes_free(card) for card in devices]
        need = memory_needed(config, chosen, quantize, stored_int4=stored_int4)
        placement = replace(placement, layers=lay_out(need, devices, free))
    if quantize != "none":
        return replace(placement, reason=f"{placement.reason}; {_quantised(quantize, placement.device)}")
    if (method := quantization_method(directory)) is not None:
        return replace(placement, reason=f"{placement.reason}; its weights are quantised ({method})")
    if dtype != "auto" or (placement.device.type, placement.dtype) != ("cpu", torch.float32):
        return placement
    read = 4 * decode_parameters(config.text)
    if read < MIN_DECODE_BYTES or not _fits(4 * _parameters(config) + read // 2, free_memory()):
        return placement
    if (gain := bfloat16_row_gain()) < MIN_GAIN:
        return placement
    why = f"{placement.reason}; answers are written with bfloat16 weights, {gain:.1f} times as fast for a single token"
    return replace(placement, decode="bfloat16", reason=why)


def bytes_needed(directory: Path, device: str = "auto", dtype: str = "auto", quantize: Quantization = "none") -> int:
    """Bytes that the checkpoint in a directory would take if it were loaded with these now. Raises UserError."""
    devices, _ = find_devices(device)
    config = checkpoint_config(directory)
    chosen, _ = _dtype(config, devices, dtype, quantize)
    stored_int4 = stays_in_4_bits(directory, config.text, devices)
    return memory_needed(config, chosen, quantize, stored_int4=stored_int4).total


def _quantised(quantize: Quantization, device: torch.device) -> str:
    """What quantising does, and its price in time, for people."""
    cost = price(quantize, device)
    bits = 8 if quantize == "int8" else 4
    return f"weights of {bits} bits, as asked for" + (f"; {cost}" if cost else "")


def _dtype(
    config: Qwen2VLConfig, devices: Sequence[torch.device], dtype: str, quantize: str
) -> tuple[torch.dtype, str]:
    """The dtype, and why."""
    if dtype != "auto":
        return getattr(torch, dtype), f"{dtype} as asked for"
    if devices[0].type == "cuda" and not all(map(computes_bfloat16, devices)):
        # float16, which these cards are made for, overflows in these models. float32 is what they multiply in either
        # way: bfloat16 is widened on them for each product, and saves nothing but memory.
        needed, free = memory_needed(config, torch.float32, quantize).total, [bytes_free(card) for card in devices]
        if needed <= sum(size or 0 for size in free):
            return torch.float32, "float32, since this GPU does not compute in bfloat16"
        why = f"bfloat16, which this GPU only emulates, since float32 would need {format_bytes(needed)}"
        return torch.bfloat16, why
    if devices[0].type != "cpu":
        return torch.bfloat16, "bfloat16, as the released checkpoints are stored"
    gain = bfloat16_gain()
    if gain > 1:
        return torch.bfloat16, "bfloat16, which this processor multiplies faster than float32"
    needed, room = 4 * _parameters(config), free_memory()
    if room is not None and not _fits(needed, room):
        why = f"bfloat16, since float32 would need {format_bytes(needed)} of the {format_bytes(room)} free"
        return torch.bfloat16, why
    return torch.float32, "float32, which this processor multiplies faster than bfloat16"


def find_devices(device: str) -> tuple[tuple[torch.device, ...], str]:
    """The devices that were asked for, and why; several only for `cuda:0,1`."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    trouble = None if available["cuda"] else why_unusable()
    if device == "auto":
        found = next(name for name, there in available.items() if there)
        why = "a GPU was found" if found != "cpu" else trouble or "no GPU was found"
        return (torch.device(found),), f"{found}, since {why}"
    kind, _, numbers = device.partition(":")
    if not available.get(kind, False):
        there = ", ".join(name for name, there in available.items() if there)
        if kind == "cuda" and trouble is not None:
            raise UserError(f"The device {device} cannot be used: {trouble}; or choose another --device ({there}).")
        raise UserError(f"There is no device {device} here (there is: {there}); change --device.")
    if not numbers:
        return (torch.device(kind),), f"{device} as asked for"
    cards, count = [int(number) for number in numbers.split(",")], torch.cuda.device_count()
    if missing := [card for card in cards if card >= count]:
        there = "cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
        raise UserError(f"There is no device cuda:{missing[0]} here (there is: {there}); change --device.")
    if len(set(cards)) < len(cards):
        raise UserError(f"--device {device} names a card twice; name each once.")
    return tuple(torch.device("cuda", card) for card in cards), f"{device} as asked for"


def decode_parameters(text: TextConfig) -> int:
    """The number of weights that a decoding step reads: those of the layers' products and the output layer."""
    shared = text.num_kv_heads * text.head_dim
    layer = text.hidden_size * (2 * text.hidden_size + 2 * shared + 3 * text.intermediate_size)
    return text.num_layers * layer + text.vocab_size * text.hidden_size


def _parameters(config: Qwen2VLConfig) -> int:
    return sum(weight_sizes(config, torch.float32).values()) // 4


def _fits(size: int, free: int | None) -> bool:
    """Whether weights of `size` bytes may be loaded; where the free memory is unknown, they may."""
    return free is None or size <= MEMORY_SHARE * free
