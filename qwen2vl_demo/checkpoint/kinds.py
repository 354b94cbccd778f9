"""What kind of checkpoint a directory holds, from the names of its files and its small JSON files alone; and the
sentences for those that do not run here, each with what answers instead.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.json_values import read_json_object, shown

GGUF = ".gguf"
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
# Architectures whose pictures and positions are computed in another way, by their model_type.
RELATIVES = {
    "qwen2_5_vl": "Qwen2.5-VL",
    "qwen2_5_omni": "Qwen2.5-Omni",
    "qwen3_vl": "Qwen3-VL",
    "qwen3_vl_moe": "Qwen3-VL (mixture of experts)",
    "qwen3_omni_moe": "Qwen3-Omni",
    "qwen3_5": "Qwen3.5",
    "qwen3_5_moe": "Qwen3.5 (mixture of experts)",
}
RETRIEVERS = ("colqwen", "retriev", "embedding", "biqwen")  # in a model_type or the name of an architecture
GRADERS = ("sequenceclassification", "tokenclassification", "ranking", "reward", "scoring")
# The beginnings of the names of tensors that such models have beside those of a Qwen2-VL.
RETRIEVER_TENSORS = ("custom_text_proj.", "embedding_proj_layer.", "vlm.")
GRADER_TENSORS = ("score.", "classifier.", "classification_head.", "v_head.", "value_head.", "rm_head.", "reward_head.")
METHODS = {
    "awq": "AWQ",
    "gptq": "GPTQ",
    "fp8": "FP8",
    "compressed-tensors": "compressed-tensors",
    "bitsandbytes": "bitsandbytes",
}
CONVERT = (
    "import sys; from transformers import Qwen2VLForConditionalGeneration as Q; "
    "Q.from_pretrained(sys.argv[1], dtype='auto').save_pretrained(sys.argv[2])"
)


@dataclass(frozen=True)
class Kind:
    """A kind of checkpoint, for people."""

    name: str  # "Qwen2-VL", "LoRA adapter"
    refusal: str | None = None  # the sentence that says why it does not run here, and what to do instead


def kind_of(directory: Path, model: str | None = None) -> Kind:
    """The kind of a checkpoint directory; `model` is what the user called it. Raises UserError for broken files."""
    model = model if model is not None else str(directory)
    if not (directory / "config.json").exists():
        if (directory / "adapter_config.json").exists():
            return Kind(_adapter_name(directory))
        files = _files(directory, (GGUF,))
        return Kind("GGUF", gguf_file_refusal(files[0])) if files else Kind("unknown, there is no config.json")
    raw = read_json_object(directory / "config.json")
    kind = raw.get("model_type")
    if isinstance(kind, str) and kind in RELATIVES:
        return Kind(RELATIVES[kind], relative_refusal(model, RELATIVES[kind]))
    names = [name for name in [kind, *_list(raw.get("architectures"))] if isinstance(name, str)]
    for name in names:
        if any(word in name.lower() for word in RETRIEVERS):
            return Kind(f"retriever ({name[:60]})", retriever_refusal(model))
        if any(word in name.lower() for word in GRADERS):
            return Kind(f"classifier ({name[:60]})", grader_refusal(model))
    if kind != "qwen2_vl":
        return Kind(f"of the model_type {shown(kind)}")
    method = quantisation(raw)
    return Kind("Qwen2-VL" if method is None else f"Qwen2-VL with quantised weights ({method})")


def refuse_other_kinds(directory: Path, model: str) -> None:
    """Raises UserError, with what to do instead, for a directory that holds something else than a Qwen2-VL that chats,
    as far as that is known from its small files."""
    if (refusal := kind_of(directory, model).refusal) is not None:
        raise UserError(refusal)


def quantisation(raw: dict[str, Any]) -> str | None:
    """How the weights of a config.json are quantised, for people: "AWQ, 4 bits". None where they are not."""
    found = raw.get("quantization_config")
    if not isinstance(found, dict):
        return None
    method = found.get("quant_method")
    name = METHODS.get(method, method[:40]) if isinstance(method, str) else "of an unknown kind"
    bits = found.get("bits", 4 if found.get("load_in_4bit") else 8 if found.get("load_in_8bit") else None)
    return f"{name}, {bits} bits" if type(bits) is int else name


def unknown_tensor(source: Path | str, name: str) -> UserError:
    """The error for a tensor that a Qwen2-VL of the checkpoint's config.json does not have."""
    if name.startswith(RETRIEVER_TENSORS):
        return UserError(retriever_refusal(str(source), name))
    if name.startswith(GRADER_TENSORS):
        return UserError(grader_refusal(str(source), name))
    return UserError(f"{source} holds a tensor {name[:200]} that a Qwen2-VL of its config.json does not have.")


def no_weights(directory: Path) -> UserError:
    """The error for a checkpoint directory without safetensors."""
    if pickles := _files(directory, PICKLES):
        return UserError(pickle_refusal(str(directory), pickles[0].name, str(directory)))
    if files := _files(directory, (GGUF,)):
        return UserError(gguf_file_refusal(files[0]))
    return UserError(
        f"{directory} holds no model.safetensors; point --model at a complete Qwen2-VL checkpoint directory."
    )


def relative_refusal(model: str, name: str) -> str:
    return (
        f"{model} is a {name}, and only Qwen2-VL is computed here; let vLLM answer instead: vllm serve "
        f"{shlex.quote(model)}, and then python app.py --engine-url http://localhost:8000."
    )


def retriever_refusal(model: str, tensor: str | None = None) -> str:
    told = "" if tensor is None else f" (it has {tensor[:100]})"
    return (
        f"{model} is a retriever{told}, it does not chat: it turns pages and questions into vectors that are compared; "
        "choose a Qwen2-VL that answers, such as Qwen/Qwen2-VL-2B-Instruct."
    )


def grader_refusal(model: str, tensor: str | None = None) -> str:
    told = "" if tensor is None else f" (it has {tensor[:100]})"
    return (
        f"{model} has a head that classifies or grades{told}, it does not chat; choose a Qwen2-VL that answers, such "
        "as Qwen/Qwen2-VL-2B-Instruct."
    )


def gguf_refusal(model: str, arguments: str) -> str:
    return (
        f"{model} is of the kind GGUF, which llama.cpp runs; let its server answer: llama-server {arguments} "
        "-c 32768 --image-max-tokens 16384, and then python app.py --engine-url http://localhost:8080."
    )


def gguf_file_refusal(path: Path) -> str:
    """For a single file, with the projector (mmproj) that lies beside it, if one does."""
    beside = next(filter(_is_projector, reversed(_files(path.parent, (GGUF,)))), Path("MMPROJ_OF_THE_SAME_MODEL.gguf"))
    return gguf_refusal(str(path), f"-m {shlex.quote(str(path))} --mmproj {shlex.quote(str(beside))}")


def pickle_refusal(model: str, file: str, target: str) -> str:
    """`target` is the directory into which the command writes the converted weights."""
    source, target = shlex.quote(model), shlex.quote(target)
    then = "" if target == source else f", and then --model {target} --processor {source}"
    return (
        f"{model} keeps its weights as pickle ({file[:100]}), which is never loaded here since it can run any program; "
        f'convert it where transformers is installed: python -c "{CONVERT}" {source} {target}{then}.'
    )


def _files(directory: Path, endings: tuple[str, ...]) -> list[Path]:
    """The files of a directory with such endings; of llama.cpp's two the model comes before its projector."""
    try:
        found = [path for path in directory.iterdir() if path.name.lower().endswith(endings)]
    except OSError:
        return []
    return sorted(found, key=lambda path: (_is_projector(path), path.name))


def _is_projector(path: Path) -> bool:
    return "mmproj" in path.name.lower()


def _adapter_name(directory: Path) -> str:
    raw = read_json_object(directory / "adapter_config.json")
    method, base = raw.get("peft_type"), raw.get("base_model_name_or_path")
    name = method[:40] if isinstance(method, str) else "PEFT"
    return f"{name} adapter" + (f" of {base[:200]}" if isinstance(base, str) and base else "")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
