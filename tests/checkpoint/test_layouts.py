"""Checkpoint directories as people have them, against transformers on the same files: the same greedy tokens."""

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from qwen2vl_demo.config import Qwen2VLConfig
from qwen2vl_demo.released import RELEASED
from tests.checkpoint.greedy import edit, our_tokens, their_tokens
from tests.engine.broken_checkpoints import copy_of_nano

YARN = {"type": "yarn", "mrope_section": [8, 12, 12], "factor": 4.0, "original_max_position_embeddings": 32}
# What transformers 4.45 wrote into the config.json of the 7B-AWQ, without its quantization_config.
OLD_7B = {
    "architectures": ["Qwen2VLForConditionalGeneration"],
    "hidden_act": "silu",
    "hidden_size": 3584,
    "image_token_id": 151655,
    "intermediate_size": 18944,
    "max_position_embeddings": 32768,
    "max_window_layers": 28,
    "model_type": "qwen2_vl",
    "num_attention_heads": 28,
    "num_hidden_layers": 28,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-06,
    "rope_scaling": {"mrope_section": [16, 24, 24], "rope_type": "default", "type": "default"},
    "rope_theta": 1000000.0,
    "sliding_window": 32768,
    "tie_word_embeddings": False,
    "use_sliding_window": False,
    "video_token_id": 151656,
    "vision_config": {"in_chans": 3, "model_type": "qwen2_vl", "spatial_patch_size": 14},
    "vision_end_token_id": 151653,
    "vision_start_token_id": 151652,
    "vocab_size": 152064,
}


@pytest.fixture
def nano(tmp_path):
    return copy_of_nano(tmp_path / "nano")


def random_model(directory, vision):
    """A tiny checkpoint, saved by transformers."""
    config = transformers.Qwen2VLConfig(
        text_config=dict(
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            intermediate_size=96,
            vocab_size=160,
            rope_parameters={"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 6, 6]},
            max_position_embeddings=512,
        ),
        vision_config=vision,
        image_token_id=155,
        video_token_id=156,
        vision_start_token_id=152,
        vision_end_token_id=153,
    )
    torch.manual_seed(0)
    model = transformers.Qwen2VLForConditionalGeneration(config)
    with torch.no_grad():  # the default start is so small that every logit would look alike
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * (0.25 if parameter.ndim > 1 else 0.1))
            if parameter.ndim == 1:
                parameter.add_(1.0)
    model.save_pretrained(directory)


def test_a_vision_config_of_transformers_4_45_has_the_architectures_defaults():
    """It left out what is the same as its own defaults, which the weights of all released sizes have."""
    assert Qwen2VLConfig.from_dict(OLD_7B) == RELEASED["7B"]
    two = {**OLD_7B, "vision_config": {**OLD_7B["vision_config"], "hidden_size": 1536}, "tie_word_embeddings": True}
    two.update(hidden_size=1536, num_attention_heads=12, num_key_value_heads=2, intermediate_size=8960)
    assert Qwen2VLConfig.from_dict({**two, "vocab_size": 151936}) == RELEASED["2B"]
    theirs = transformers.Qwen2VLConfig.from_dict(json.loads(json.dumps(OLD_7B)))
    assert Qwen2VLConfig.from_dict(theirs.to_dict()) == RELEASED["7B"]


def test_an_old_vision_config_writes_the_same_tokens(tmp_path):
    """16 heads and an MLP of 4 times the width are defaults, and therefore not in the file."""
    random_model(tmp_path, dict(depth=2, embed_dim=64, hidden_size=64))
    config = json.loads((tmp_path / "config.json").read_text())
    vision = {"depth": 2, "embed_dim": 64, "hidden_size": 64, "in_chans": 3, "model_type": "qwen2_vl"}
    old = {**config.pop("text_config"), **config, "vision_config": {**vision, "spatial_patch_size": 14}}
    rope = old.pop("rope_parameters")
    old["rope_theta"] = rope.pop("rope_theta")
    old["rope_scaling"] = {**rope, "type": "default"}
    (tmp_path / "config.json").write_text(json.dumps(old))
    assert our_tokens(tmp_path) == their_tokens(tmp_path)


def test_yarn_writes_the_same_tokens_and_others_than_without(nano):
    plain = our_tokens(nano)
    edit(nano, rope_scaling=YARN)
    tokens = our_tokens(nano)
    assert tokens == their_tokens(nano)
    assert tokens != plain


def test_an_output_layer_that_is_not_in_the_files_is_the_embedding(nano):
    expected = their_tokens(nano)
    for tie in (None, False):
        edit(nano, tie_word_embeddings=tie)
        assert our_tokens(nano) == expected


def test_an_output_layer_that_differs_from_the_embedding_is_used_though_they_are_called_tied(nano):
    """As after training both; a repeated embedding is none of its own (test_load.py)."""
    tied = our_tokens(nano)
    weights = load_file(nano / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].flip(0)
    (nano / "model.safetensors").unlink()
    save_file(weights, nano / "model.safetensors", {"format": "pt"})
    tokens = our_tokens(nano)
    assert tokens == their_tokens(nano) != tied


def test_an_output_layer_of_its_own_is_used(tmp_path):
    random_model(tmp_path, dict(depth=1, embed_dim=64, hidden_size=64))
    assert our_tokens(tmp_path) == their_tokens(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    alone = our_tokens(tmp_path)
    edit(tmp_path, tie_word_embeddings=True)
    assert alone == their_tokens(tmp_path)
