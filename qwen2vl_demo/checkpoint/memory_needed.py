"""How many bytes a checkpoint needs, how many are free, and what would work where they do not suffice.

Known from config.json alone, so that a model that is too large is refused before it is downloaded or read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from qwen2vl_demo.config import Qwen2VLConfig
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.memory import format_bytes, free_memory, total_memory
from qwen2vl_demo.model.device import free_bytes
from qwen2vl_demo.model.quantised import price, weight_bytes
from qwen2vl_demo.model.qwen2vl import Qwen2VL

WORKING_TOKENS = 4096  # whose keys and values must fit too: a picture and a conversation
RESERVE = 0.03  # of a GPU's memory, for its libraries and activations


@dataclass(frozen=True)
class Need:
    """Bytes of the weights of a model, and of the keys and values of a conversation."""

    first: int  # embedding and vision transformer, and a tied output layer
    layers: tuple[int, ...]  # of each layer, with its keys and values
    last: int  # final norm and an untied output layer

    @property
    def total(self) -> int:
        return self.first + sum(self.layers) + self.last


def memory_needed(
    config: Qwen2VLConfig, dtype: torch.dtype, quantize: str = "none", *, stored_int4: bool = False
) -> Need:
    """What a model of this configuration takes in a dtype and a quantisation. `stored_int4`: the weights of its layers
    are in 4 bits in the checkpoint and stay so."""
    text = config.text
    first = last = 0
    cache = 2 * WORKING_TOKENS * text.num_kv_heads * text.head_dim * dtype.itemsize
    layers = [cache] * text.num_layers
    for name, size in weight_sizes(config, dtype, quantize, stored_int4=stored_int4).items():
        if name.startswith("model.layers."):
            layers[int(name.split(".")[2])] += size
        elif name.startswith(("model.norm", "lm_head")):
            last += size
        else:
            first += size
    return Need(first, tuple(layers), last)


def weight_sizes(
    config: Qwen2VLConfig, dtype: torch.dtype, quantize: str = "none", *, stored_int4: bool = False
) -> Mapping[str, int]:
    """Bytes of each weight; the arguments are those of `memory_needed`."""
    vision, text = replace(config.vision, depth=1), replace(config.text, num_layers=1)
    with torch.device("meta"):
        model = Qwen2VL(replace(config, vision=vision, text=text))  # one layer stands for all, which takes no time
    each = weight_bytes(model, dtype, quantize)
    if stored_int4:
        narrow = weight_bytes(model, dtype, "int4")
        each |= {name: min(size, narrow[name]) for name, size in each.items() if name.startswith("model.layers.")}
    sizes: dict[str, int] = {}
    for name, size in each.items():
        for repeated, count in (("visual.blocks.", config.vision.depth), ("model.layers.", config.text.num_layers)):
            if name.startswith(repeated):
                rest = name.removeprefix(f"{repeated}0")
                sizes |= {f"{repeated}{index}{rest}": size for index in range(count)}
                break
        else:
            sizes[name] = size
    return sizes


def bytes_free(device: torch.device) -> int | None:
    """Bytes that a model may take on a device; None where it does not tell."""
    if device.type != "cpu":
        free = free_bytes(device)
        total = torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else 0
        return None if free is None else max(0, free - int(RESERVE * total))
    return min((size for size in (free_memory(), total_memory()) if size is not None), default=None)


def check_fits(
    source: str,
    config: Qwen2VLConfig,
    dtype: torch.dtype,
    quantize: str,
    devices: Sequence[torch.device],
    *,
    stored_int4: bool = False,
) -> None:
    """Raises UserError where a model does not fit on these devices together, and says what would work."""
    need = memory_needed(config, dtype, quantize, stored_int4=stored_int4).total
    free = [bytes_free(device) for device in devices]
    known = [size for size in free if size is not None]
    if len(known) < len(free) or need <= sum(known):
        return
    kind = str(dtype).removeprefix("torch.") if quantize == "none" else quantize
    where = "of memory" if devices[0].type == "cpu" else "on " + " and ".join(map(str, devices))
    raise UserError(
        f"The model in {source} takes {format_bytes(need)} in {kind}, and {format_bytes(sum(known))} {where} are free. "
        f"{_what_works(source, config, dtype, quantize, devices[0], sum(known), max(known))}"
    )


def _what_works(
    source: str,
    config: Qwen2VLConfig,
    dtype: torch.dtype,
    quantize: str,
    device: torch.device,
    free: int,
    card: int,
) -> str:
    """What would work instead, as a sentence. `card` are the bytes of the largest of the devices."""
    ways = []
    narrow = torch.bfloat16
    if quantize == "none" and dtype != narrow:
        size = memory_needed(config, narrow).total
        if size <= free:
            ways.append(f"--dtype bfloat16 ({format_bytes(size)})")
    for kind in ("int8", "int4"):
        size = memory_needed(config, narrow, kind).total
        if quantize in ("none", "int8") and kind != quantize and size <= free:
            cost = price(kind, device)
            ways.append(f"--quantize {kind} ({format_bytes(size)}{', but ' if cost else ''}{cost})")
    if device.type == "cuda":
        cards = max(2, math.ceil(memory_needed(config, narrow).total / max(card, 1)))
        if cards <= 16:
            numbers = ",".join(map(str, range(cards)))
            ways.append(f"{cards} such cards (--device cuda:{numbers})")
        ways.append(
            f"a server on such cards (vllm serve {source} --tensor-parallel-size {1 << (cards - 1).bit_length()}, "
            "then --engine-url http://localhost:8000/v1)"
        )
    if device.type != "cpu":
        room, size = bytes_free(torch.device("cpu")), memory_needed(config, narrow).total
        if room is not None and size <= room:
            ways.append(f"--device cpu ({format_bytes(size)}, and slow)")
    if device.type != "cuda":
        ways.append(f"a server on a larger machine (vllm serve {source} there, and here --engine-url)")
    ways.append("a smaller model")
    return f"What would work: {', '.join(ways[:-1])}, or {ways[-1]}."


def lay_out(need: Need, devices: Sequence[torch.device], free: Sequence[int | None]) -> tuple[torch.device, ...]:
    """The device of each layer: whole layers in order, so that all devices are about equally full.

    The first device also has the embedding and the vision transformer, the last one the output layer. Where a device
    does not tell what is free, all count alike.
    """
    if len(devices) > len(need.layers):
        raise UserError(f"The model has {len(need.layers)} layers, too few for {len(devices)} devices; name fewer.")
    rooms = [1.0] * len(devices) if None in free else [float(size or 1) for size in free]
    full = need.total / sum(rooms)  # of each device
    placed: list[torch.device] = []
    used = float(need.first)
    for index, size in enumerate(need.layers):
        now = len(set(placed)) - 1 if placed else 0
        left, devices_after = len(need.layers) - index, len(devices) - now - 1
        has_layer = bool(placed) and placed[-1] == devices[now]
        over = used + size / 2 > full * rooms[now]
        if devices_after and has_layer and (over or left == devices_after):
            now, used = now + 1, 0.0
        placed.append(devices[now])
        used += size
    return tuple(placed)
