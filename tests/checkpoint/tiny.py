"""A tiny checkpoint with random weights, for tests of loading."""

import json

import torch
from safetensors.torch import save_file

from qwen2vl_demo.config import Qwen2VLConfig, TextConfig, VisionConfig
from qwen2vl_demo.model.qwen2vl import Qwen2VL

CONFIG = Qwen2VLConfig(
    VisionConfig(depth=1, embed_dim=16, num_heads=2, mlp_ratio=2, out_dim=16),
    TextConfig(
        hidden_size=16,
        num_layers=2,
        num_heads=2,
        num_kv_heads=1,
        intermediate_size=32,
        vocab_size=40,
        mrope_section=(1, 1, 2),
    ),
)


def write(directory, config=CONFIG, change=lambda state: state, shards=1):
    """A checkpoint with random weights; `change` may spoil its tensors. Returns the state that was meant."""
    torch.manual_seed(0)
    state = dict(Qwen2VL(config).state_dict())
    (directory / "config.json").write_text(json.dumps(config.to_dict()))
    tensors = change(dict(state))
    if shards == 1:
        save_file(tensors, directory / "model.safetensors")
        return state
    names = sorted(tensors)
    files = [f"model-{i + 1:05d}-of-{shards:05d}.safetensors" for i in range(shards)]
    for i, file in enumerate(files):
        save_file({n: tensors[n] for n in names[i::shards]}, directory / file)
    index = {n: files[i % shards] for i, n in enumerate(names)}
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return state
