"""YaRN against transformers: the same frequencies and the same scale of cos and sin."""

import numpy as np
import pytest
import transformers
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from qwen2vl_demo.config import Qwen2VLConfig

SCALINGS = [
    {"factor": 4.0, "original_max_position_embeddings": 32768},
    {"factor": 4.0},
    {"factor": 2.5, "original_max_position_embeddings": 32, "truncate": False},
    {"factor": 8, "original_max_position_embeddings": 4096, "beta_fast": 16, "beta_slow": 2},
    {"factor": 40, "original_max_position_embeddings": 4096, "mscale": 0.707, "mscale_all_dim": 1.0},
    {"factor": 4, "original_max_position_embeddings": 4, "attention_factor": 1.5},  # shorter than a turn
    {"factor": 0.5, "original_max_position_embeddings": 32768},
]


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("theta", [1e6, 50.0])
def test_frequencies_and_scale_are_those_of_transformers(scaling, theta):
    raw = {
        "model_type": "qwen2_vl",
        "hidden_size": 512,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "intermediate_size": 64,
        "vocab_size": 100,
        "rope_theta": theta,
        "rope_scaling": {"type": "yarn", "mrope_section": [16, 24, 24], **scaling},
        "max_position_embeddings": 32768,
        "vision_config": {"hidden_size": 512},
    }
    theirs = transformers.Qwen2VLConfig.from_dict({**raw, "rope_scaling": dict(raw["rope_scaling"])}).text_config
    expected, scale = ROPE_INIT_FUNCTIONS["yarn"](theirs)
    yarn = Qwen2VLConfig.from_dict(raw).text.yarn
    assert yarn is not None
    np.testing.assert_allclose(yarn.inverse_frequencies(64, theta), expected.double().numpy(), rtol=2e-6)
    assert yarn.attention_factor == pytest.approx(scale, rel=1e-6)
