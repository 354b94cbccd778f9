"""The released configurations read right, and what does not add up is refused with both numbers."""

import json

import pytest

from qwen2vl_demo.config import Qwen2VLConfig
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.released import RELEASED

RELEASED_2B = {
    "model_type": "qwen2_vl",
    "hidden_size": 1536,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "intermediate_size": 8960,
    "vocab_size": 151936,
    "rope_theta": 1000000.0,
    "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
    "tie_word_embeddings": True,
    "rms_norm_eps": 1e-06,
    "max_position_embeddings": 32768,
    "vision_config": {
        "depth": 32,
        "embed_dim": 1280,
        "mlp_ratio": 4,
        "num_heads": 16,
        "in_chans": 3,
        "hidden_size": 1536,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "spatial_patch_size": 14,
        "temporal_patch_size": 2,
    },
}


def changed(**changes):
    return {**RELEASED_2B, **changes}


def test_the_released_2b_configuration():
    config = Qwen2VLConfig.from_dict(RELEASED_2B)
    assert (config.vision.head_dim, config.vision.mlp_dim, config.vision.patch_dim) == (80, 5120, 1176)
    assert config.vision.factor == 28
    assert (config.text.head_dim, config.text.num_kv_heads, config.text.tie_word_embeddings) == (128, 2, True)
    assert config.image_token_id == 151655


def test_the_newer_layout_reads_the_same():
    text = {k: v for k, v in RELEASED_2B.items() if k not in ("vision_config", "rope_scaling", "rope_theta")}
    text["rope_parameters"] = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
    newer = {"model_type": "qwen2_vl", "text_config": text, "vision_config": RELEASED_2B["vision_config"]}
    assert Qwen2VLConfig.from_dict(newer) == Qwen2VLConfig.from_dict(RELEASED_2B)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (changed(model_type="qwen2_5_vl"), 'model_type is "qwen2_5_vl"'),
        (changed(num_key_value_heads=5), "12 query heads cannot share 5"),
        (changed(rope_scaling={"mrope_section": [16, 24, 20]}), "sums to 60, but a head of 128 numbers has 64"),
        (changed(hidden_size=1537), "1537 is no multiple"),
        (changed(hidden_size=768, num_attention_heads=6), "hands over 1536 numbers a token"),
        (changed(vision_config=None), "no vision_config"),
        ({k: v for k, v in RELEASED_2B.items() if k != "vocab_size"}, "no 'vocab_size'"),
        (changed(vision_config=[1]), "vision_config is not an object"),
        (changed(text_config="x"), "text_config is not an object"),
        (changed(rope_scaling=[16, 24, 24]), "rope_scaling is not an object"),
        (changed(rope_scaling={"mrope_section": 64}), "mrope_section is 64 and not three whole numbers"),
        (changed(rope_scaling={"mrope_section": [16, 48]}), r"mrope_section is \[16, 48\]"),
        (changed(hidden_size="1536"), "hidden_size is '1536' and not a whole number"),
        (changed(num_attention_heads=0), "num_attention_heads is 0"),
        (changed(num_hidden_layers=True), "num_hidden_layers is True"),
        (changed(rope_theta=[1]), r"rope_theta is \[1\] and not a number"),
        ({k: v for k, v in RELEASED_2B.items() if k != "rope_theta"}, "no 'rope_theta'"),
    ],
)
def test_what_does_not_add_up_is_refused_in_words(raw, words):
    with pytest.raises(UserError, match=words):
        Qwen2VLConfig.from_dict(raw)


def test_a_missing_and_a_broken_file_say_what_to_do(tmp_path):
    path = tmp_path / "config.json"
    with pytest.raises(UserError, match="point --model at"):
        Qwen2VLConfig.from_file(path)
    path.write_text(json.dumps(RELEASED_2B)[:-5])
    with pytest.raises(UserError, match="not valid JSON"):
        Qwen2VLConfig.from_file(path)


@pytest.mark.parametrize("content", ["[]", '"qwen2_vl"', "null", "3", '[{"model_type": "qwen2_vl"}]'])
def test_json_that_is_no_object_is_refused_by_name(tmp_path, content):
    """A list ended in "AttributeError: 'list' object has no attribute 'get'"."""
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"config\.json is not a JSON object"):
        Qwen2VLConfig.from_file(path)


def test_bytes_that_are_no_text_are_refused_by_name(tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(UserError, match=r"config\.json is not valid UTF-8"):
        Qwen2VLConfig.from_file(path)


@pytest.mark.parametrize(
    "config", [*RELEASED.values(), Qwen2VLConfig.from_dict(changed(image_token_id=7, rope_theta=50.0))]
)
def test_what_is_written_reads_the_same_in_both_layouts(config):
    written = json.loads(json.dumps(config.to_dict()))
    assert Qwen2VLConfig.from_dict(written) == config
    outside = ("model_type", "vision_config", "image_token_id", "video_token_id")
    outside += ("vision_start_token_id", "vision_end_token_id")
    nested = {key: written[key] for key in outside}
    nested["text_config"] = {key: value for key, value in written.items() if key not in outside}
    assert Qwen2VLConfig.from_dict(nested) == config


def test_the_released_2b_configuration_is_that_of_its_file():
    assert Qwen2VLConfig.from_dict(RELEASED_2B) == RELEASED["2B"]
