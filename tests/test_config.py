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
        # what would be computed in another way was once ignored, and the answers were wrong
        (changed(hidden_act="gelu"), "hidden_act is 'gelu', and only silu"),
        (changed(vision_config={**RELEASED_2B["vision_config"], "hidden_act": "silu"}), "vision_config is 'silu'"),
        (
            changed(use_sliding_window=True, max_window_layers=21, sliding_window=4096),
            "layers 21 to 27 to the last 4,0",
        ),
        (changed(layer_types=["full_attention", "sliding_attention"]), "of the type 'sliding_attention'"),
        (changed(layer_types="x"), "layer_types is 'x' and no list"),
        (changed(head_dim=64), "head_dim is 64, not 128"),
        (changed(rope_scaling={"type": "dynamic", "factor": 2, "mrope_section": [16, 24, 24]}), "type 'dynamic'"),
        (changed(rope_scaling={"mrope_section": [16, 24, 24], "partial_rotary_factor": 0.5}), "factor is 0.5, not 1"),
        (changed(rope_scaling={"type": "yarn"}), "no 'factor'"),
        (changed(rope_scaling={"type": "yarn", "factor": "4"}), "factor is '4' and not a number"),
        (changed(rope_scaling={"type": "yarn", "factor": 4, "beta_fast": 1, "beta_slow": 2}), "beta_slow of its YaRN"),
        (changed(rope_scaling={"type": "yarn", "factor": 1000}), "asks for 32768000 positions"),
        (
            changed(rope_scaling={"type": "yarn", "factor": 4}, text_config={"rope_parameters": {"rope_theta": 1}}),
            "two",
        ),
        (changed(rope_scaling=None, hidden_size=768, num_attention_heads=12), "no mrope_section, .* heads of 64"),
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


YARN = {"type": "yarn", "factor": 4, "original_max_position_embeddings": 32768, "mrope_section": [16, 24, 24]}


def test_windows_that_cut_nothing_and_the_released_sections_are_taken():
    wide = changed(use_sliding_window=True, sliding_window=32768, max_window_layers=21)
    late = changed(use_sliding_window=True, sliding_window=4096, max_window_layers=28)
    bare = {key: value for key, value in RELEASED_2B.items() if key != "rope_scaling"}
    for raw in (wide, late, bare, changed(rope_scaling=None), changed(layer_types=["full_attention"] * 28)):
        assert Qwen2VLConfig.from_dict(raw) == RELEASED["2B"]


def test_embeddings_are_tied_where_either_place_says_so():
    for outer, inner in ((True, False), (False, True), (None, True)):
        raw = changed(tie_word_embeddings=outer, text_config={"tie_word_embeddings": inner})
        assert Qwen2VLConfig.from_dict(raw).text.tie_word_embeddings


def test_yarn_makes_the_context_longer():
    for key in ("type", "rope_type"):
        text = Qwen2VLConfig.from_dict(changed(rope_scaling={**YARN, "type": "yarn", key: "yarn"})).text
        assert text.yarn is not None and (text.yarn.factor, text.yarn.original_context) == (4, 32768)
        assert text.max_position_embeddings == 131072
    stated = changed(rope_scaling={"type": "yarn", "original_max_position_embeddings": 8192})
    found = Qwen2VLConfig.from_dict(stated).text
    assert found.yarn is not None and found.yarn.factor == 4 and found.max_position_embeddings == 32768


@pytest.mark.parametrize(
    "config",
    [
        *RELEASED.values(),
        *(Qwen2VLConfig.from_dict(changed(**c)) for c in ({"rope_theta": 50.0}, {"rope_scaling": YARN})),
    ],
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
