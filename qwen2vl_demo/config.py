"""Frozen configurations, read from a checkpoint's `config.json`; refuses what does not add up.

Knows the shapes of a Qwen2-VL and nothing else: no torch, no files but the JSON it is handed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen2vl_demo.errors import UserError


def _need(ok: bool, sentence: str) -> None:
    if not ok:
        raise UserError(f"This config.json is not one that Qwen2-VL can run: {sentence}.")


@dataclass(frozen=True)
class VisionConfig:
    """The vision transformer (ViT) and the merger behind it."""

    depth: int  # transformer blocks
    embed_dim: int  # width of the ViT; the checkpoints call the language width `hidden_size` here
    num_heads: int
    mlp_ratio: float
    out_dim: int  # width of a merged token = the language model's width
    patch_size: int = 14  # px, side of a patch
    temporal_patch_size: int = 2  # frames that fuse into one patch
    merge_size: int = 2  # 2x2 patches become one merged token
    in_channels: int = 3

    def __post_init__(self) -> None:
        _need(
            self.embed_dim % self.num_heads == 0,
            f"the vision width {self.embed_dim} is no multiple of its {self.num_heads} heads",
        )
        _need(
            self.head_dim % 4 == 0,
            f"a vision head of {self.head_dim} numbers cannot be turned by row and column in pairs (a multiple of 4)",
        )

    @property
    def head_dim(self) -> int:
        return self.embed_dim // self.num_heads

    @property
    def mlp_dim(self) -> int:
        return int(self.embed_dim * self.mlp_ratio)

    @property
    def factor(self) -> int:
        """Side of one merged token in pixels (28)."""
        return self.patch_size * self.merge_size

    @property
    def patch_dim(self) -> int:
        """Numbers in one patch: channels x frames x rows x columns (1176)."""
        return self.in_channels * self.temporal_patch_size * self.patch_size**2


@dataclass(frozen=True)
class TextConfig:
    """The Qwen2 language model with M-RoPE."""

    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    intermediate_size: int
    vocab_size: int
    mrope_section: tuple[int, int, int]  # frequency pairs of a head given to t, h and w
    rope_theta: float = 1_000_000.0
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = False
    max_position_embeddings: int = 32_768

    def __post_init__(self) -> None:
        _need(
            self.hidden_size % self.num_heads == 0,
            f"the width {self.hidden_size} is no multiple of its {self.num_heads} heads",
        )
        _need(
            self.num_heads % self.num_kv_heads == 0,
            f"{self.num_heads} query heads cannot share {self.num_kv_heads} key-value heads evenly",
        )
        _need(
            sum(self.mrope_section) * 2 == self.head_dim,
            f"mrope_section {list(self.mrope_section)} sums to {sum(self.mrope_section)}, "
            f"but a head of {self.head_dim} numbers has {self.head_dim // 2} frequency pairs",
        )

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_heads


@dataclass(frozen=True)
class Qwen2VLConfig:
    """A whole checkpoint: both towers and the ids of the tokens that the geometry needs."""

    vision: VisionConfig
    text: TextConfig
    image_token_id: int = 151655
    video_token_id: int = 151656
    vision_start_token_id: int = 151652
    vision_end_token_id: int = 151653

    def __post_init__(self) -> None:
        _need(
            self.vision.out_dim == self.text.hidden_size,
            f"the vision part hands over {self.vision.out_dim} numbers a token "
            f"but the language model is {self.text.hidden_size} wide",
        )

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> Qwen2VLConfig:
        """Reads both layouts: the text keys at the top (the released files) or under `text_config`."""
        kind = raw.get("model_type")
        _need(kind == "qwen2_vl", f'its model_type is "{kind}" and not "qwen2_vl"; choose a Qwen2-VL checkpoint')
        text = {**raw, **raw.get("text_config", {})}
        rope = text.get("rope_parameters") or text.get("rope_scaling") or {}
        vision: dict[str, Any] = raw.get("vision_config") or {}
        _need(bool(vision), "it has no vision_config")
        try:
            return cls(
                vision=VisionConfig(
                    depth=vision["depth"],
                    embed_dim=vision["embed_dim"],
                    num_heads=vision["num_heads"],
                    mlp_ratio=vision["mlp_ratio"],
                    out_dim=vision["hidden_size"],
                    patch_size=vision.get("patch_size", vision.get("spatial_patch_size", 14)),
                    temporal_patch_size=vision.get("temporal_patch_size", 2),
                    merge_size=vision.get("spatial_merge_size", 2),
                    in_channels=vision.get("in_channels", vision.get("in_chans", 3)),
                ),
                text=TextConfig(
                    hidden_size=text["hidden_size"],
                    num_layers=text["num_hidden_layers"],
                    num_heads=text["num_attention_heads"],
                    num_kv_heads=text["num_key_value_heads"],
                    intermediate_size=text["intermediate_size"],
                    vocab_size=text["vocab_size"],
                    mrope_section=tuple(rope["mrope_section"]),
                    rope_theta=float(text.get("rope_theta") or rope["rope_theta"]),
                    rms_norm_eps=text.get("rms_norm_eps", 1e-6),
                    tie_word_embeddings=raw.get("tie_word_embeddings", text.get("tie_word_embeddings", False)),
                    max_position_embeddings=text.get("max_position_embeddings", 32_768),
                ),
                image_token_id=raw.get("image_token_id", 151655),
                video_token_id=raw.get("video_token_id", 151656),
                vision_start_token_id=raw.get("vision_start_token_id", 151652),
                vision_end_token_id=raw.get("vision_end_token_id", 151653),
            )
        except KeyError as missing:
            raise UserError(
                f"This config.json has no {missing.args[0]!r}; take the checkpoint's own config.json again."
            ) from None

    @classmethod
    def from_file(cls, path: Path) -> Qwen2VLConfig:
        try:
            return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise UserError(
                f"There is no {path.name} in {path.parent}; point --model at a Qwen2-VL checkpoint directory."
            ) from None
        except json.JSONDecodeError as broken:
            raise UserError(f"{path} is not valid JSON ({broken}); take the file again from its source.") from None
