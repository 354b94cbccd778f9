"""Rotary position embeddings: by row and column in the ViT, by t, h and w in the language model.

Angles are always float32; the rotated tensors keep their dtype. float64, which the ViT's angles are computed in before
they are rounded, never reaches another device than the CPU: Apple's MPS has none.

Axes: N patches, B batch, L tokens, D head dimension, P = D / 2 frequency pairs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qwen2vl_demo.geometry import band_axes, inverse_frequencies
from qwen2vl_demo.yarn import Yarn

VISION_THETA = 10_000.0  # the same in every released checkpoint, and not in their config.json


def vision_angles(coordinates: Tensor, head_dim: int) -> Tensor:
    """Angles of the ViT's 2D RoPE: half of the pairs rotate by the row, half by the column. (N, 2) -> (N, P)

    On the CPU, where coordinates belong: they are multiplied as float64.
    """
    frequencies = torch.from_numpy(inverse_frequencies(head_dim // 4, VISION_THETA))  # float64
    return (coordinates[:, :, None] * frequencies).flatten(1).float()


class MRoPE:
    """Multimodal RoPE: each of the frequency pairs of a head belongs to one of t, h and w, in bands.

    With YaRN, cos and sin of the angles are to be multiplied by `scale`.
    """

    def __init__(self, head_dim: int, theta: float, section: tuple[int, int, int], yarn: Yarn | None = None) -> None:
        frequencies = (yarn.inverse_frequencies if yarn else inverse_frequencies)(head_dim // 2, theta)
        self.frequencies = torch.from_numpy(frequencies).float()  # (P,)
        self.scale = yarn.attention_factor if yarn else 1.0
        self.axes = torch.from_numpy(band_axes(section))  # (P,) which of t, h, w rotates the pair

    def __call__(self, position_ids: Tensor) -> Tensor:
        """(3, B, L) -> angles (B, L, P). Equal ids on the three axes give exactly 1-D RoPE."""
        device = position_ids.device
        by_pair = position_ids[self.axes.to(device)].permute(1, 2, 0)  # (B, L, P)
        return by_pair.float() * self.frequencies.to(device)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates x (..., D) by cos and sin (..., P), which broadcast; pair i consists of elements i and i + P."""
    first, second = x.float().chunk(2, dim=-1)
    rotated = torch.addcmul(first * cos, second, sin, value=-1), torch.addcmul(second * cos, first, sin)
    return torch.cat(rotated, dim=-1).to(x.dtype)
