"""Codes of 4 or 8 bits packed into int32 words: AWQ, GPTQ, and "pack-quantized" of compressed-tensors.

A weight is (code - zero) * scale, with a zero and a scale for each group of inputs. The first code of a word lies in
its lowest bits; only AWQ has another order.

    AWQ                 qweight (I, O / 8), qzeros (I / g, O / 8), scales (I / g, O); words run along the outputs
    GPTQ                qweight (I / 8, O), qzeros (I / g, O / 8), scales (I / g, O), g_idx (I,): the group of each
                        input, out of order with "act-order"; files of version 1 hold each zero less one
    compressed-tensors  weight_packed (O, I / 8), weight_scale (O, I / g), weight_zero_point (O / 8, I / g) or none,
                        weight_shape, weight_g_idx or none

The formats are those of the AutoAWQ, GPTQModel and compressed-tensors packages.

Axes: O outputs, I inputs, g inputs in a group; 8 stands for the codes in a word.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from qwen2vl_demo.checkpoint.stored_tensors import StoredTensor, StoredTensors
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.model.int4 import LARGEST, MIDDLE, GroupedCodes
from qwen2vl_demo.model.quantised import Weight

WORD = 32  # bits
AWQ_PLACES = [0, 4, 1, 5, 2, 6, 3, 7]  # where in a word of AWQ the codes of eight neighbours lie
PACKED_PARTS = ("weight_packed", "weight_scale", "weight_zero_point", "weight_shape", "weight_g_idx")


def awq(stored: StoredTensors, settings: dict[str, Any]) -> dict[str, StoredTensor]:
    bits, version = settings.get("bits", settings.get("w_bit", 4)), str(settings.get("version", "gemm")).lower()
    if bits != 4 or version != "gemm":
        raise UserError(
            f"AWQ weights of {bits!r} bits in the layout {version[:20]!r} are not read here; choose a checkpoint in 4 "
            "bits and the layout gemm."
        )
    return _replaced(stored, ("qweight", "qzeros", "scales"), _awq_weight)


def gptq(stored: StoredTensors, settings: dict[str, Any]) -> dict[str, StoredTensor]:
    bits = settings.get("bits", 4)
    if bits not in (4, 8):
        raise UserError(f"GPTQ weights of {bits!r} bits are not read here; choose a checkpoint in 4 or 8 bits.")
    less = 0 if settings.get("checkpoint_format") == "gptq_v2" else 1
    return _replaced(stored, ("qweight", "qzeros", "scales", "g_idx"), partial(_gptq_weight, bits=bits, less=less))


def compressed(stored: StoredTensors, settings: dict[str, Any]) -> dict[str, StoredTensor]:
    return _replaced(stored, PACKED_PARTS, _compressed_weight)


def _replaced(stored: StoredTensors, parts: tuple[str, ...], weight_of: Any) -> dict[str, StoredTensor]:
    """The tensors with one weight in place of the parts of each; the first part is the one that all have."""
    found: dict[str, StoredTensor] = {}
    paths = {name.removesuffix(f".{parts[0]}") for name in stored if name.endswith(f".{parts[0]}")}
    for name, tensor in stored.items():
        path, _, leaf = name.rpartition(".")
        if path not in paths or leaf not in parts:
            found[name] = tensor
        elif leaf == parts[0]:
            own = {part: stored[f"{path}.{part}"] for part in parts if f"{path}.{part}" in stored}
            found[f"{path}.weight"] = weight_of(own)
    return found


def _awq_weight(parts: dict[str, StoredTensor]) -> StoredTensor:
    def codes(part: str) -> Tensor:
        return unpacked(parts[part].read(), 4).unflatten(-1, (-1, 8))[..., AWQ_PLACES].flatten(-2).t()

    def read() -> Weight:
        return _weight(codes("qweight"), codes("qzeros"), parts["scales"].read().t(), None, 4)

    inputs, words = parts["qweight"].shape
    return StoredTensor((words * 8, inputs), "F32", read)


def _gptq_weight(parts: dict[str, StoredTensor], bits: int, less: int) -> StoredTensor:
    def read() -> Weight:
        codes = unpacked(parts["qweight"].read().t(), bits)
        zeros = unpacked(parts["qzeros"].read(), bits).t() + less
        groups = parts["g_idx"].read() if "g_idx" in parts else None
        return _weight(codes, zeros, parts["scales"].read().t(), groups, bits)

    words, outputs = parts["qweight"].shape
    return StoredTensor((outputs, words * WORD // bits), "F32", read)


def _compressed_weight(parts: dict[str, StoredTensor]) -> StoredTensor:
    outputs, inputs = parts["weight_shape"].read().tolist()
    bits = parts["weight_packed"].shape[1] * WORD // inputs
    if bits not in (4, 8):
        raise UserError(f"Packed weights of {bits} bits are not read here; choose a checkpoint in 4 or 8 bits.")

    def read() -> Weight:
        codes = unpacked(parts["weight_packed"].read(), bits)
        scales = parts["weight_scale"].read()
        zeros = torch.full(scales.shape, 2 ** (bits - 1))  # signed numbers are stored plus this
        if "weight_zero_point" in parts:
            zeros = unpacked(parts["weight_zero_point"].read().t(), bits).t()
        groups = parts["weight_g_idx"].read() if "weight_g_idx" in parts else None
        return _weight(codes, zeros, scales, groups, bits)

    return StoredTensor((outputs, inputs), "F32", read)


def unpacked(words: Tensor, bits: int) -> Tensor:
    """Words (..., W) of int32 -> codes (..., W * 32 / bits) of uint8."""
    octets = words.to(torch.int32).contiguous().view(torch.uint8)
    return octets if bits == 8 else torch.stack((octets & LARGEST, octets >> 4), -1).flatten(-2)


def _weight(codes: Tensor, zeros: Tensor, scales: Tensor, groups: Tensor | None, bits: int) -> Weight:
    """Codes (O, I), zeros and scales (O, I / g), and the group of each input -> the weight, in 4 bits if it is."""
    scales, count = scales.float(), codes.shape[1]
    size = count // scales.shape[1]
    order = None
    if groups is not None and not torch.equal(groups.long(), torch.arange(count) // size):
        order = groups.long().argsort(stable=True)
        if not torch.equal(groups.long()[order], torch.arange(count) // size):  # groups of different sizes
            return (codes.float() - zeros.float()[:, groups.long()]) * scales[:, groups.long()]
        codes = codes[:, order]
    if bits == 4:
        return GroupedCodes(codes, scales, (MIDDLE - zeros.float()) * scales, order)
    columns = ((codes.unflatten(1, (-1, size)).float() - zeros.float()[..., None]) * scales[..., None]).flatten(1)
    return columns if order is None else columns[:, order.argsort()]
