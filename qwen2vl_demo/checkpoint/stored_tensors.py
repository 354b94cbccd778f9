"""The tensors of a checkpoint: what the headers of its weight files say of them, and reading one at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qwen2vl_demo.checkpoint.kinds import unknown_tensor
from qwen2vl_demo.checkpoint.weight_files import open_weights, parameter_name, weight_files
from qwen2vl_demo.errors import UserError


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that can be read: from a weight file, or computed from several tensors there."""

    shape: tuple[int, ...]
    kind: str  # the type of its numbers, as safetensors calls it: "BF16"
    read: Callable[[], Any]  # a Tensor, or the codes of one that stays in 4 bits


FLOATS = ("F64", "F32", "F16", "BF16")  # types of weights, as safetensors calls them
REPEATED = "lm_head.weight"  # some saves repeat the tied embedding
StoredTensors = Mapping[str, StoredTensor]  # by canonical name, in the order of the files


def stored_tensors(directory: Path) -> dict[str, StoredTensor]:
    """What the weight files of a checkpoint hold. Raises UserError for a damaged file or a name that comes twice."""
    found: dict[str, StoredTensor] = {}
    for path in weight_files(directory):
        with open_weights(path) as shard:
            for key in shard.keys():  # noqa: SIM118 - a safe_open is no mapping
                if (name := parameter_name(key)) is None:
                    continue  # of an adapter
                header = shard.get_slice(key)
                if name in found:
                    raise UserError(f"{directory} holds {name[:200]} twice; download the checkpoint again.")
                found[name] = StoredTensor(tuple(header.get_shape()), header.get_dtype(), partial(_read, path, key))
    return found


def _read(path: Path, key: str) -> Tensor:
    """A copy of one tensor. The file is mapped into memory only meanwhile: pages of a mapping count as memory in use,
    and for as long as one tensor of it lives."""
    with open_weights(path) as shard, torch.no_grad():
        return shard.get_tensor(key).clone()


def check_tensors(directory: Path, stored: StoredTensors, expected: Mapping[str, torch.Size], tied: bool) -> None:
    """Compares names, shapes and types with what is `expected`, before any tensor is read. Raises UserError."""
    for name, tensor in stored.items():
        if name == REPEATED and tied:
            continue
        if name not in expected:
            raise unknown_tensor(directory, name)
        if tensor.shape != tuple(expected[name]):
            raise UserError(
                f"{directory}: {name} has the shape {list(tensor.shape)} but config.json asks for "
                f"{list(expected[name])}; the weights and the config do not belong together."
            )
        if tensor.kind not in FLOATS:
            raise UserError(
                f"{directory}: {name} holds numbers of the type {tensor.kind}; choose a checkpoint with weights of "
                f"{', '.join(FLOATS)}."
            )
    if missing := sorted(expected.keys() - stored.keys()):
        raise UserError(
            f"{directory} lacks {len(missing)} of {len(expected)} tensors, the first is {missing[0]}; "
            "download the checkpoint again."
        )
