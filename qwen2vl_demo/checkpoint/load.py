"""The model with the weights of a checkpoint.

Loading is strict: a missing, an extra or a misshapen tensor is an error that names it.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from qwen2vl_demo.checkpoint.weight_files import (
    canonical_name,
    check_tensors,
    checkpoint_config,
    open_weights,
    weight_files,
)
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.memory import total_memory
from qwen2vl_demo.model.qwen2vl import Qwen2VL


def load_model(directory: Path, *, device: torch.device, dtype: torch.dtype) -> Qwen2VL:
    """The model with the checkpoint's weights, in evaluation mode. Raises UserError for tensors that do not fit.

    The model is created without storage and filled tensor by tensor, so that the weights are never held twice.
    """
    config = checkpoint_config(directory)
    with torch.device("meta"):
        model = Qwen2VL(config)
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    check_tensors(directory, expected, config.text.tie_word_embeddings)
    size, total = sum(shape.numel() for shape in expected.values()) * dtype.itemsize, total_memory()
    if device.type == "cpu" and total is not None and size > total:
        raise UserError(
            f"The weights in {directory} take {size / 2**30:.1f} GB as {str(dtype).removeprefix('torch.')}, and there "
            f"are {total / 2**30:.1f} GB of memory; choose a smaller model."
        )
    state: dict[str, Tensor] = {}
    for path in weight_files(directory):
        with open_weights(path) as shard:
            for key in shard.keys():  # noqa: SIM118 - a safe_open is no mapping
                if (name := canonical_name(key)) in expected:
                    state[name] = shard.get_tensor(key).to(device=device, dtype=dtype)
    model.load_state_dict(state, strict=True, assign=True)
    return model.requires_grad_(False).eval()
