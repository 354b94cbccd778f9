"""The model with the weights of a checkpoint.

Loading is strict: a missing, an extra or a misshapen tensor is an error that names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from qwen2vl_demo.checkpoint.lora import read_adapter, read_unmerged
from qwen2vl_demo.checkpoint.weight_files import check_tensors, open_weights, parameter_name, weight_files
from qwen2vl_demo.config import Qwen2VLConfig
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.memory import total_memory
from qwen2vl_demo.model.qwen2vl import Qwen2VL


def load_model(directory: Path, *, device: torch.device, dtype: torch.dtype, adapter: Path | None = None) -> Qwen2VL:
    """The model with the checkpoint's weights, in evaluation mode. Raises UserError for tensors that do not fit.

    The model is created without storage and filled tensor by tensor, so that the weights are never held twice. An
    adapter, given as a directory or left in the checkpoint by its keys, is merged on the way.
    """
    config = Qwen2VLConfig.from_file(directory / "config.json")
    tied = config.text.tie_word_embeddings
    expected = _shapes(config)
    check_tensors(directory, expected, tied)
    lora = read_unmerged(directory)
    if adapter is not None:
        if lora is not None:
            raise UserError(f"{directory} holds an adapter already; merge that one first, or leave out --adapter.")
        lora = read_adapter(adapter)
    tensors = read_tensors(directory)
    if lora is not None:
        lora.check(expected)
        tensors = lora.merge(tensors, tied=tied)
        if tied and lora.unties:
            config = replace(config, text=replace(config.text, tie_word_embeddings=False))
            expected = _shapes(config)
    size, total = sum(shape.numel() for shape in expected.values()) * dtype.itemsize, total_memory()
    if device.type == "cpu" and total is not None and size > total:
        raise UserError(
            f"The weights in {directory} take {size / 2**30:.1f} GB as {str(dtype).removeprefix('torch.')}, and there "
            f"are {total / 2**30:.1f} GB of memory; choose a smaller model."
        )
    state = {name: tensor.to(device=device, dtype=dtype) for name, tensor in tensors if name in expected}
    with torch.device("meta"):
        model = Qwen2VL(config)
    model.load_state_dict(state, strict=True, assign=True)
    return model.requires_grad_(False).eval()


def read_tensors(directory: Path) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a checkpoint by the names of our parameters, one at a time; those of an adapter are left out."""
    for path in weight_files(directory):
        with open_weights(path) as shard:
            for key in shard.keys():  # noqa: SIM118 - a safe_open is no mapping
                if (name := parameter_name(key)) is not None:
                    yield name, shard.get_tensor(key)


def _shapes(config: Qwen2VLConfig) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in Qwen2VL(config).state_dict().items()}
