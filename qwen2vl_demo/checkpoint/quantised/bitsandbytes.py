"""Weights as bitsandbytes saves them: in 4 bits (nf4, fp4) or 8 (LLM.int8()).

In 4 bits `weight` holds two codes an octet, the first in the high bits. A code is looked up in `weight.quant_map` and
multiplied by the `weight.absmax` of its block of consecutive numbers. With double quantisation these are octets
themselves, looked up in `weight.nested_quant_map`, multiplied by `weight.nested_absmax` and shifted by an offset. Sizes
and offset are JSON in `weight.quant_state.bitsandbytes__*`. In 8 bits a row of `weight` is multiplied by `SCB` / 127.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor

from qwen2vl_demo.checkpoint.stored_tensors import StoredTensor, StoredTensors

STATE = ".weight.quant_state.bitsandbytes__"
LARGEST = 127


def bitsandbytes(stored: StoredTensors, settings: dict[str, Any]) -> dict[str, StoredTensor]:
    states = {name.split(STATE)[0]: tensor for name, tensor in stored.items() if STATE in name}
    found: dict[str, StoredTensor] = {}
    for name, tensor in stored.items():
        path, weight, part = name.rpartition(".weight")
        if path in states and weight:
            if not part:
                found[name] = _four_bits(tensor, states[path], f"{name}.", stored)
        elif weight and not part and f"{path}.SCB" in stored:
            found[name] = _eight_bits(tensor, stored[f"{path}.SCB"])
        elif not name.endswith((".SCB", ".weight_format")):
            found[name] = tensor
    return found


def _four_bits(tensor: StoredTensor, state: StoredTensor, prefix: str, stored: StoredTensors) -> StoredTensor:
    said = json.loads(bytes(state.read().tolist()))
    shape = tuple(int(side) for side in said["shape"])

    def read() -> Tensor:
        largest = stored[f"{prefix}absmax"].read()
        if f"{prefix}nested_absmax" in stored:
            nested, table = (stored[f"{prefix}nested_{part}"].read() for part in ("absmax", "quant_map"))
            largest = _by_blocks(table[largest.int()], nested, said["nested_blocksize"]) + said["nested_offset"]
        octets = tensor.read().flatten()
        codes = torch.stack((octets >> 4, octets & 15), -1).flatten()[: shape[0] * shape[1]]
        table = stored[f"{prefix}quant_map"].read()
        return _by_blocks(table[codes.int()], largest, said["blocksize"]).view(shape)

    return StoredTensor(shape, "F32", read)


def _by_blocks(numbers: Tensor, factors: Tensor, size: int) -> Tensor:
    """Consecutive numbers, each block of `size` times its factor; the last block may be shorter."""
    return numbers.float() * factors.float().repeat_interleave(size)[: len(numbers)]


def _eight_bits(tensor: StoredTensor, largest: StoredTensor) -> StoredTensor:
    def read() -> Tensor:
        return tensor.read().float().mul_(largest.read().float()[:, None] / LARGEST)

    return StoredTensor(tensor.shape, "F32", read)
