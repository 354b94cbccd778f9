"""nano's configuration, and writing its checkpoint in the official layout, which anything that reads Qwen2-VL reads."""

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
from qwen2vl_demo.processing.image import ImageConfig

MIN_PIXELS = 4 * FACTOR * FACTOR  # nano is trained on pictures of 4 ...
MAX_PIXELS = 1024 * FACTOR * FACTOR  # ... to 1,024 merged tokens
MAX_FRAMES = 12  # of a clip, and on no longer one
CONTEXT = 8192
IMAGE = ImageConfig(MIN_PIXELS, MAX_PIXELS)  # normalised as by the released checkpoints


def nano_config(tokenizer: Tokenizer) -> Qwen2VLConfig:
    """A Qwen2-VL of 11 million parameters.

    With the released theta of a million, the h and w bands would hardly rotate over the few tokens of a small picture,
    and the language model could not tell left from right; nano's theta is small enough for that.
    """

    def special(token: str) -> int:
        found = tokenizer.token_to_id(token)
        assert found is not None, f"the tokenizer lacks {token}"
        return found

    hidden = 192
    return Qwen2VLConfig(
        vision=VisionConfig(depth=8, embed_dim=256, num_heads=4, mlp_ratio=4, out_dim=hidden),
        text=TextConfig(
            hidden_size=hidden,
            num_layers=8,
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


def config_json(config: Qwen2VLConfig, end: int, pad: int, dtype: torch.dtype) -> dict[str, object]:
    """The content of config.json: the configuration, and what other software expects in one."""
    return {
        "architectures": ["Qwen2VLForConditionalGeneration"],
        **config.to_dict(),
        "attention_dropout": 0.0,
        "bos_token_id": pad,
        "eos_token_id": end,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "max_window_layers": config.text.num_layers,
        "sliding_window": config.text.max_position_embeddings,
        "use_sliding_window": False,
        "torch_dtype": str(dtype).removeprefix("torch."),
        "use_cache": True,
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
    "max_frames": MAX_FRAMES,
    "region_questions": False,
    "image_mean": list(IMAGE.image_mean),
    "image_std": list(IMAGE.image_std),
}


def write_checkpoint(
    model: Qwen2VL, tokenizer: Tokenizer, directory: Path, *, dtype: torch.dtype = torch.bfloat16
) -> None:
    """Writes config.json, model.safetensors, the preprocessor's and generation settings, and the tokenizer's files."""
    directory.mkdir(parents=True, exist_ok=True)
    end, pad = tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")
    assert end is not None and pad is not None

    def write(name: str, content: object) -> None:
        (directory / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    write("config.json", config_json(model.config, end, pad, dtype))
    write("preprocessor_config.json", PREPROCESSOR)
    write(
        "generation_config.json",
        {"bos_token_id": pad, "pad_token_id": pad, "eos_token_id": [end, pad], "do_sample": False},
    )
    write_tokenizer(tokenizer, directory)
    weights = {name: tensor.to(dtype).contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
