"""Checkpoints: finding or downloading them, loading their tensors, and choosing a device and dtypes.

Loading is strict: a missing, an extra or a misshapen tensor is an error that names it. Both key layouts are read
(`visual.*` and `model.*`, or the newer `model.visual.*` and `model.language_model.*`), one file or many shards.
Every automatic choice comes with its reason, for people.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from qwen2vl_demo.config import Qwen2VLConfig, TextConfig, read_json_object, shown
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.memory import total_memory
from qwen2vl_demo.model.decoder import WeightKind
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.resources import NANO

SMALL_FILES = ["*.json", "*.jinja"]  # of a repository: enough to prepare prompts
FILES = [*SMALL_FILES, "*.safetensors"]  # ... and to generate answers

# On a CPU a second copy of the weights, in bfloat16, is made for decoding where that is clearly faster and worth it.
MIN_GAIN = 1.3  # times as fast
MIN_DECODE_BYTES = 1 << 28  # of weights that a token reads; smaller models are fast enough as they are
MAX_INDEX_BYTES = 16 * 2**20
MAX_SHARDS = 1000
FLOATS = ("F64", "F32", "F16", "BF16")  # types of weights, as safetensors calls them
REPEATED = "lm_head.weight"  # some saves repeat the tied embedding
MEMORY_SHARE = 0.85  # of the free memory that weights may take


@dataclass(frozen=True)
class Placement:
    """The device and the dtypes of a model, and why these were chosen, for people."""

    device: torch.device
    dtype: torch.dtype
    reason: str
    decode: WeightKind = "same"  # the weights for decoding, where they differ from those for prefill


def find_checkpoint(model: str, *, weights: bool = True) -> Path:
    """The directory of a checkpoint: "nano", a directory, or a hub id, which is downloaded. Raises UserError.

    With `weights=False` a hub id is downloaded without them, which is enough for a processor.
    """
    if model == "nano":
        return NANO
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise UserError(f"{model} is a file; point --model at the directory that holds config.json.")
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise UserError(
            f'There is no directory {model}. --model takes "nano", a checkpoint directory, '
            'or a hub id such as "Qwen/Qwen2-VL-2B-Instruct".'
        )
    return _download(model, FILES if weights else SMALL_FILES)


def _download(hub_id: str, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    try:
        return Path(snapshot_download(hub_id, allow_patterns=patterns))
    except GatedRepoError:
        raise UserError(f"{hub_id} asks for a licence: accept it on its page, then set HF_TOKEN.") from None
    except (RepositoryNotFoundError, HFValidationError):
        raise UserError(f"The hub has no model {hub_id} (or it is private: set HF_TOKEN); check --model.") from None
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        raise UserError(
            f"{hub_id} is not on this machine and the hub cannot be reached ({type(error).__name__}). Go online, or "
            "download it elsewhere and pass its directory as --model, or use --model nano."
        ) from None


def weight_files(directory: Path) -> list[Path]:
    """The checkpoint's safetensors files: all that the index names, or the single one. Raises UserError."""
    index = directory / "model.safetensors.index.json"
    if index.exists():
        weight_map = read_json_object(index, MAX_INDEX_BYTES).get("weight_map")
        if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
            raise UserError(f"{index} cannot be read; take the file again from its source.")
        names = sorted(set(weight_map.values()))
        if len(names) > MAX_SHARDS:
            raise UserError(f"{index} names {len(names):,} weight files; take the file again from its source.")
        for name in names:
            if not re.fullmatch(r"[\w.-]{1,200}\.safetensors", name, re.ASCII):
                raise UserError(f"{index} names {shown(name)}, which is no weight file beside it; take it again.")
        missing = [name for name in names if not (directory / name).is_file()]
        if missing:
            raise UserError(
                f"{directory} lacks {len(missing)} of its {len(names)} weight files, the first is {missing[0]}; "
                "download the checkpoint again."
            )
        return [directory / name for name in names]
    single = directory / "model.safetensors"
    if not single.is_file():
        raise UserError(
            f"{directory} holds no model.safetensors; point --model at a complete Qwen2-VL checkpoint directory."
        )
    return [single]


def canonical_name(key: str) -> str:
    """The name of our module's parameter for a key of either layout."""
    for newer, ours in (("model.visual.", "visual."), ("model.language_model.", "model.")):
        if key.startswith(newer):
            return ours + key[len(newer) :]
    return key


@contextlib.contextmanager
def _shard(path: Path) -> Iterator[Any]:
    """An open weight file."""
    try:
        with safe_open(path, framework="pt") as shard:
            yield shard
    except (SafetensorError, OSError) as broken:
        reason = str(broken)[:200]
        raise UserError(f"{path} is damaged ({reason}); download it again.") from None


def _check_tensors(directory: Path, expected: Mapping[str, torch.Size], tied: bool) -> None:
    """Compares names, shapes and types in the headers of the weight files with what is `expected`, before any tensor
    is read. Raises UserError."""
    found: set[str] = set()
    for path in weight_files(directory):
        with _shard(path) as shard:
            for key in shard.keys():  # noqa: SIM118 - a safe_open is no mapping
                name, tensor = canonical_name(key), shard.get_slice(key)
                if name == REPEATED and tied:
                    continue
                if name not in expected:
                    raise UserError(
                        f"{directory} holds a tensor {name[:200]} that a Qwen2-VL of its config.json does not have."
                    )
                if name in found:
                    raise UserError(f"{directory} holds {name} twice; download the checkpoint again.")
                if (shape := tensor.get_shape()) != list(expected[name]):
                    raise UserError(
                        f"{directory}: {name} has the shape {shape} but config.json asks for "
                        f"{list(expected[name])}; the weights and the config do not belong together."
                    )
                if (kind := tensor.get_dtype()) not in FLOATS:
                    raise UserError(
                        f"{directory}: {name} holds numbers of the type {kind}; choose a checkpoint with weights of "
                        f"{', '.join(FLOATS)}."
                    )
                found.add(name)
    if missing := sorted(expected.keys() - found):
        raise UserError(
            f"{directory} lacks {len(missing)} of {len(expected)} tensors, the first is {missing[0]}; "
            "download the checkpoint again."
        )


def load_model(directory: Path, *, device: torch.device, dtype: torch.dtype) -> Qwen2VL:
    """The model with the checkpoint's weights, in evaluation mode. Raises UserError for tensors that do not fit.

    The model is created without storage and filled tensor by tensor, so that the weights are never held twice.
    """
    config = Qwen2VLConfig.from_file(directory / "config.json")
    with torch.device("meta"):
        model = Qwen2VL(config)
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    _check_tensors(directory, expected, config.text.tie_word_embeddings)
    size, total = sum(shape.numel() for shape in expected.values()) * dtype.itemsize, total_memory()
    if device.type == "cpu" and total is not None and size > total:
        raise UserError(
            f"The weights in {directory} take {size / 2**30:.1f} GB as {str(dtype).removeprefix('torch.')}, and there "
            f"are {total / 2**30:.1f} GB of memory; choose a smaller model."
        )
    state: dict[str, Tensor] = {}
    for path in weight_files(directory):
        with _shard(path) as shard:
            for key in shard.keys():  # noqa: SIM118 - a safe_open is no mapping
                if (name := canonical_name(key)) in expected:
                    state[name] = shard.get_tensor(key).to(device=device, dtype=dtype)
    model.load_state_dict(state, strict=True, assign=True)
    return model.requires_grad_(False).eval()


def place(directory: Path, device: str = "auto", dtype: str = "auto", quantize: str = "none") -> Placement:
    """Chooses what the user left open. Raises UserError for a device that is not there."""
    placement = _place(directory, device, dtype)
    if quantize == "int8":
        why = f"{placement.reason}; answers are written with int8 weights, as asked for"
        return replace(placement, decode="int8", reason=why)
    if dtype != "auto" or (placement.device.type, placement.dtype) != ("cpu", torch.float32):
        return placement
    read = 4 * decode_parameters(Qwen2VLConfig.from_file(directory / "config.json").text)
    if read < MIN_DECODE_BYTES or not _fits(4 * _parameters(directory) + read // 2, free_memory()):
        return placement
    if (gain := bfloat16_row_gain()) < MIN_GAIN:
        return placement
    why = f"{placement.reason}; answers are written with bfloat16 weights, {gain:.1f} times as fast for a single token"
    return replace(placement, decode="bfloat16", reason=why)


def _place(directory: Path, device: str, dtype: str) -> Placement:
    chosen, why = _device(device)
    if dtype != "auto":
        return Placement(chosen, getattr(torch, dtype), f"{why}; {dtype} as asked for")
    if chosen.type != "cpu":
        if chosen.type == "cuda" and not torch.cuda.is_bf16_supported():
            return Placement(chosen, torch.float32, f"{why}; float32, since this GPU has no bfloat16")
        return Placement(chosen, torch.bfloat16, f"{why}; bfloat16, as the released checkpoints are stored")
    gain = bfloat16_gain()
    if gain > 1:
        return Placement(chosen, torch.bfloat16, f"{why}; bfloat16, {gain:.1f} times as fast as float32 here")
    needed, free = 4 * _parameters(directory), free_memory()
    if free is not None and not _fits(needed, free):
        return Placement(
            chosen,
            torch.bfloat16,
            f"{why}; bfloat16, since float32 would need {needed / 2**30:.1f} GB of the {free / 2**30:.1f} GB free",
        )
    return Placement(chosen, torch.float32, f"{why}; float32, {1 / gain:.0f} times as fast as bfloat16 here")


def _device(device: str) -> tuple[torch.device, str]:
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        found = next(name for name, there in available.items() if there)
        why = "no GPU was found" if found == "cpu" else "a GPU was found"
        return torch.device(found), f"{found}, since {why}"
    kind = device.split(":")[0]
    if not available.get(kind, False):
        there = ", ".join(name for name, there in available.items() if there)
        raise UserError(f"There is no device {device} here (there is: {there}); change --device.")
    return torch.device(device), f"{device} as asked for"


def bfloat16_gain(size: int = 256, repeats: int = 5) -> float:
    """How many times faster a CPU multiplies bfloat16 matrices than float32 ones: 6 with AMX, 0.01 on some without."""

    def seconds(dtype: torch.dtype) -> float:
        a = torch.ones(size, size, dtype=dtype)
        best = float("inf")
        for _ in range(repeats):
            begin = time.perf_counter()
            torch.mm(a, a)
            best = min(best, time.perf_counter() - begin)
        return best

    return seconds(torch.float32) / seconds(torch.bfloat16)


def bfloat16_row_gain(rows: int = 8192, columns: int = 1536, repeats: int = 5) -> float:
    """How many times faster a CPU multiplies one row by a bfloat16 matrix than by a float32 one.

    Two matrices in turn, 50 MB of float32 each, so that weights come from memory, as in generation.
    """

    def seconds(dtype: torch.dtype) -> float:
        matrices = [torch.ones(rows, columns, dtype=dtype) for _ in range(2)]
        row = torch.ones(1, columns, dtype=dtype)
        best = float("inf")
        for repeat in range(repeats + 1):
            begin = time.perf_counter()
            torch.nn.functional.linear(row, matrices[repeat % 2])
            best = min(best, time.perf_counter() - begin) if repeat else best  # the first run is a warm-up
        return best

    return seconds(torch.float32) / seconds(torch.bfloat16)


def decode_parameters(text: TextConfig) -> int:
    """The number of weights that a decoding step reads: those of the layers' products and the output layer."""
    shared = text.num_kv_heads * text.head_dim
    layer = text.hidden_size * (2 * text.hidden_size + 2 * shared + 3 * text.intermediate_size)
    return text.num_layers * layer + text.vocab_size * text.hidden_size


def _parameters(directory: Path) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in Qwen2VL(Qwen2VLConfig.from_file(directory / "config.json")).parameters())


def _fits(size: int, free: int | None) -> bool:
    """Whether weights of `size` bytes may be loaded; where the free memory is unknown, they may."""
    return free is None or size <= MEMORY_SHARE * free


def free_memory() -> int | None:
    """Bytes of RAM that a process could still allocate; all of the RAM where only that is known, None without that."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        pass  # not a Linux
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no os.sysconf
        return None
