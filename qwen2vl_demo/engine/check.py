"""What a checkpoint is, what it needs, and whether it runs on this machine: all that is known without its weights.

Of a directory the headers of the weight files are read, of a repository of the hub only its small files.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from qwen2vl_demo.checkpoint.find import find_checkpoint, find_preprocessing, hub_files, is_hub_id, refuse_files
from qwen2vl_demo.checkpoint.kinds import kind_of
from qwen2vl_demo.checkpoint.lora import adapter_of_checkpoint, find_base
from qwen2vl_demo.checkpoint.memory_needed import WORKING_TOKENS, bytes_free, memory_needed
from qwen2vl_demo.checkpoint.placement import find_devices, place
from qwen2vl_demo.checkpoint.quantised.formats import dequantised, stays_in_4_bits
from qwen2vl_demo.checkpoint.stored_tensors import check_tensors, stored_tensors
from qwen2vl_demo.checkpoint.weight_files import checkpoint_config, weight_files
from qwen2vl_demo.config import Qwen2VLConfig
from qwen2vl_demo.engine.cost import flops
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.json_values import read_json_object
from qwen2vl_demo.memory import format_bytes
from qwen2vl_demo.model.quantised import price
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.processing.processor import Processor
from qwen2vl_demo.settings import QUANTIZE, Settings, flag_name

Say = Callable[[str], None]
VISION_DEFAULTS = ("depth", "embed_dim", "num_heads", "mlp_ratio", "hidden_size")


def check(settings: Settings, say: Say) -> None:
    """Tells what is found, a line at a time. Raises UserError, with what to do instead, where the model will not run
    here."""
    model = settings.model
    found = find_checkpoint(model, weights=False)
    if is_hub_id(model) and not any((found / name).exists() for name in ("config.json", "adapter_config.json")):
        refuse_files(model, hub_files(model))
    kind = kind_of(found, model)
    say(f"{model} is of the kind {kind.name}.")
    if kind.refusal is not None:
        raise UserError(kind.refusal)
    directory, adapter = find_base(model, settings.adapter, weights=False)
    source = model
    if directory != found:
        source = str(read_json_object(found / "adapter_config.json").get("base_model_name_or_path"))
        say(f"Its base is in {directory}.")
    merged = adapter is not None
    if adapter is not None and is_hub_id(settings.adapter or model) and not any(adapter.glob("*.safetensors")):
        adapter = None  # not downloaded yet
    files = hub_files(source) if is_hub_id(source) else None
    config = checkpoint_config(directory)
    for line in (*_shape(config), *_notes(directory, config)):
        say(line)
    say(_weights(source, directory, adapter, config, files))
    preprocessing = find_preprocessing(settings.processor)
    Processor.from_directory(directory, preprocessing=preprocessing)
    say(_prompts(directory, preprocessing))
    devices, _ = find_devices(settings.device)
    stored_int4 = not merged and stays_in_4_bits(directory, config.text, devices)
    for line in _table(config, devices, stored_int4):
        say(line)
    placement = place(directory, settings.device, settings.dtype, settings.quantize, name=model, adapter=merged)
    say(f"It runs here, on {placement.reason}.")
    say(_command(settings))


def _command(settings: Settings) -> str:
    given = ("model", "adapter", "processor", "device", "dtype", "quantize")
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


def _weights(
    model: str, directory: Path, adapter: Path | None, config: Qwen2VLConfig, files: dict[str, int] | None
) -> str:
    """Says what weight files there are. Raises UserError for those that do not fit the configuration."""
    if files is not None:
        sizes = [size for name, size in files.items() if name.endswith(".safetensors") and "/" not in name]
        if not sizes:
            refuse_files(model, files)
            raise UserError(f"{model} has no weights (no .safetensors); choose a complete Qwen2-VL checkpoint.")
        return f"Weights: {format_bytes(sum(sizes))} in {_files(len(sizes))} on the hub, downloaded at the first start."
    with torch.device("meta"):
        expected = {name: tensor.shape for name, tensor in Qwen2VL(config).state_dict().items()}
    stored = dequantised(directory, stored_tensors(directory))
    check_tensors(directory, stored, expected, config.text.tie_word_embeddings)
    merged = ""
    if (lora := adapter_of_checkpoint(directory, adapter)) is not None:
        lora.check(expected)
        merged = f"; an adapter changes {len(lora.low_rank) + len(lora.replaced)} of them while they are loaded"
    paths = weight_files(directory)
    size = sum(path.stat().st_size for path in paths)
    kinds = ", ".join(sorted({tensor.kind for tensor in stored.values()}))
    return f"Weights: {format_bytes(size)} in {_files(len(paths))} ({kinds}), complete{merged}."


def _prompts(directory: Path, preprocessing: Path | None) -> str:
    source = directory if preprocessing is None else preprocessing
    own = any((source / name).exists() for name in ("preprocessor_config.json", "processor_config.json"))
    tokenizer = "its own" if preprocessing is None else f"that of {preprocessing}"
    return f"Tokenizer: {tokenizer}; image preprocessing: {tokenizer if own else 'that of the released checkpoints'}."


def _table(config: Qwen2VLConfig, devices: Sequence[torch.device], stored_int4: bool) -> list[str]:
    """What the weights take in each dtype and quantisation, with the keys and values of a conversation. What is stored
    in 4 bits stays so in each dtype."""
    free = [bytes_free(device) for device in devices]
    room = None if None in free else sum(size or 0 for size in free)
    where = " and ".join(map(str, devices))
    there = "unknown" if room is None else format_bytes(room)
    lines = [f"Memory, with a conversation of {WORKING_TOKENS:,} tokens; free on {where}: {there}."]
    narrow = [(torch.bfloat16, name) for name in QUANTIZE if name != "none"]
    for dtype, quantize in ((torch.float32, "none"), (torch.bfloat16, "none"), *narrow):
        name = quantize if quantize != "none" else str(dtype).removeprefix("torch.")
        need = memory_needed(config, dtype, quantize, stored_int4=stored_int4).total
        verdict = "" if room is None else "fits" if need <= room else "does not fit"
        cost = price(quantize, devices[0])
        lines.append(f"  {name:10}{format_bytes(need):>10}  {verdict}{'; ' if verdict and cost else ''}{cost}".rstrip())
    return lines


def _count(number: int) -> str:
    return f"{number / 1e9:.1f} billion" if number >= 1e9 else f"{number / 1e6:.1f} million"


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
