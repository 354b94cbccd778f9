"""Which of the quantised formats a checkpoint has, and its weights under the names of an unquantised one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from qwen2vl_demo.checkpoint.quantised import bitsandbytes, packed, scaled
from qwen2vl_demo.checkpoint.stored_tensors import StoredTensor, StoredTensors
from qwen2vl_demo.config import TextConfig
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.json_values import read_json_object, shown
from qwen2vl_demo.model.int4 import has_kernel
from qwen2vl_demo.model.quantised import Weight

Format = Callable[[StoredTensors, dict[str, Any]], dict[str, StoredTensor]]
FORMATS: dict[str, Format] = {
    "awq": packed.awq,
    "gptq": packed.gptq,
    "compressed-tensors": lambda stored, settings: scaled.scaled(packed.compressed(stored, settings), settings),
    "fbgemm_fp8": scaled.scaled,
    "fp8": scaled.scaled,
    "bitsandbytes": bitsandbytes.bitsandbytes,
}
PACKED = ("awq", "gptq", "compressed-tensors")  # may be in 4 bits that a kernel reads
READ = "AWQ, GPTQ, compressed-tensors, FP8 or bitsandbytes"
UNREADABLE = (ArithmeticError, IndexError, KeyError, RuntimeError, TypeError, ValueError)


def quantization_method(directory: Path) -> str | None:
    """How the weights of a checkpoint are quantised, as its config says: "awq". None where they are not."""
    method = _settings(directory).get("quant_method")
    return None if method is None else str(method)[:40]


def stays_in_4_bits(directory: Path, config: TextConfig, devices: Sequence[torch.device]) -> bool:
    """Whether the weights of a checkpoint's layers are in 4 bits, and these devices multiply them as they are."""
    settings: Any = _settings(directory)
    method = settings.get("quant_method")
    if method == "compressed-tensors":
        groups = settings.get("config_groups")
        first = next(iter(groups.values()), None) if isinstance(groups, dict) else None
        settings = first.get("weights") if isinstance(first, dict) else None
    if method not in PACKED or not isinstance(settings, dict):
        return False
    bits = settings.get("bits", settings.get("w_bit", settings.get("num_bits", 4)))
    group = settings.get("group_size", settings.get("q_group_size", 128))
    if bits != 4 or type(group) is not int:
        return False
    width, inner, shared = config.hidden_size, config.intermediate_size, config.num_kv_heads * config.head_dim
    shapes = ((width, width), (shared, width), (inner, width), (width, inner))
    return all(has_kernel(device, shape, group) for device in devices for shape in shapes)


def dequantised(directory: Path, stored: StoredTensors) -> StoredTensors:
    """The weights that an unquantised checkpoint would hold, each computed when it is read.

    Where the checkpoint is not quantised, they are the stored ones. Raises UserError for formats that are not known.
    """
    settings = _settings(directory)
    method = quantization_method(directory)
    if method is None:
        return stored
    if method not in FORMATS:
        raise UserError(
            f"The weights in {directory} are quantised with {shown(method)}, which is not read here. Choose the "
            f"unquantised checkpoint with --quantize int4, or one that is quantised with {READ}, or run "
            f"`vllm serve {directory}` and point --engine-url at it."
        )
    try:
        found = FORMATS[method](stored, settings)
    except UNREADABLE:
        raise _unreadable(directory, method) from None
    return {
        name: tensor if tensor is stored.get(name) else replace(tensor, read=partial(_read, directory, method, tensor))
        for name, tensor in found.items()
    }


def _settings(directory: Path) -> dict[str, Any]:
    """The checkpoint's `quantization_config`, or the file that older GPTQ checkpoints have instead."""
    settings = read_json_object(directory / "config.json").get("quantization_config")
    if isinstance(settings, dict):
        if "quant_method" not in settings and ("load_in_4bit" in settings or "load_in_8bit" in settings):
            return {**settings, "quant_method": "bitsandbytes"}
        return settings
    older = directory / "quantize_config.json"
    return {"quant_method": "gptq", **read_json_object(older)} if older.is_file() else {}


def _read(directory: Path, method: str, tensor: StoredTensor) -> Weight:
    try:
        weight = tensor.read()
    except UNREADABLE:
        raise _unreadable(directory, method) from None
    if tuple(weight.shape) != tensor.shape:
        raise _unreadable(directory, method)
    return weight


def _unreadable(directory: Path, method: str) -> UserError:
    return UserError(
        f"The {method} weights in {directory} are not laid out as that format has them; download the checkpoint again, "
        "or choose the unquantised one with --quantize int4."
    )
