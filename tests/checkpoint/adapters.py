"""LoRA adapters for the tiny checkpoint, as PEFT writes them; their numbers follow from names alone."""

import json
import math

import torch
from safetensors.torch import save_file

NEW_LAYOUT = (("visual.", "model.visual."), ("model.", "model.language_model."))  # names of modules in transformers now


def numbers(name, *shape):
    """A tensor in [-0.5, 0.5) that depends on the name and the shape only."""
    start = sum(name.encode()) % 97
    return (
        ((torch.arange(math.prod(shape), dtype=torch.float64) * 0.6180339887 + start / 97) % 1 - 0.5)
        .float()
        .view(shape)
    )


def in_new_layout(module):
    for old, new in NEW_LAYOUT:
        if module.startswith(old):
            return new + module.removeprefix(old)
    return module


def factors(state, modules, rank=lambda module: 4, rename=in_new_layout):
    """The tensors of a LoRA on these modules of a state, by PEFT's keys."""
    tensors = {}
    for module in modules:
        weight, r, key = state[f"{module}.weight"], rank(module), f"base_model.model.{rename(module)}"
        if module == "model.embed_tokens":
            tensors[f"{key}.lora_embedding_A"] = numbers(module + "A", r, weight.shape[0])
            tensors[f"{key}.lora_embedding_B"] = numbers(module + "B", weight.shape[1], r)
            continue
        tensors[f"{key}.lora_A.weight"] = numbers(module + "A", r, *weight.shape[1:])
        tensors[f"{key}.lora_B.weight"] = numbers(module + "B", weight.shape[0], r, *(1,) * (weight.ndim - 2))
    return tensors


def write_adapter(directory, tensors, **config):
    directory.mkdir(exist_ok=True)
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 6, "bias": "none", **config}
    (directory / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, directory / "adapter_model.safetensors")
    return directory


GOLDEN = dict(  # the adapter whose merged weights test_lora.py knows from PEFT
    r=4,
    lora_alpha=6,
    use_rslora=True,
    fan_in_fan_out=True,
    rank_pattern={r"layers.0.self_attn.(q|v)_proj": 2, "qkv": 3},
    alpha_pattern={"mlp.fc1": 1, r"model.language_model.layers\.1\..*_proj": 5},
    target_modules=r".*\.(q_proj|v_proj|down_proj|qkv|fc1|proj|embed_tokens)|.*merger\.mlp\.0",
    modules_to_save=["ln_q", "lm_head"],
)
GOLDEN_MODULES = (
    "model.layers.0.self_attn.q_proj",
    "model.layers.0.self_attn.v_proj",
    "model.layers.1.self_attn.q_proj",
    "model.layers.1.mlp.down_proj",
    "visual.patch_embed.proj",
    "visual.blocks.0.attn.qkv",
    "visual.blocks.0.mlp.fc1",
    "visual.merger.mlp.0",
    "model.embed_tokens",
)


def golden_adapter(directory, state):
    ranks = {"model.layers.0.self_attn.q_proj": 2, "model.layers.0.self_attn.v_proj": 2, "visual.blocks.0.attn.qkv": 3}
    tensors = factors(state, GOLDEN_MODULES, lambda module: ranks.get(module, 4))
    for name in ("visual.merger.ln_q.weight", "visual.merger.ln_q.bias", "lm_head.weight"):
        tensors[f"base_model.model.{in_new_layout(name)}"] = numbers("saved " + name, *state[name].shape)
    return write_adapter(directory, tensors, **GOLDEN)


def probe(name, tensor):
    """One number of a tensor in which all of it takes part."""
    return float((tensor.double() * numbers("probe " + name, *tensor.shape).double()).sum())
