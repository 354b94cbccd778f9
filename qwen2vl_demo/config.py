"""Frozen configurations of a Qwen2-VL, read from a checkpoint's `config.json` and written to one.

Values that contradict each other are refused with a UserError that quotes them. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen2vl_demo.json_values import (
    integer_in,
    need,
    number_in,
    object_in,
    read_json_object,
    shown,
    switch_in,
)
from qwen2vl_demo.yarn import Yarn, read_yarn

MAX_LAYERS = 256  # in each of the two towers; the largest released checkpoint has 80
MAX_HEADS = 1024
MAX_WIDTH = 2**17  # of hidden states, the largest released one being 8192; and of the MLPs, 8 times that
MAX_VOCABULARY = 2**20  # tokens; the released ones have 152,064
MAX_CONTEXT = 2**22  # positions
RELEASED_HEAD_DIM = 128
RELEASED_SECTION = (16, 24, 24)  # the mrope_section of such heads, where a config.json has none


@dataclass(frozen=True)
class VisionConfig:
    """The vision transformer (ViT) and the merger that follows it."""

    depth: int  # transformer blocks
    embed_dim: int  # width of the ViT; `hidden_size` in a vision_config is the language width
    num_heads: int
    mlp_ratio: float
    out_dim: int  # width of a merged token = the language model's width
    patch_size: int = 14  # px, side of a patch
    temporal_patch_size: int = 2  # frames that fuse into one patch
    merge_size: int = 2  # 2x2 patches become one merged token
    in_channels: int = 3

    def __post_init__(self) -> None:
        need(
            self.embed_dim % self.num_heads == 0,
            f"the vision width {self.embed_dim} is no multiple of its {self.num_heads} heads",
        )
        need(
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
        """Values in one patch: channels x frames x rows x columns (1176)."""
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
    mrope_section: tuple[int, int, int]  # frequency pairs of a head for t, h and w
    rope_theta: float = 1_000_000.0
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = False
    max_position_embeddings: int = 32_768  # with YaRN those after stretching
    yarn: Yarn | None = None

    def __post_init__(self) -> None:
        need(
            self.hidden_size % self.num_heads == 0,
            f"the width {self.hidden_size} is no multiple of its {self.num_heads} heads",
        )
        need(
            self.num_heads % self.num_kv_heads == 0,
            f"{self.num_heads} query heads cannot share {self.num_kv_heads} key-value heads evenly",
        )
        need(
            sum(self.mrope_section) * 2 == self.head_dim,
            f"mrope_section {list(self.mrope_section)} sums to {sum(self.mrope_section)}, "
            f"but a head of {self.head_dim} numbers has {self.head_dim // 2} frequency pairs",
        )

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_heads


@dataclass(frozen=True)
class Qwen2VLConfig:
    """A checkpoint: the two towers, and the ids of the tokens that mark pictures and clips."""

    vision: VisionConfig
    text: TextConfig
    image_token_id: int = 151655
    video_token_id: int = 151656
    vision_start_token_id: int = 151652
    vision_end_token_id: int = 151653

    def __post_init__(self) -> None:
        need(
            self.vision.out_dim == self.text.hidden_size,
            f"the vision part hands over {self.vision.out_dim} numbers a token "
            f"but the language model is {self.text.hidden_size} wide",
        )

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> Qwen2VLConfig:
        """Reads both layouts: the text keys at the top level (the released files) or under `text_config`. What
        transformers 4.45 to 4.49 left out of a `vision_config` has the architecture's defaults.

        Raises UserError for a key that is missing, for values that are of the wrong type or do not add up, and for
        what this implementation does not compute, such as a sliding window.
        """
        kind = raw.get("model_type")
        told = f'"{kind}"' if isinstance(kind, str) and len(kind) <= 40 and kind.isprintable() else shown(kind)
        need(kind == "qwen2_vl", f'its model_type is {told} and not "qwen2_vl"; choose a Qwen2-VL checkpoint')
        need(bool(raw.get("vision_config")), "it has no vision_config")
        text = {**raw, **object_in(raw, "text_config")}
        return cls(
            vision=_vision_config(object_in(raw, "vision_config"), text),
            text=_text_config(text, raw),
            image_token_id=integer_in(raw, "image_token_id", default=151655, minimum=0),
            video_token_id=integer_in(raw, "video_token_id", default=151656, minimum=0),
            vision_start_token_id=integer_in(raw, "vision_start_token_id", default=151652, minimum=0),
            vision_end_token_id=integer_in(raw, "vision_end_token_id", default=151653, minimum=0),
        )

    @classmethod
    def from_file(cls, path: Path) -> Qwen2VLConfig:
        """Reads a config.json. Raises UserError."""
        return cls.from_dict(read_json_object(path))

    def to_dict(self) -> dict[str, Any]:
        """The content of a config.json, in the layout of the released files: the inverse of `from_dict`."""
        text, vision = self.text, self.vision
        return {
            "model_type": "qwen2_vl",
            "hidden_size": text.hidden_size,
            "num_hidden_layers": text.num_layers,
            "num_attention_heads": text.num_heads,
            "num_key_value_heads": text.num_kv_heads,
            "intermediate_size": text.intermediate_size,
            "vocab_size": text.vocab_size,
            "max_position_embeddings": text.max_position_embeddings,
            "rms_norm_eps": text.rms_norm_eps,
            "rope_theta": text.rope_theta,
            "rope_scaling": {
                **({"type": "mrope"} if text.yarn is None else text.yarn.to_dict()),
                "mrope_section": list(text.mrope_section),
            },
            "tie_word_embeddings": text.tie_word_embeddings,
            "image_token_id": self.image_token_id,
            "video_token_id": self.video_token_id,
            "vision_start_token_id": self.vision_start_token_id,
            "vision_end_token_id": self.vision_end_token_id,
            "vision_config": {
                "model_type": "qwen2_vl",
                "depth": vision.depth,
                "embed_dim": vision.embed_dim,
                "num_heads": vision.num_heads,
                "mlp_ratio": vision.mlp_ratio,
                "hidden_size": vision.out_dim,
                "in_channels": vision.in_channels,
                "in_chans": vision.in_channels,
                "patch_size": vision.patch_size,
                "spatial_patch_size": vision.patch_size,
                "spatial_merge_size": vision.merge_size,
                "temporal_patch_size": vision.temporal_patch_size,
            },
        }


def _vision_config(vision: dict[str, Any], text: dict[str, Any]) -> VisionConfig:
    act = vision.get("hidden_act")
    need(act in (None, "quick_gelu"), f"the hidden_act of its vision_config is {shown(act)}, not quick_gelu")
    return VisionConfig(
        depth=integer_in(vision, "depth", default=32, maximum=MAX_LAYERS),
        embed_dim=integer_in(vision, "embed_dim", default=1280, maximum=MAX_WIDTH),
        num_heads=integer_in(vision, "num_heads", default=16, maximum=MAX_HEADS),
        mlp_ratio=number_in(vision, "mlp_ratio", default=4, maximum=64),
        out_dim=integer_in(vision if vision.get("hidden_size") is not None else text, "hidden_size", maximum=MAX_WIDTH),
        patch_size=integer_in(vision, "patch_size", "spatial_patch_size", default=14, maximum=64),
        temporal_patch_size=integer_in(vision, "temporal_patch_size", default=2, maximum=64),
        merge_size=integer_in(vision, "spatial_merge_size", default=2, maximum=64),
        in_channels=integer_in(vision, "in_channels", "in_chans", default=3, minimum=3, maximum=3),
    )


def _text_config(text: dict[str, Any], raw: dict[str, Any]) -> TextConfig:
    layers = integer_in(text, "num_hidden_layers", maximum=MAX_LAYERS)
    heads = integer_in(text, "num_attention_heads", maximum=MAX_HEADS)
    width = integer_in(text, "hidden_size", maximum=MAX_WIDTH)
    context = integer_in(text, "max_position_embeddings", default=32_768, maximum=MAX_CONTEXT)
    _refuse_other_layers(text, layers, context)
    if text.get("head_dim") is not None:
        need(text["head_dim"] == width // heads, f"its head_dim is {shown(text['head_dim'])}, not {width // heads}")
    rope = _rope(text, raw)
    theta = float(number_in(rope if rope.get("rope_theta") is not None else text, "rope_theta", maximum=1e12))
    yarn = read_yarn(rope, {"max_position_embeddings": context, **text}, theta) if _rope_type(rope) == "yarn" else None
    if yarn is not None:
        context = max(context, yarn.context)
        need(context <= MAX_CONTEXT, f"its YaRN asks for {context} positions, and {MAX_CONTEXT} is the most")
    return TextConfig(
        hidden_size=width,
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=integer_in(text, "num_key_value_heads", maximum=MAX_HEADS),
        intermediate_size=integer_in(text, "intermediate_size", maximum=8 * MAX_WIDTH),
        vocab_size=integer_in(text, "vocab_size", maximum=MAX_VOCABULARY),
        mrope_section=_mrope_section(rope, width // heads),
        rope_theta=theta,
        rms_norm_eps=float(number_in(text, "rms_norm_eps", default=1e-5, maximum=1)),
        tie_word_embeddings=any(switch_in(place, "tie_word_embeddings") for place in (raw, text)),
        max_position_embeddings=context,
        yarn=yarn,
    )


def _refuse_other_layers(text: dict[str, Any], layers: int, context: int) -> None:
    """Raises UserError for layers that transformers would compute in another way."""
    act = text.get("hidden_act")
    need(act in (None, "silu", "swish"), f"its hidden_act is {shown(act)}, and only silu is computed here")
    if switch_in(text, "use_sliding_window") and text.get("sliding_window", 4096) is not None:
        window = integer_in(text, "sliding_window", default=4096, maximum=MAX_CONTEXT)
        first = integer_in(text, "max_window_layers", default=80, minimum=0)
        need(
            window >= context or first >= layers,
            f"its use_sliding_window limits layers {first} to {layers - 1} to the last {window:,} positions, which is "
            "not computed here; let vLLM answer, behind --engine-url",
        )
    kinds = text.get("layer_types")
    need(kinds is None or isinstance(kinds, list), f"its layer_types is {shown(kinds)} and no list")
    other = next((kind for kind in kinds or [] if kind != "full_attention"), None)
    need(other is None, f"it has layers of the type {shown(other)}, and only full_attention is computed here")


def _rope(text: dict[str, Any], raw: dict[str, Any]) -> dict[str, Any]:
    """The parameters of the rotary embeddings, which may be under two names and in two places.

    Raises UserError for a kind that is not computed here, and where the places disagree.
    """
    names = ("rope_scaling", "rope_parameters")
    found = [rope for place in (text, raw) for name in names if (rope := object_in(place, name))]
    for rope in found:
        kind = _rope_type(rope)
        need(kind in ("default", "yarn"), f"its rotary embeddings are of the type {shown(kind)}, not default or yarn")
        share = rope.get("partial_rotary_factor")
        need(share in (None, 1), f"its partial_rotary_factor is {shown(share)}, not 1")
    kinds = {str(_rope_type(rope)) for rope in found}
    need(len(kinds) < 2, "it gives its rotary embeddings two types, default and yarn, in different places; keep one")
    return found[0] if found else {}


def _rope_type(rope: dict[str, Any]) -> Any:
    kind = next((rope[key] for key in ("rope_type", "type") if rope.get(key) is not None), "default")
    return "default" if kind == "mrope" else kind


def _mrope_section(rope: dict[str, Any], head_dim: int) -> tuple[int, int, int]:
    section = rope.get("mrope_section")
    if section is None:
        need(
            head_dim == RELEASED_HEAD_DIM,
            f"it has no mrope_section, and no other is known for heads of {head_dim} numbers",
        )
        return RELEASED_SECTION
    is_section = isinstance(section, list) and len(section) == 3 and all(type(n) is int and n > 0 for n in section)
    need(is_section, f"its mrope_section is {shown(section)} and not three whole numbers above 0")
    return (section[0], section[1], section[2])
