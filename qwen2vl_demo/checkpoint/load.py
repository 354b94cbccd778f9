"""The model with the weights of a checkpoint.

Loading is strict: a missing, an extra or a misshapen tensor is an error that names it. Weights are a stream of names
and tensors, of which one is held at a time: what changes them on their way is a function from stream to stream.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from qwen2vl_demo.checkpoint.lora import adapter_of_checkpoint
from qwen2vl_demo.checkpoint.memory_needed import weight_sizes
from qwen2vl_demo.checkpoint.quantised.formats import dequantised, stays_in_4_bits
from qwen2vl_demo.checkpoint.stored_tensors import StoredTensors, check_tensors, stored_tensors
from qwen2vl_demo.checkpoint.weight_files import EMBEDDING, checkpoint_config
from qwen2vl_demo.config import Qwen2VLConfig
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.memory import format_bytes, total_memory
from qwen2vl_demo.model.int4 import GroupedCodes
from qwen2vl_demo.model.quantised import Quantization, Weight, put_weight
from qwen2vl_demo.model.qwen2vl import Qwen2VL

Tensors = Iterator[tuple[str, Tensor]]  # canonical names and tensors as they are stored, on the CPU
Change = Callable[[Tensors], Tensors]
Progress = Callable[[float], None]
DeviceOf = Callable[[str], torch.device]  # the device of a tensor, by canonical name


def load_model(
    directory: Path,
    *,
    device: torch.device | DeviceOf,
    dtype: torch.dtype,
    quantize: Quantization = "none",
    adapter: Path | None = None,
    changes: Sequence[Change] = (),
    progress: Progress | None = None,
) -> Qwen2VL:
    """The model with the checkpoint's weights, in evaluation mode. Raises UserError for tensors that do not fit.

    The model is created without storage and filled tensor by tensor, each quantised at once, so that the most memory is
    that of the model and of one layer. Each of `changes` gets the stream of tensors and returns one with the same names
    and shapes. `device` may differ from tensor to tensor. The adapter in a directory, or one that was left in the
    checkpoint, is merged first. `progress` is called with the share of the parameters that are loaded.
    """
    config, model, stored = check_weights(directory)
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if (lora := adapter_of_checkpoint(directory, adapter)) is not None:
        lora.check(expected)
        tied = config.text.tie_word_embeddings
        changes = [partial(lora.merge, tied=tied), *changes]
        if tied and lora.unties:
            with torch.device("meta"):
                model = Qwen2VL(replace(config, text=replace(config.text, tie_word_embeddings=False)))
            expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    device_of = _everywhere(device) if isinstance(device, torch.device) else device
    _check_memory(directory, config, dtype, quantize, device_of, adapted=bool(changes))
    weights: Iterator[tuple[str, Weight]] = ((name, stored[name].read()) for name in stored if name in expected)
    for change in changes:
        weights = change(_widened(weights))
    filled = set()
    done, all_of_them = 0, sum(map(math.prod, expected.values()))
    for name, weight in weights:
        put_weight(model, name, weight, device=device_of(name), dtype=dtype, quantize=quantize)
        filled.add(name)
        if progress is not None:
            done += math.prod(expected.get(name, ()))
            progress(done / all_of_them)
    if filled != expected.keys():
        raise ValueError(f"the tensors of a model were changed into others: {sorted(filled ^ expected.keys())[:3]}")
    return model.requires_grad_(False).eval()


def check_weights(directory: Path) -> tuple[Qwen2VLConfig, Qwen2VL, StoredTensors]:
    """The configuration of a checkpoint, the model without storage, and what its weight files hold.

    Raises UserError where these do not belong together, before any tensor is read.
    """
    config = checkpoint_config(directory)
    with torch.device("meta"):
        model = Qwen2VL(config)
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    stored = dequantised(directory, stored_tensors(directory))
    check_tensors(directory, stored, expected, config.text.tie_word_embeddings)
    return config, model, stored


def _check_memory(
    directory: Path,
    config: Qwen2VLConfig,
    dtype: torch.dtype,
    quantize: Quantization,
    device_of: DeviceOf,
    *,
    adapted: bool,
) -> None:
    """Raises UserError for weights that are larger than the computer's whole memory."""
    device, total = device_of(EMBEDDING), total_memory()
    stored_int4 = not adapted and stays_in_4_bits(directory, config.text, [device])
    size = sum(weight_sizes(config, dtype, quantize, stored_int4=stored_int4).values())
    if device.type == "cpu" and total is not None and size > total:
        kind = str(dtype).removeprefix("torch.") if quantize == "none" else quantize
        raise UserError(
            f"The weights in {directory} take {format_bytes(size)} as {kind}, and there are {format_bytes(total)} of "
            "memory; choose a smaller model."
        )


def _widened(weights: Iterator[tuple[str, Weight]]) -> Tensors:
    return ((name, weight.widened() if isinstance(weight, GroupedCodes) else weight) for name, weight in weights)


def _everywhere(device: torch.device) -> DeviceOf:
    return lambda name: device
