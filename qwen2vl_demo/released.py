"""The configurations of the released checkpoints, for comparisons without weights or downloads.

Copied from the config.json files of Qwen/Qwen2-VL-2B, 7B and 72B (Instruct). A loaded checkpoint always uses its own
config.json.
"""

from __future__ import annotations

from qwen2vl_demo.config import Qwen2VLConfig, TextConfig, VisionConfig


def _released(
    hidden: int, layers: int, heads: int, kv_heads: int, intermediate: int, vocab: int, *, tied: bool
) -> Qwen2VLConfig:
    return Qwen2VLConfig(
        vision=VisionConfig(depth=32, embed_dim=1280, num_heads=16, mlp_ratio=4, out_dim=hidden),  # the same in all
        text=TextConfig(
            hidden_size=hidden,
            num_layers=layers,
            num_heads=heads,
            num_kv_heads=kv_heads,
            intermediate_size=intermediate,
            vocab_size=vocab,
            mrope_section=(16, 24, 24),
            rope_theta=1_000_000.0,
            tie_word_embeddings=tied,
        ),
    )


RELEASED: dict[str, Qwen2VLConfig] = {
    "2B": _released(1536, 28, 12, 2, 8960, 151_936, tied=True),
    "7B": _released(3584, 28, 28, 4, 18_944, 152_064, tied=False),
    "72B": _released(8192, 80, 64, 8, 29_568, 152_064, tied=False),
}
REFERENCE = "2B"  # represents all of them where they agree, as in their rotary embeddings
RELEASED_ITEMSIZE = 2  # bytes a number: bfloat16
