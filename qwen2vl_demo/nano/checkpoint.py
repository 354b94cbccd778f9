"""nano's shape, and its checkpoint directory in the official layout, readable by anything that reads Qwen2-VL."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from qwen2vl_demo.config import Qwen2VLConfig, TextConfig, VisionConfig
from qwen2vl_demo.geometry import FACTOR, MERGE_SIZE, PATCH_SIZE, TEMPORAL_PATCH_SIZE
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.nano.tokenizer import write_tokenizer

MIN_PIXELS = 16 * FACTOR * FACTOR  # nano was trained on pictures of 16 ...
MAX_PIXELS = 64 * FACTOR * FACTOR  # ... to 64 merged tokens; beyond that it would guess
CONTEXT = 4096  # positions; angles repeat slowly enough up to here
IMAGE_MEAN = [0.48145466, 0.4578275, 0.40821073]
IMAGE_STD = [0.26862954, 0.26130258, 0.27577711]


def nano_config(tokenizer: Tokenizer) -> Qwen2VLConfig:
    """A Qwen2-VL of 5 million parameters.

    The released theta of a million would hardly turn the h and w bands over the few tokens of a small picture,
    and the language model could not tell left from right: nano's theta is small enough that they do.
    """

    def special(token: str) -> int:
        found = tokenizer.token_to_id(token)
        assert found is not None, f"the tokenizer lacks {token}"
        return found

    hidden = 192
    return Qwen2VLConfig(
        vision=VisionConfig(depth=8, embed_dim=128, num_heads=2, mlp_ratio=4, out_dim=hidden),
        text=TextConfig(
            hidden_size=hidden,
            num_layers=6,
            num_heads=3,
            num_kv_heads=1,
            intermediate_size=512,
            vocab_size=tokenizer.get_vocab_size(),
            mrope_section=(8, 12, 12),
            rope_theta=50.0,
            tie_word_embeddings=True,
            max_position_embeddings=CONTEXT,
        ),
        image_token_id=special("<|image_pad|>"),
        video_token_id=special("<|video_pad|>"),
        vision_start_token_id=special("<|vision_start|>"),
        vision_end_token_id=special("<|vision_end|>"),
    )


def config_json(config: Qwen2VLConfig, end: int, pad: int) -> dict[str, object]:
    """The keys of a released `config.json`."""
    text, vision = config.text, config.vision
    return {
        "architectures": ["Qwen2VLForConditionalGeneration"],
        "model_type": "qwen2_vl",
        "attention_dropout": 0.0,
        "bos_token_id": pad,
        "eos_token_id": end,
        "hidden_act": "silu",
        "hidden_size": text.hidden_size,
        "initializer_range": 0.02,
        "intermediate_size": text.intermediate_size,
        "max_position_embeddings": text.max_position_embeddings,
        "max_window_layers": text.num_layers,
        "num_attention_heads": text.num_heads,
        "num_hidden_layers": text.num_layers,
        "num_key_value_heads": text.num_kv_heads,
        "rms_norm_eps": text.rms_norm_eps,
        "rope_theta": text.rope_theta,
        "rope_scaling": {"type": "mrope", "mrope_section": list(text.mrope_section)},
        "sliding_window": text.max_position_embeddings,
        "use_sliding_window": False,
        "tie_word_embeddings": text.tie_word_embeddings,
        "torch_dtype": "float32",
        "use_cache": True,
        "vocab_size": text.vocab_size,
        "image_token_id": config.image_token_id,
        "video_token_id": config.video_token_id,
        "vision_start_token_id": config.vision_start_token_id,
        "vision_end_token_id": config.vision_end_token_id,
        "vision_config": {
            "model_type": "qwen2_vl",
            "depth": vision.depth,
            "embed_dim": vision.embed_dim,
            "num_heads": vision.num_heads,
            "mlp_ratio": vision.mlp_ratio,
            "hidden_size": vision.out_dim,
            "in_chans": vision.in_channels,
            "in_channels": vision.in_channels,
            "patch_size": vision.patch_size,
            "spatial_patch_size": vision.patch_size,
            "spatial_merge_size": vision.merge_size,
            "temporal_patch_size": vision.temporal_patch_size,
            "hidden_act": "quick_gelu",
        },
    }


PREPROCESSOR = {
    "image_processor_type": "Qwen2VLImageProcessor",
    "processor_class": "Qwen2VLProcessor",
    "min_pixels": MIN_PIXELS,
    "max_pixels": MAX_PIXELS,
    "size": {"shortest_edge": MIN_PIXELS, "longest_edge": MAX_PIXELS},
    "patch_size": PATCH_SIZE,
    "temporal_patch_size": TEMPORAL_PATCH_SIZE,
    "merge_size": MERGE_SIZE,
    "image_mean": IMAGE_MEAN,
    "image_std": IMAGE_STD,
}


def write_checkpoint(model: Qwen2VL, tokenizer: Tokenizer, directory: Path) -> None:
    """config.json, model.safetensors, preprocessor and generation settings, and the tokenizer's files."""
    directory.mkdir(parents=True, exist_ok=True)
    end, pad = tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")
    assert end is not None and pad is not None

    def write(name: str, content: object) -> None:
        (directory / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    write("config.json", config_json(model.config, end, pad))
    write("preprocessor_config.json", PREPROCESSOR)
    write(
        "generation_config.json",
        {"bos_token_id": pad, "pad_token_id": pad, "eos_token_id": [end, pad], "do_sample": False},
    )
    write_tokenizer(tokenizer, directory)
    weights = {name: tensor.to(torch.float32).contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
