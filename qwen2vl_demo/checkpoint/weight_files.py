"""The safetensors files of a checkpoint and the names of the tensors in them.

Both key layouts are read (`visual.*` and `model.*`, or the newer `model.visual.*` and `model.language_model.*`), one
file or many shards.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from qwen2vl_demo.checkpoint.kinds import no_weights
from qwen2vl_demo.checkpoint.peft_keys import base_key
from qwen2vl_demo.config import Qwen2VLConfig
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.json_values import read_json_object, shown

HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
ROWS = 4096  # of two matrices that are compared at a time
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
MAX_INDEX_BYTES = 16 * 2**20
MAX_SHARDS = 1000


def weight_files(directory: Path) -> list[Path]:
    """The checkpoint's safetensors files: all that the index names, or the single one. Raises UserError."""
    index = directory / INDEX
    if index.exists():
        weight_map = _weight_map(index)
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
    single = directory / SINGLE
    if not single.is_file():
        raise no_weights(directory)
    return [single]


def _weight_map(index: Path) -> dict[str, str]:
    """The file of each tensor."""
    weight_map = read_json_object(index, MAX_INDEX_BYTES).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise UserError(f"{index} cannot be read; take the file again from its source.")
    return weight_map


def checkpoint_config(directory: Path) -> Qwen2VLConfig:
    """The configuration of the weights in a directory: config.json, but with the embedding as the output layer exactly
    where the weights have no other one, as in transformers.

    Saves of tied models often say nothing of it, or the opposite, and some repeat the embedding. The weight files may
    still be missing, as before they are downloaded. Raises UserError.
    """
    config = Qwen2VLConfig.from_file(directory / "config.json")
    files = _files_of_tensors(directory)
    if files is None:
        return config
    tied = config.text.tie_word_embeddings
    if HEAD in files and EMBEDDING in files and tied:
        tied = _are_equal(files[HEAD], files[EMBEDDING])
    elif not any("lm_head." in name for name in files):
        tied = True
    return replace(config, text=replace(config.text, tie_word_embeddings=tied))


def _files_of_tensors(directory: Path) -> dict[str, tuple[Path, str]] | None:
    """The file and the key of each parameter, by its name; None where there are no weights."""
    if (directory / INDEX).exists():
        files = _weight_map(directory / INDEX)
    elif (directory / SINGLE).is_file():
        with open_weights(directory / SINGLE) as weights:
            files = dict.fromkeys(weights.keys(), SINGLE)
    else:
        return None
    named = ((parameter_name(key), (directory / file, key)) for key, file in files.items())
    return {name: place for name, place in named if name is not None}


def _are_equal(one: tuple[Path, str], other: tuple[Path, str]) -> bool:
    """Whether two matrices hold the same numbers, reading some rows at a time; also where a file is not there yet."""
    if not one[0].is_file() or not other[0].is_file():
        return True
    with open_weights(one[0]) as first, open_weights(other[0]) as second:
        a, b = first.get_slice(one[1]), second.get_slice(other[1])
        if a.get_shape() != b.get_shape() or a.get_dtype() != b.get_dtype():
            return False
        rows = range(0, (a.get_shape() or [0])[0], ROWS)
        return all(bool((a[row : row + ROWS] == b[row : row + ROWS]).all()) for row in rows)


def canonical_name(key: str) -> str:
    """The name of our module's parameter for a key of either layout."""
    for newer, ours in (("model.visual.", "visual."), ("model.language_model.", "model.")):
        if key.startswith(newer):
            return ours + key[len(newer) :]
    return key


def parameter_name(key: str) -> str | None:
    """As `canonical_name`, also for keys that PEFT has changed; None for a tensor of an adapter (`lora.py`)."""
    base = base_key(key)
    return None if base is None else canonical_name(base)


@contextlib.contextmanager
def open_weights(path: Path) -> Iterator[Any]:
    """An open weight file."""
    try:
        with safe_open(path, framework="pt") as shard:
            yield shard
    except (SafetensorError, OSError) as broken:
        reason = str(broken)[:200]
        raise UserError(f"{path} is damaged ({reason}); download it again.") from None
