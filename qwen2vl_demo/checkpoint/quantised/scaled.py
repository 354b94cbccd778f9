"""Weights of 8 bits beside their scales: FP8 in its several spellings, and int8 of compressed-tensors.

`weight` (O, I) times `weight_scale` (or `weight_scale_inv`, which multiplies all the same): a single number, or one for
each output, group of inputs, or block of both. Integers may have a `weight_zero_point` that is taken off first. The
formats are those of the compressed-tensors package and of transformers' fbgemm_fp8 and fp8.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from qwen2vl_demo.checkpoint.stored_tensors import StoredTensor, StoredTensors
from qwen2vl_demo.model.quantised import Weight

SCALES = ("weight_scale", "weight_scale_inv")
ACTIVATIONS = (  # of no use here: activations stay as they are
    *("input_scale", "input_zero_point", "input_scale_ub", "activation_scale", "output_scale", "output_zero_point"),
    *("q_scale", "k_scale", "v_scale"),
)


def scaled(stored: StoredTensors, settings: dict[str, Any]) -> dict[str, StoredTensor]:
    found: dict[str, StoredTensor] = {}
    block = _block(settings)
    for name, tensor in stored.items():
        path, _, leaf = name.rpartition(".")
        scale = next((stored[f"{path}.{s}"] for s in SCALES if f"{path}.{s}" in stored), None)
        if leaf == "weight" and scale is not None:
            found[name] = _weight(tensor, scale, stored.get(f"{path}.weight_zero_point"), block)
        elif leaf not in (*SCALES, *ACTIVATIONS, "weight_zero_point"):
            found[name] = tensor
    return found


def _weight(
    tensor: StoredTensor, scale: StoredTensor, zero: StoredTensor | None, block: tuple[int, int] | None
) -> StoredTensor:
    def read() -> Weight:
        weight = tensor.read()
        assert isinstance(weight, Tensor)
        wide = weight.float()
        if zero is not None:
            wide -= _spread(zero.read().float(), tensor.shape, block)
        return wide.mul_(_spread(scale.read().float(), tensor.shape, block))

    return StoredTensor(tensor.shape, "F32", read)


def _spread(scale: Tensor, shape: tuple[int, ...], block: tuple[int, int] | None) -> Tensor:
    """A scale for each number of a weight, or one that broadcasts to it."""
    if scale.numel() == 1:
        return scale.flatten()
    if scale.ndim == 1:
        return scale[:, None]
    for axis in (0, 1):
        count, size = scale.shape[axis], shape[axis]
        if count not in (1, size):
            each, rest = divmod(size, count)
            if rest:  # the last block is smaller
                if block is None:
                    raise ValueError("scales of unknown extent")
                each = block[axis]
            scale = scale.repeat_interleave(each, axis).narrow(axis, 0, size)
    return scale


def _block(settings: dict[str, Any]) -> tuple[int, int] | None:
    """Outputs and inputs that share a scale, where the settings say so."""
    groups = settings.get("config_groups")
    weights = [group.get("weights") or {} for group in groups.values()] if isinstance(groups, dict) else []
    sizes = [settings.get("weight_block_size"), *(weight.get("block_structure") for weight in weights)]
    found = next((size for size in sizes if size), None)
    return (int(found[0]), int(found[1])) if found else None
