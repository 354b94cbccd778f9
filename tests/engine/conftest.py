"""A tiny checkpoint with random weights, in the official layout, and the engine that loads it."""

import shutil
from dataclasses import replace

import pytest
import torch

from qwen2vl_demo.config import Qwen2VLConfig
from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.nano.checkpoint import nano_config, write_checkpoint
from qwen2vl_demo.nano.tokenizer import train_tokenizer
from qwen2vl_demo.resources import NANO

TEXTS = [
    "What is in this picture? A red star.",
    "How many shapes are there? There are 3 shapes.",
    "assistant user system",
]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """The shipped nano's shape with random weights, large enough that every logit differs."""
    tokenizer = train_tokenizer(TEXTS * 20, vocab_size=320)
    torch.manual_seed(0)
    shipped, own = Qwen2VLConfig.from_file(NANO / "config.json"), nano_config(tokenizer)
    text = replace(shipped.text, vocab_size=own.text.vocab_size)
    model = Qwen2VL(replace(own, vision=shipped.vision, text=text))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.15 + (parameter.ndim == 1))
    directory = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(model, tokenizer, directory, dtype=torch.float32)
    shutil.copy(NANO / "preprocessor_config.json", directory)
    return directory


@pytest.fixture(scope="session")
def engine(checkpoint):
    return LocalEngine.load(str(checkpoint), device="cpu", dtype="float32")
