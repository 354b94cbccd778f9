"""What a checkpoint is, what it needs, and whether it runs on this machine: all that is known without its weights.

Of a directory the headers of the weight files are read, of a repository of the hub only its small files.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from qwen2vl_demo.checkpoint.find import (
    find_checkpoint,
    find_preprocessing,
    hub_files,
    is_hub_id,
    refuse_files,
)
from qwen2vl_demo.checkpoint.kinds import kind_of
from qwen2vl_demo.checkpoint.placement import Placement, place
from qwen2vl_demo.checkpoint.stored_tensors import check_tensors, stored_tensors
from qwen2vl_demo.checkpoint.weight_files import checkpoint_config, weight_files
from qwen2vl_demo.config import Qwen2VLConfig
from qwen2vl_demo.engine.cost import flops
from qwen2vl_demo.engine.generate import PREFILL_CHUNK
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.json_values import read_json_object
from qwen2vl_demo.memory import free_memory
from qwen2vl_demo.model.quantised import weight_bytes
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.processing.processor import Processor
from qwen2vl_demo.settings import QUANTIZE, Settings, flag_name

Say = Callable[[str], None]
# What an answer is taken to need: a picture of so many merged tokens in a conversation of so many tokens.
PICTURE_TOKENS = 1280
CONVERSATION_TOKENS = 4096
VISION_DEFAULTS = ("depth", "embed_dim", "num_heads", "mlp_ratio", "hidden_size")


@dataclass(frozen=True)
class Need:
    """The memory of one way to load a model."""

    name: str  # "bfloat16", "int4"
    flags: str  # that choose it
    weights: int  # bytes
    answering: int  # bytes, beside the weights

    @property
    def total(self) -> int:
        return self.weights + self.answering

    def fits(self, free: int | None) -> bool:
        """Where it is not known what is free, everything is taken to fit."""
        return free is None or self.total <= free


def check(settings: Settings, say: Say) -> None:
    """Tells what is found, a line at a time. Raises UserError, with what to do instead, where the model will not run
    here."""
    model = settings.model
    directory = find_checkpoint(model, weights=False)
    files = hub_files(model) if is_hub_id(model) else None
    if files is not None and not (directory / "config.json").exists():
        refuse_files(model, files)
    kind = kind_of(directory, model)
    say(f"{model} is of the kind {kind.name}.")
    if kind.refusal is not None:
        raise UserError(kind.refusal)
    config = checkpoint_config(directory)
    for line in (*_shape(config), *_notes(directory, config)):
        say(line)
    say(_weights(model, directory, config, files))
    preprocessing = find_preprocessing(settings.processor)
    Processor.from_directory(directory, preprocessing=preprocessing)
    say(_prompts(directory, preprocessing))
    placement = place(directory, settings.device, settings.dtype, settings.quantize)
    free = _free(placement.device)
    needs = _needs(config)
    chosen = _chosen(needs, placement, settings.quantize)
    for line in _table(needs, chosen, placement.device, free):
        say(line)
    if not chosen.fits(free):
        raise UserError(_too_large(model, needs, chosen, free))
    say(f"It runs here, on {placement.reason}.")
    say(_command(settings))


def _command(settings: Settings) -> str:
    given = ("model", "processor", "device", "dtype", "quantize")
    defaults = Settings()
    changed = [(name, value) for name in given if (value := getattr(settings, name)) != getattr(defaults, name)]
    return " ".join(["python app.py", *(f"{flag_name(name)} {shlex.quote(value)}" for name, value in changed)])


def _shape(config: Qwen2VLConfig) -> list[str]:
    count, text = flops.parameters(config), config.text
    lines = [
        f"{_count(count.total)} parameters: {_count(count.vision)} in {config.vision.depth} blocks of vision, the rest "
        f"in {text.num_layers} layers of language; {text.max_position_embeddings:,} positions."
    ]
    if (yarn := text.yarn) is not None:
        lines.append(f"YaRN stretches the trained {yarn.original_context:,} positions {yarn.factor:g} times.")
    return lines


def _notes(directory: Path, config: Qwen2VLConfig) -> list[str]:
    raw = read_json_object(directory / "config.json")
    vision, lines = raw["vision_config"], []
    if isinstance(version := raw.get("transformers_version"), str):
        lines.append(f"Saved by transformers {version[:40]}.")
    if missing := [name for name in VISION_DEFAULTS if vision.get(name) is None]:
        lines.append(f"Its vision_config lacks {', '.join(missing)}: taken are the architecture's defaults.")
    if config.text.tie_word_embeddings and not Qwen2VLConfig.from_dict(raw).text.tie_word_embeddings:
        lines.append("It has no output layer of its own: the embedding is taken.")
    return lines


def _weights(model: str, directory: Path, config: Qwen2VLConfig, files: dict[str, int] | None) -> str:
    """Says what weight files there are. Raises UserError for those that do not fit the configuration."""
    if files is not None:
        sizes = [size for name, size in files.items() if name.endswith(".safetensors") and "/" not in name]
        if not sizes:
            refuse_files(model, files)
            raise UserError(f"{model} has no weights (no .safetensors); choose a complete Qwen2-VL checkpoint.")
        return f"Weights: {_gigabytes(sum(sizes))} in {_files(len(sizes))} on the hub, downloaded at the first start."
    with torch.device("meta"):
        expected = {name: tensor.shape for name, tensor in Qwen2VL(config).state_dict().items()}
    stored = stored_tensors(directory)
    check_tensors(directory, stored, expected, config.text.tie_word_embeddings)
    paths = weight_files(directory)
    size = sum(path.stat().st_size for path in paths)
    kinds = ", ".join(sorted({tensor.kind for tensor in stored.values()}))
    return f"Weights: {_gigabytes(size)} in {_files(len(paths))} ({kinds}), complete."


def _prompts(directory: Path, preprocessing: Path | None) -> str:
    source = directory if preprocessing is None else preprocessing
    own = any((source / name).exists() for name in ("preprocessor_config.json", "processor_config.json"))
    tokenizer = "its own" if preprocessing is None else f"that of {preprocessing}"
    return f"Tokenizer: {tokenizer}; image preprocessing: {tokenizer if own else 'that of the released checkpoints'}."


def _needs(config: Qwen2VLConfig) -> list[Need]:
    dtypes = [
        Need(name, f"--dtype {name}", flops.parameters(config).total * itemsize, _answering(config, itemsize))
        for name, itemsize in (("float32", 4), ("bfloat16", 2))
    ]
    narrow = [
        Need(name, f"--quantize {name}", _narrow_bytes(config, name), _answering(config, 2))
        for name in QUANTIZE
        if name != "none"
    ]
    return [*dtypes, *narrow]


def _narrow_bytes(config: Qwen2VLConfig, quantize: str) -> int:
    with torch.device("meta"):
        return weight_bytes(Qwen2VL(config), torch.bfloat16, quantize)


def _answering(config: Qwen2VLConfig, itemsize: int) -> int:
    text = flops.kv_bytes(config.text, CONVERSATION_TOKENS, itemsize)
    encoding = flops.vision_activation_bytes(config.vision, PICTURE_TOKENS * config.vision.merge_size**2, itemsize)
    reading = flops.prefill_activation_bytes(config.text, CONVERSATION_TOKENS, 0, itemsize, PREFILL_CHUNK)
    return text + max(encoding, reading)


def _chosen(needs: Sequence[Need], placement: Placement, quantize: str) -> Need:
    name = str(placement.dtype).removeprefix("torch.") if quantize == "none" else quantize
    return next(need for need in needs if need.name == name)


def _table(needs: Sequence[Need], chosen: Need, device: torch.device, free: int | None) -> list[str]:
    told = "unknown" if free is None else _gigabytes(free)
    lines = [f"Memory, free on {device}: {told}.", f"{'':12}{'weights':>10}{'answering':>11}{'together':>10}"]
    for need in needs:
        verdict = "fits" if need.fits(free) else "does not fit"
        sizes = f"{_gigabytes(need.weights):>10}{_gigabytes(need.answering):>11}{_gigabytes(need.total):>10}"
        lines.append(f"{need.name:12}{sizes}   {verdict}{', chosen' if need is chosen else ''}")
    return lines


def _too_large(model: str, needs: Sequence[Need], chosen: Need, free: int | None) -> str:
    told = f"{model} needs {_gigabytes(chosen.total)} as {chosen.name}, and {_gigabytes(free or 0)} are free"
    if fitting := [need for need in needs if need.fits(free)]:
        best = max(fitting, key=lambda need: need.total)
        return f"{told}; {best.flags} needs {_gigabytes(best.total)}."
    return (
        f"{told}; choose a smaller model, or let a machine with more memory answer: vllm serve {model} there, and here "
        "python app.py --engine-url with its address."
    )


def _free(device: torch.device) -> int | None:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return free_memory()


def _count(number: int) -> str:
    return f"{number / 1e9:.1f} billion" if number >= 1e9 else f"{number / 1e6:.1f} million"


def _gigabytes(size: int) -> str:
    return f"{size / 2**30:.1f} GB" if size >= 2**30 else f"{size / 2**20:.0f} MB"


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
