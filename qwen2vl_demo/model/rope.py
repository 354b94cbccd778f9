"""Rotary position embeddings, two kinds: by row and column in the ViT, by t, h and w in the language model.

Angles are always computed in float32; the caller's tensors keep their dtype. Knows tensors of ids only.

Axes: N patches, B batch, L tokens, H heads, D numbers a head, P = D / 2 frequency pairs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qwen2vl_demo.geometry import band_axes, inverse_frequencies

VISION_THETA = 10_000.0  # fixed in every released checkpoint; their config.json does not name it


def vision_angles(coordinates: Tensor, head_dim: int) -> Tensor:
    """Angles of the ViT's 2D RoPE: half of the pairs turn with the row, half with the column. (N, 2) -> (N, P)"""
    frequencies = torch.from_numpy(inverse_frequencies(head_dim // 4, VISION_THETA)).to(coordinates.device)
    return (coordinates[:, :, None] * frequencies).flatten(1).float()


class MRoPE:
    """Multimodal RoPE: bands of one head's frequency pairs are shared out to t, h and w; nothing is added up."""

    def __init__(self, head_dim: int, theta: float, section: tuple[int, int, int]) -> None:
        self.frequencies = torch.from_numpy(inverse_frequencies(head_dim // 2, theta)).float()  # (P,)
        self.axes = torch.from_numpy(band_axes(section))  # (P,) which of t, h, w turns the pair

    def __call__(self, position_ids: Tensor) -> Tensor:
        """(3, B, L) -> angles (B, L, P). Equal ids on the three axes give exactly 1-D RoPE."""
        device = position_ids.device
        by_pair = position_ids[self.axes.to(device)].permute(1, 2, 0)  # (B, L, P)
        return by_pair.float() * self.frequencies.to(device)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns x (..., D) by cos and sin (..., P), which broadcast; pair i is the numbers i and i + P."""
    first, second = x.float().chunk(2, dim=-1)
    turned = torch.addcmul(first * cos, second, sin, value=-1), torch.addcmul(second * cos, first, sin)
    return torch.cat(turned, dim=-1).to(x.dtype)
