"""A tiny checkpoint with random weights, in the official layout, and the engine that loads it."""

import pytest
import torch

from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.nano.checkpoint import nano_config, write_checkpoint
from qwen2vl_demo.nano.tokenizer import train_tokenizer

TEXTS = [
    "What is in this picture? A red star.",
    "How many shapes are there? There are 3 shapes.",
    "assistant user system",
]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """nano's shape with random weights, larger than at the start of training so that every logit differs."""
    tokenizer = train_tokenizer(TEXTS * 20, vocab_size=320)
    torch.manual_seed(0)
    model = Qwen2VL(nano_config(tokenizer))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.15 + (parameter.ndim == 1))
    directory = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(model, tokenizer, directory)
    return directory


@pytest.fixture(scope="session")
def engine(checkpoint):
    return LocalEngine.load(str(checkpoint), device="cpu", dtype="float32")
