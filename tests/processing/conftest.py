"""A small tokenizer in Qwen2's layout and a checkpoint directory without weights, made once for a test run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers

from qwen2vl_demo.processing.tokenizer import Tokenizer

SPECIAL_TOKENS = (  # noqa: SIM905  (a list of 14 strings reads worse)
    "<|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|> <|box_end|> "
    "<|quad_start|> <|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|> <|image_pad|> <|video_pad|>"
).split()

QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CORPUS = (
    "You are a helpful assistant.\nuser\nsystem\nassistant\n\n\nWhat is in this picture? Picture 1: Video 2: "
    "The red circle is left of the blue square. How many triangles are there? There are three of them, I'm sure.\n"
    "Répondez en français, s'il vous plaît. 图片里有什么？一只猫坐在红色的垫子上。 في الصورة قطة.\n"
    "<|im_end|>\n<|im_start|> def f(x):\n\n    return {'a': [1, 2, 3]}\n\n\n"
) * 8


@pytest.fixture(scope="session")
def tokenizer_json() -> str:
    """A trained byte-level BPE with the split, normaliser and special tokens of Qwen2-VL."""
    core = tokenizers.Tokenizer(models.BPE())
    core.normalizer = normalizers.NFC()
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(QWEN2_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        [CORPUS],
        trainers.BpeTrainer(
            vocab_size=512, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
        ),
    )
    core.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    return core.to_str()


@pytest.fixture(scope="session")
def checkpoint(tokenizer_json: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint directory in the official layout, without weights and without a template of its own."""
    directory = tmp_path_factory.mktemp("checkpoint")
    (directory / "tokenizer.json").write_text(tokenizer_json, encoding="utf-8")
    ids = {entry["content"]: entry["id"] for entry in json.loads(tokenizer_json)["added_tokens"]}
    config = {
        "model_type": "qwen2_vl",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 128,
        "vocab_size": 1024,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
        "rope_theta": 1e6,
        "max_position_embeddings": 4096,
        "vision_config": {
            "depth": 2,
            "embed_dim": 32,
            "num_heads": 2,
            "mlp_ratio": 4,
            "hidden_size": 64,
            "spatial_patch_size": 14,
            "in_chans": 3,
        },
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
    }
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "preprocessor_config.json").write_text(json.dumps({"min_pixels": 3136, "max_pixels": 12845056}))
    return directory


@pytest.fixture(scope="session")
def tokenizer(checkpoint: Path) -> Tokenizer:
    return Tokenizer.from_directory(checkpoint)
