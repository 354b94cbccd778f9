"""Frozen configurations of a Qwen2-VL, read from a checkpoint's `config.json` and written to one.

Values that contradict each other are refused with a UserError that quotes them. Imports no torch.
"""

from __future__ import annotations

import json
import math
import reprlib
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from qwen2vl_demo.errors import UserError

MAX_FILE_BYTES = 4 * 2**20  # of a checkpoint's small files; a config.json has a few kB
MAX_LAYERS = 256  # in each of the two towers; the largest released checkpoint has 80
MAX_HEADS = 1024
MAX_WIDTH = 2**17  # of hidden states, the largest released one being 8192; and of the MLPs, 8 times that
MAX_VOCABULARY = 2**20  # tokens; the released ones have 152,064
MAX_CONTEXT = 2**22  # positions


def shown(value: Any) -> str:
    """A value of a checkpoint's file as an error quotes it: its repr, shortened, also where it is nested or huge."""
    try:
        return _REPR.repr(value)
    except ValueError:  # an integer of thousands of digits
        return "a huge number"


_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 60


def read_text(path: Path, max_bytes: int = MAX_FILE_BYTES) -> str:
    """The UTF-8 text in a file of a checkpoint. Raises UserError, which names the file."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{path} is not a regular file; take the file again from its source.")
        if status.st_size > max_bytes:
            raise UserError(
                f"{path} has {status.st_size:,} bytes, and no Qwen2-VL needs more than {max_bytes:,} there; "
                "take the file again from its source."
            )
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(
            f"There is no {path.name} in {path.parent}; point --model at a Qwen2-VL checkpoint directory."
        ) from None
    except UnicodeDecodeError as broken:
        raise UserError(f"{path} is not valid UTF-8 ({broken}); take the file again from its source.") from None
    except OSError as problem:
        raise UserError(f"{path} cannot be read ({problem.strerror}); look at its permissions.") from None


def read_json_object(path: Path, max_bytes: int = MAX_FILE_BYTES) -> dict[str, Any]:
    """The JSON object in a file of a checkpoint. Raises UserError, which names the file, for anything else."""
    try:
        content = json.loads(read_text(path, max_bytes), parse_constant=_no_constant)
    except RecursionError:
        raise UserError(f"{path} is not valid JSON (nested too deeply); take the file again from its source.") from None
    except ValueError as broken:  # also an integer of more digits than Python reads
        raise UserError(f"{path} is not valid JSON ({broken}); take the file again from its source.") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a JSON object; take the file again from its source.")
    return content


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _need(ok: bool, sentence: str) -> None:
    if not ok:
        raise UserError(f"This config.json is not one that Qwen2-VL can run: {sentence}.")


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
    """A checkpoint: the two towers, and the ids of the tokens that mark pictures and clips."""

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
        """Reads both layouts: the text keys at the top level (the released files) or under `text_config`.

        Raises UserError for a key that is missing and for values that are of the wrong type or do not add up.
        """
        kind = raw.get("model_type")
        told = f'"{kind}"' if isinstance(kind, str) and len(kind) <= 40 and kind.isprintable() else shown(kind)
        _need(kind == "qwen2_vl", f'its model_type is {told} and not "qwen2_vl"; choose a Qwen2-VL checkpoint')
        _need(bool(raw.get("vision_config")), "it has no vision_config")
        vision, text = _object(raw, "vision_config"), {**raw, **_object(raw, "text_config")}
        rope = _object(text, "rope_parameters") or _object(text, "rope_scaling")
        return cls(
            vision=VisionConfig(
                depth=_integer(vision, "depth", maximum=MAX_LAYERS),
                embed_dim=_integer(vision, "embed_dim", maximum=MAX_WIDTH),
                num_heads=_integer(vision, "num_heads", maximum=MAX_HEADS),
                mlp_ratio=_number(vision, "mlp_ratio", maximum=64),
                out_dim=_integer(vision, "hidden_size", maximum=MAX_WIDTH),
                patch_size=_integer(vision, "patch_size", "spatial_patch_size", default=14, maximum=64),
                temporal_patch_size=_integer(vision, "temporal_patch_size", default=2, maximum=64),
                merge_size=_integer(vision, "spatial_merge_size", default=2, maximum=64),
                in_channels=_integer(vision, "in_channels", "in_chans", default=3, minimum=3, maximum=3),
            ),
            text=TextConfig(
                hidden_size=_integer(text, "hidden_size", maximum=MAX_WIDTH),
                num_layers=_integer(text, "num_hidden_layers", maximum=MAX_LAYERS),
                num_heads=_integer(text, "num_attention_heads", maximum=MAX_HEADS),
                num_kv_heads=_integer(text, "num_key_value_heads", maximum=MAX_HEADS),
                intermediate_size=_integer(text, "intermediate_size", maximum=8 * MAX_WIDTH),
                vocab_size=_integer(text, "vocab_size", maximum=MAX_VOCABULARY),
                mrope_section=_mrope_section(rope),
                rope_theta=float(_number(text if text.get("rope_theta") else rope, "rope_theta", maximum=1e12)),
                rms_norm_eps=float(_number(text, "rms_norm_eps", default=1e-6, maximum=1)),
                tie_word_embeddings=_switch({**text, **raw}, "tie_word_embeddings"),
                max_position_embeddings=_integer(text, "max_position_embeddings", default=32_768, maximum=MAX_CONTEXT),
            ),
            image_token_id=_integer(raw, "image_token_id", default=151655, minimum=0),
            video_token_id=_integer(raw, "video_token_id", default=151656, minimum=0),
            vision_start_token_id=_integer(raw, "vision_start_token_id", default=151652, minimum=0),
            vision_end_token_id=_integer(raw, "vision_end_token_id", default=151653, minimum=0),
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
            "rope_scaling": {"type": "mrope", "mrope_section": list(text.mrope_section)},
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


def _object(section: dict[str, Any], name: str) -> dict[str, Any]:
    """A nested object; empty where it is missing or null."""
    value = section.get(name)
    _need(value is None or isinstance(value, dict), f"its {name} is not an object")
    return value or {}


def _value(section: dict[str, Any], *names: str, default: Any = None) -> Any:
    """The first of these keys that is set, else the default. Raises UserError where both are missing."""
    value = next((section[name] for name in names if section.get(name) is not None), default)
    if value is None:
        raise UserError(f"This config.json has no {names[0]!r}; take the checkpoint's own config.json again.")
    return value


def _integer(
    section: dict[str, Any],
    *names: str,
    default: int | None = None,
    minimum: int = 1,
    maximum: int = MAX_VOCABULARY,
) -> int:
    value = _value(section, *names, default=default)
    is_valid = type(value) is int and value >= minimum
    _need(is_valid, f"its {names[0]} is {shown(value)} and not a whole number of at least {minimum}")
    _need(value <= maximum, f"its {names[0]} is {shown(value)}, and {maximum} is the most that can be")
    return int(value)


def _number(section: dict[str, Any], *names: str, default: float | None = None, maximum: float) -> float:
    value = _value(section, *names, default=default)
    is_valid = type(value) in (int, float) and value > 0 and (type(value) is int or math.isfinite(value))
    _need(is_valid, f"its {names[0]} is {shown(value)} and not a number above 0")
    _need(value <= maximum, f"its {names[0]} is {shown(value)}, and {maximum:g} is the most that can be")
    return value


def _switch(section: dict[str, Any], name: str) -> bool:
    value = section.get(name)
    _need(value is None or type(value) is bool, f"its {name} is {shown(value)} and neither true nor false")
    return bool(value)


def _mrope_section(rope: dict[str, Any]) -> tuple[int, int, int]:
    section = _value(rope, "mrope_section")
    is_section = isinstance(section, list) and len(section) == 3 and all(type(n) is int and n > 0 for n in section)
    _need(is_section, f"its mrope_section is {shown(section)} and not three whole numbers above 0")
    return (section[0], section[1], section[2])
