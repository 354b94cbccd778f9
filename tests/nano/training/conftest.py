"""A small tokenizer with nano's model shape, and random batches, for the tests of training."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer as RawTokenizer

from qwen2vl_demo.config import Qwen2VLConfig
from qwen2vl_demo.nano.checkpoint import nano_config
from qwen2vl_demo.nano.dialogue.generator import random_dialogue
from qwen2vl_demo.nano.tokenizer import train_tokenizer, vocabulary_texts, write_tokenizer
from qwen2vl_demo.nano.training.batches import Batch, collate
from qwen2vl_demo.processing.chat import ChatTemplate
from qwen2vl_demo.processing.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def raw_tokenizer() -> RawTokenizer:
    """The tokenizer as an object of the `tokenizers` library."""
    return train_tokenizer(vocabulary_texts(200, 0), vocab_size=600)


@pytest.fixture(scope="session")
def tokenizer_directory(raw_tokenizer: RawTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(raw_tokenizer, directory)
    return directory


@pytest.fixture(scope="session")
def tokenizer(tokenizer_directory: Path) -> Tokenizer:
    return Tokenizer.from_directory(tokenizer_directory)


@pytest.fixture(scope="session")
def template(tokenizer_directory: Path) -> ChatTemplate:
    return ChatTemplate.from_directory(tokenizer_directory)


@pytest.fixture(scope="session")
def config(raw_tokenizer: RawTokenizer) -> Qwen2VLConfig:
    return nano_config(raw_tokenizer)


@pytest.fixture(scope="session")
def make_batch(tokenizer: Tokenizer, template: ChatTemplate, config: Qwen2VLConfig) -> Callable[..., Batch]:
    """`make_batch(kind, ...)` is a batch of random dialogues of one kind, which `Batch.dialogues` holds."""

    def make(kind: str, seed: int = 0, count: int = 2, size: tuple[int, int] = (112, 140), turns: int = 3) -> Batch:
        rng = np.random.default_rng(seed)
        dialogues = [random_dialogue(rng, kind, size=size, frames=4, turns=turns) for _ in range(count)]
        return collate(kind, dialogues, tokenizer, template)

    return make
