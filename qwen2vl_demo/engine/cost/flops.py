"""The cost of a prompt in floating-point operations and bytes, computed from a configuration and grids alone.

FLOPs are those of the matrix products (2 for each multiply-add), which are all but a few per mille of the work. Causal
attention is counted exactly: token i attends to i + 1 tokens. Activation memory is an upper estimate. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qwen2vl_demo.config import Qwen2VLConfig, TextConfig, VisionConfig
from qwen2vl_demo.geometry import Grid, segment_lengths

FLOAT32 = 4  # bytes; rotary angles and RMSNorm are always computed in float32


@dataclass(frozen=True)
class Flops:
    """FLOPs of products with weights, and of attention, which grow with the square of the length."""

    linear: float = 0
    attention: float = 0

    @property
    def total(self) -> float:
        return self.linear + self.attention

    def __add__(self, other: Flops) -> Flops:
        return Flops(self.linear + other.linear, self.attention + other.attention)

    def __mul__(self, times: float) -> Flops:
        return Flops(self.linear * times, self.attention * times)


@dataclass(frozen=True)
class Parameters:
    """The number of parameters in each part of a model."""

    vision: int  # the ViT and the merger
    layers: int  # the language model's layers and last norm
    embedding: int  # one row for each token of the vocabulary
    head: int  # as many again, unless the embedding is also the output layer

    @property
    def total(self) -> int:
        return self.vision + self.layers + self.embedding + self.head


def parameters(config: Qwen2VLConfig) -> Parameters:
    """The number of parameters of a checkpoint."""
    v, t = config.vision, config.text
    block = 4 * v.embed_dim**2 + 4 * v.embed_dim + 2 * v.embed_dim * v.mlp_dim + v.embed_dim + v.mlp_dim
    block += 4 * v.embed_dim  # two LayerNorms, weight and bias
    merged = v.embed_dim * v.merge_size**2
    merger = 2 * v.embed_dim + merged * merged + merged + merged * v.out_dim + v.out_dim
    shared = t.num_kv_heads * t.head_dim
    layer = 2 * t.hidden_size**2 + t.hidden_size + 2 * (t.hidden_size * shared + shared)
    layer += 3 * t.hidden_size * t.intermediate_size + 2 * t.hidden_size
    table = t.vocab_size * t.hidden_size
    return Parameters(
        vision=v.patch_dim * v.embed_dim + v.depth * block + merger,
        layers=t.num_layers * layer + t.hidden_size,
        embedding=table,
        head=0 if t.tie_word_embeddings else table,
    )


def block_flops(config: VisionConfig, segments: Sequence[int]) -> Flops:
    """One ViT block over segments, given by their patches: full attention inside a segment, none across."""
    width, patches = config.embed_dim, sum(segments)
    return Flops(
        linear=2 * patches * (4 * width * width + 2 * width * config.mlp_dim),
        attention=4 * width * sum(n * n for n in segments),
    )


def vision_flops(config: VisionConfig, grids: Sequence[Grid]) -> Flops:
    """The ViT and the merger over pictures and clips; each temporal slice is a segment."""
    segments = segment_lengths(grids)
    patches, merged = sum(segments), config.embed_dim * config.merge_size**2
    ends = 2 * patches * config.patch_dim * config.embed_dim
    ends += 2 * patches // config.merge_size**2 * (merged * merged + merged * config.out_dim)
    return block_flops(config, segments) * config.depth + Flops(linear=ends)


def layer_flops(config: TextConfig, new: int, cached: int = 0) -> Flops:
    """One layer of the language model for `new` tokens after `cached` ones; token i attends to all up to itself."""
    shared = config.num_kv_heads * config.head_dim
    width = config.hidden_size
    seen = new * cached + new * (new + 1) // 2
    return Flops(
        linear=2 * new * (2 * width * width + 2 * width * shared + 3 * width * config.intermediate_size),
        attention=4 * width * seen,
    )


def prefill_flops(config: TextConfig, length: int, cached: int = 0) -> Flops:
    """Prefill of a prompt of `length` tokens, `cached` of them in the KV cache; logits of the last token only."""
    head = Flops(linear=2 * config.hidden_size * config.vocab_size)
    return layer_flops(config, length - cached, cached) * config.num_layers + head


def decode_bytes(config: Qwen2VLConfig, length: int, itemsize: int) -> int:
    """Bytes read by a decoding step after `length` tokens: all weights of the layers and the output layer once, and the
    keys and values so far."""
    t, count = config.text, parameters(config)
    return (count.layers + t.vocab_size * t.hidden_size) * itemsize + kv_bytes(t, length, itemsize)


def kv_bytes(config: TextConfig, tokens: int, itemsize: int) -> int:
    """Keys and values of all layers."""
    return 2 * config.num_layers * config.num_kv_heads * config.head_dim * tokens * itemsize


def vision_activation_bytes(config: VisionConfig, patches: int, itemsize: int) -> int:
    """Peak bytes while the ViT runs over `patches` patches, without its weights.

    The peak of a block is at one of three places: rotating the queries and keys (float32 copies), attention itself, and
    the MLP, whose QuickGELU holds three arrays of its width. The patches and the angles are held throughout. No matrix
    of all patches by all patches is ever allocated.
    """
    width, mlp = config.embed_dim, config.mlp_dim
    wide = FLOAT32 if itemsize < FLOAT32 else 0  # rotating makes copies of narrower numbers
    stays = config.patch_dim * (itemsize + wide) + width * itemsize + 3 * config.head_dim // 2 * FLOAT32 + 32
    # Queries and keys are rotated together: both halves and the whole in float32, and copies of narrower numbers.
    rotating = (3 + 1) * width * itemsize + 4 * FLOAT32 * width + (2 * (wide + itemsize) * width if wide else 0)
    attending = (3 + 2 + 2) * width * itemsize
    expanding = 2 * width * itemsize + 3 * mlp * itemsize
    return patches * (stays + max(rotating, attending, expanding))


def prefill_activation_bytes(config: TextConfig, new: int, cached: int, itemsize: int, chunk: int) -> int:
    """Peak bytes while `new` tokens are prefilled, `chunk` at a time, without weights and KV cache."""
    at_once = min(new, chunk)
    width, inner = config.hidden_size, config.intermediate_size
    angles = 3 * FLOAT32 * config.head_dim // 2
    layer = at_once * (angles + 3 * width * itemsize + max(3 * inner, 4 * width) * itemsize + 2 * FLOAT32 * width)
    # After a prefix, attention takes a mask: a bool for each pair, and the number that torch makes of it.
    mask = at_once * (cached + new) * (1 + itemsize) if cached or new > chunk else 0
    return new * width * itemsize + layer + mask


def largest_piece(grids: Sequence[Grid], max_patches: int) -> int:
    """Patches in the largest piece that is encoded at a time: clips are cut along time, pictures are not."""
    return max((h * w * min(t, max(1, max_patches // (h * w))) for t, h, w in grids), default=0)


def pieces_of(grids: Sequence[Grid], max_patches: int) -> int:
    """How many times the ViT runs for these pictures and clips."""
    return sum(math.ceil(t / max(1, max_patches // (h * w))) for t, h, w in grids)
