"""LoRA adapters, merged into the weights of their base while these are loaded.

An adapter is a directory with `adapter_config.json` and `adapter_model.safetensors`, as the library PEFT writes them.
Its keys are also found in checkpoints that were saved without merging it (`peft_keys.py`).

LoRA replaces a weight W (O, I) by W + s B A, with A (R, I), B (O, R) and s = alpha / R, or alpha / sqrt(R) with
rank-stabilised scaling. Hu et al., arXiv 2106.09685; Kalajdzievski, arXiv 2312.03732.

Axes: O outputs, I inputs, R rank, V vocabulary, C width.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qwen2vl_demo.checkpoint.find import find_checkpoint
from qwen2vl_demo.checkpoint.kinds import GRADER_TENSORS, RETRIEVER_TENSORS
from qwen2vl_demo.checkpoint.peft_keys import FACTOR, OTHER_PARTS, SAVED, base_key, without_prefix
from qwen2vl_demo.checkpoint.weight_files import EMBEDDING, HEAD, canonical_name, open_weights, weight_files
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.json_values import read_json_object, shown

CONFIG, WEIGHTS, PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
MAX_RANK = 2**14

_OTHER_KINDS = {  # switches of adapter_config.json that make something else of a LoRA
    "use_dora": "DoRA",
    "use_qalora": "QALoRA",
    "use_bdlora": "block-diagonal LoRA",
    "alora_invocation_tokens": "an activated LoRA (aLoRA)",
    "arrow_config": "Arrow",
    "kasa_config": "KaSA",
    "monteclora_config": "MonteCLoRA",
    "layer_replication": "a LoRA with replicated layers",
    "target_parameters": "a LoRA on bare parameters",
    "trainable_token_indices": "a LoRA with trainable tokens",
}
# These start from a changed base, and only what came of the adapter is in its files.
_CHANGED_BASES = ("pissa", "corda", "olora", "lora_ga", "loftq")


@dataclass(frozen=True)
class LowRank:
    """What is added to one parameter: `scale` B A, reshaped to it; for an embedding (V, C) its transpose."""

    a: Tensor  # (R, I), or (R, I, ...) with the kernel of a convolution, or (R, V)
    b: Tensor  # (O, R), or (O, R, 1, ...), or (C, R)
    scale: float
    transposed: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        shape = (self.b.shape[0], *self.a.shape[1:])
        return shape[::-1] if self.transposed else shape

    def added_to(self, weight: Tensor) -> Tensor:
        """The sum in float32, so that it is rounded once, when it is stored. On the device of the weight."""
        a, b = (factor.to(weight.device, torch.float32).flatten(1) for factor in (self.a, self.b))
        change = (b @ a).t() if self.transposed else (b @ a).view(self.shape)
        return weight.float().add(change, alpha=self.scale)


@dataclass(frozen=True)
class Adapter:
    """What an adapter does to the parameters of a model, by their names."""

    source: str  # for people: the directory
    low_rank: Mapping[str, LowRank]
    bias_added: Mapping[str, Tensor]  # biases to which this is added
    replaced: Mapping[str, Tensor]  # parameters that were trained as a whole

    @property
    def unties(self) -> bool:
        """Whether the output layer is not the embedding afterwards, if it was: PEFT changes each by itself."""
        return not {HEAD, EMBEDDING}.isdisjoint((*self.low_rank, *self.replaced))

    def check(self, expected: Mapping[str, torch.Size]) -> None:
        """Raises UserError where the adapter does not fit a model with parameters of these names and shapes."""
        shapes = {name: tuple(change.shape) for name, change in self.low_rank.items()}
        shapes |= {name: tuple(t.shape) for group in (self.bias_added, self.replaced) for name, t in group.items()}
        for name, shape in shapes.items():
            if name == HEAD and HEAD not in expected:
                name = EMBEDDING  # the base is tied
            if name not in expected:
                raise UserError(f"{self.source} changes {name[:200]}, which its base does not have; {_kind(name)}.")
            if shape != tuple(expected[name]):
                raise UserError(
                    f"{self.source} changes {name} of the shape {list(shape)} but its base has "
                    f"{list(expected[name])} there; choose the base that it was trained on, with --model BASE "
                    "--adapter DIR, or merge it there with PEFT's merge_and_unload() if its vocabulary was resized."
                )

    def merge(self, tensors: Iterable[tuple[str, Tensor]], *, tied: bool = False) -> Iterator[tuple[str, Tensor]]:
        """The parameters of the base with the adapter merged, in the same order; changed ones are float32.

        `tied` says that the base has no output layer of its own. One follows the embedding where the adapter unties it.
        """
        for name, tensor in tensors:
            if tied and name == HEAD:
                continue  # the embedding again
            yield name, self._changed(name, tensor)
            if tied and self.unties and name == EMBEDDING:
                yield HEAD, self._changed(HEAD, tensor)

    def _changed(self, name: str, tensor: Tensor) -> Tensor:
        tensor = self.replaced.get(name, tensor)
        if name in self.low_rank:
            tensor = self.low_rank[name].added_to(tensor)
        if name in self.bias_added:
            tensor = tensor.float() + self.bias_added[name].to(tensor.device, torch.float32)
        return tensor


def find_base(model: str, adapter: str | None = None, *, weights: bool = True) -> tuple[Path, Path | None]:
    """The directories of a checkpoint and of the adapter to merge into it, or None. Raises UserError.

    `model` may itself be an adapter, whose base is then found by the name that it gives. Both may be hub ids. The
    arguments are those of `find_checkpoint`.
    """
    directory = find_checkpoint(model, weights=weights)
    if adapter is not None:
        found = find_checkpoint(adapter, weights=weights)
        if not (found / CONFIG).is_file():
            raise UserError(f"There is no {CONFIG} in {found}; point --adapter at the directory of a LoRA.")
        if is_adapter(directory):
            raise UserError(f"{directory} is an adapter itself; point --model at its base.")
        return directory, found
    if not is_adapter(directory):
        return directory, None
    base = read_json_object(directory / CONFIG).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise UserError(f"{directory} is an adapter that does not name its base; give --model BASE --adapter {model}.")
    try:
        found = find_checkpoint(base, weights=weights)
    except UserError as problem:
        raise UserError(
            f"{directory} is an adapter of {shown(base)}, which was not found ({str(problem).rstrip('.')}); give "
            f"--model BASE --adapter {model}."
        ) from None
    if is_adapter(found):
        raise UserError(f"{directory} is an adapter of {found}, which is an adapter too; merge that one first.")
    return found, directory


def is_adapter(directory: Path) -> bool:
    """Whether a directory holds an adapter and no weights of a whole model."""
    whole = ("model.safetensors", "model.safetensors.index.json")
    return (directory / CONFIG).is_file() and not any((directory / name).is_file() for name in whole)


def read_adapter(directory: Path) -> Adapter:
    """The adapter in a directory. Raises UserError for a broken one, and by name for what is not a plain LoRA."""
    config = read_json_object(directory / CONFIG)
    refuse_other_methods(directory)
    path = directory / WEIGHTS
    if not path.is_file():
        if (directory / PICKLED).is_file():
            raise UserError(
                f"{directory} holds its weights as {PICKLED}, a pickle, which can run anything and is never loaded; "
                "load it with PEFT on a machine that may and save it again with "
                "save_pretrained(DIR, safe_serialization=True)."
            )
        raise UserError(f"There is no {WEIGHTS} in {directory}; take the adapter again from its source.")
    with open_weights(path) as file:
        return adapter_of(config, ((key, file.get_tensor(key)) for key in file.keys()), str(directory))  # noqa: SIM118


def refuse_other_methods(directory: Path) -> None:
    """Raises UserError, by name, where the configuration of an adapter is not that of a plain LoRA."""
    _check_kind(read_json_object(directory / CONFIG), str(directory))


def adapter_of_checkpoint(directory: Path, adapter: Path | None) -> Adapter | None:
    """The adapter to merge into a checkpoint: that of a directory, or one that was left in it. Raises UserError."""
    left = read_unmerged(directory)
    if adapter is None:
        return left
    if left is not None:
        raise UserError(f"{directory} holds an adapter already; merge that one first, or leave out --adapter.")
    return read_adapter(adapter)


def read_unmerged(directory: Path) -> Adapter | None:
    """The adapter whose keys were left in the weight files of a whole checkpoint; None where there are none."""
    tensors: dict[str, Tensor] = {}
    for path in weight_files(directory):
        with open_weights(path) as file:
            for key in file.keys():  # noqa: SIM118 - a safe_open is no mapping
                if base_key(key) is None:
                    tensors[key] = file.get_tensor(key)
    if not tensors:
        return None
    needs_scale = any(FACTOR.fullmatch(key) for key in tensors)
    if needs_scale and not (directory / CONFIG).is_file():
        raise UserError(
            f"{directory} holds a LoRA that was not merged ({min(tensors)[:200]}) and no {CONFIG}, which says how "
            "strong it is (lora_alpha); put that file beside it, or save the model again after merge_and_unload()."
        )
    config = read_json_object(directory / CONFIG) if needs_scale else {}
    if needs_scale:
        _check_kind(config, str(directory))
    return adapter_of(config, tensors.items(), str(directory))


def adapter_of(config: Mapping[str, Any], tensors: Iterable[tuple[str, Tensor]], source: str) -> Adapter:
    """The adapter of an adapter_config.json and the tensors beside it. Raises UserError."""
    factors: dict[str, dict[str, Tensor]] = {}
    replaced: dict[str, Tensor] = {}
    bias_added: dict[str, Tensor] = {}
    names: set[str] = set()  # of adapters: several may be in one checkpoint
    for key, tensor in tensors:
        key = without_prefix(key)
        for part, kind in OTHER_PARTS.items():
            if f".{part}" in key:
                raise _refused(source, kind)
        if not tensor.is_floating_point():
            raise UserError(f"{source}: {key[:200]} holds numbers of the type {tensor.dtype}; choose a LoRA in floats.")
        match = FACTOR.fullmatch(key)
        if match is None:
            if saved := SAVED.search(key):
                names.add(saved[1] or "")
            replaced[canonical_name(SAVED.sub(".", key).replace(".base_layer.", "."))] = tensor
            continue
        rest = match["rest"].lstrip(".").split(".")
        kind = rest.pop() if rest[-1] in ("weight", "bias") else "weight"
        names.add(rest[0] if rest else "")
        scale = _scale(config, match["module"], source)
        if kind == "bias":  # only B has one
            bias_added[canonical_name(match["module"] + ".bias")] = tensor.float() * scale[1]
        else:
            factors.setdefault(match["module"], {})[match["factor"]] = tensor
            if match["embedding"]:
                factors[match["module"]]["embedding"] = tensor
    if len(names - {""}) > 1:
        raise UserError(f"{source} holds {len(names)} adapters, {', '.join(sorted(names))[:200]}; keep one of them.")
    if not factors and not replaced:
        raise UserError(f"{source} holds no tensor of an adapter; take it again from its source.")
    return Adapter(
        source,
        {
            canonical_name(f"{module}.weight"): _low_rank(module, pair, _scale(config, module, source), source)
            for module, pair in factors.items()
        },
        bias_added,
        replaced,
    )


def _low_rank(module: str, pair: Mapping[str, Tensor], scale: tuple[int, float], source: str) -> LowRank:
    if "A" not in pair or "B" not in pair:
        raise UserError(f"{source} holds one of two factors of {module[:200]}; take the adapter again from its source.")
    a, b = pair["A"], pair["B"]
    if a.ndim < 2 or b.ndim < 2 or b.flatten(1).shape[1] != a.shape[0] or a.shape[0] != scale[0]:
        raise UserError(
            f"{source}: the factors of {module[:200]} have the shapes {list(a.shape)} and {list(b.shape)}, but "
            f"{CONFIG} gives the rank {scale[0]}; take the adapter again from its source."
        )
    return LowRank(a, b, scale[1], transposed="embedding" in pair)


def _scale(config: Mapping[str, Any], module: str, source: str) -> tuple[int, float]:
    """Rank and scale of a module: those of the first pattern that matches the end of its name, else the common ones."""

    def value(name: str, patterns: str, default: int) -> int | float:
        found = config.get(patterns) or {}
        if not isinstance(found, dict):
            raise UserError(f"{source}: {patterns} in {CONFIG} is {shown(found)} and no object; take it again.")
        for pattern, own in found.items():
            if _ends_with(pattern, module, source):
                return _number(own, patterns, source)
        return _number(config.get(name, default), name, source)

    rank, alpha = value("r", "rank_pattern", 8), value("lora_alpha", "alpha_pattern", 8)
    if not 1 <= rank <= MAX_RANK or rank != int(rank):
        raise UserError(f"{source}: the rank in {CONFIG} is {shown(rank)}, no whole number up to {MAX_RANK}.")
    return int(rank), alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _ends_with(pattern: str, module: str, source: str) -> bool:
    """Whether a pattern, a name or a regular expression, matches a module's name from some dot on."""
    try:
        return re.fullmatch(rf"(?:.*\.)?(?:{pattern})", module) is not None
    except re.error:
        raise UserError(f"{source}: the pattern {shown(pattern)} in {CONFIG} is no regular expression.") from None


def _number(value: Any, name: str, source: str) -> int | float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise UserError(f"{source}: {name} in {CONFIG} is {shown(value)} and no number; take it again from its source.")
    return value


def _check_kind(config: Mapping[str, Any], source: str) -> None:
    kind = config.get("peft_type", "LORA")
    if kind != "LORA":
        raise _refused(source, shown(kind).strip("'\"") if isinstance(kind, str) else shown(kind))
    for switch, name in _OTHER_KINDS.items():
        if config.get(switch):
            raise _refused(source, name)
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_CHANGED_BASES):
        raise UserError(
            f"{source} is a LoRA that started from a changed base ({shown(start)}); save it as a plain one with PEFT: "
            "save_pretrained(DIR, path_initial_model_for_weight_conversion=...), or merge it with merge_and_unload()."
        )


def _refused(source: str, kind: str) -> UserError:
    return UserError(
        f"{source} is {kind}, and adapters other than plain LoRA are not merged here; merge it with PEFT's "
        "merge_and_unload(), save the whole model, and point --model at that."
    )


def _kind(name: str) -> str:
    """What an adapter is that changes a parameter which no Qwen2-VL has."""
    if name.startswith(RETRIEVER_TENSORS):
        return "it makes a retriever (ColQwen2) of it, which does not chat"
    if name.startswith(GRADER_TENSORS):
        return "it makes a classifier of it, which does not chat"
    return "choose the base that it was trained on, with --model BASE --adapter DIR"
