"""The vision transformer and the merger: patches in block order in, merged tokens out.

Module names equal the checkpoint's keys below `visual.`. Knows no images and no prompt.

Axes: N patches, C width of the ViT, H heads, D numbers a head, S segments of equal length, M merged tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qwen2vl_demo.config import VisionConfig
from qwen2vl_demo.geometry import Grid, patch_coordinates, segment_lengths
from qwen2vl_demo.model.rope import rotate, vision_angles

QUICK_GELU = 1.702  # the slope that makes x sigmoid(a x) resemble GELU
Run = tuple[int, int]  # how many segments in a row, and the patches in each


class PatchEmbed(nn.Module):
    """A linear map of each patch. The checkpoints store it as a Conv3d whose kernel equals its stride.

    Takes patches of both frames (N, C T p p) or, of a still image, whose frames are equal, of one, as its pixels lie
    (N, p p C): then the weights of both are added up first, which halves the sums.
    """

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        kernel = (config.temporal_patch_size, config.patch_size, config.patch_size)
        self.proj = nn.Conv3d(config.in_channels, config.embed_dim, kernel_size=kernel, stride=kernel, bias=False)

    def forward(self, patches: Tensor) -> Tensor:
        weight = self.proj.weight  # (C of the ViT, 3, T, p, p)
        if patches.shape[1] * weight.shape[2] == weight[0].numel():
            weight = weight.sum(2, dtype=torch.float32).to(weight.dtype).movedim(1, -1)
        # The same sums as the convolution in one matrix product: 50 times faster on a CPU.
        return F.linear(patches, weight.flatten(1))  # (N, C)


class VisionAttention(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.qkv = nn.Linear(config.embed_dim, 3 * config.embed_dim)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, runs: Sequence[Run]) -> Tensor:
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, -1))  # (N, 3, H, D)
        q, k = rotate(qkv[:, :2], cos, sin).unbind(1)  # each (N, H, D)
        v = qkv[:, 2]
        out, at = [], 0
        for segments, length in runs:  # equal segments go as one batch; no mask over several pictures exists
            end = at + segments * length
            batch = (t[at:end].unflatten(0, (segments, length)).transpose(1, 2) for t in (q, k, v))  # (S, H, n, D)
            out.append(F.scaled_dot_product_attention(*batch).transpose(1, 2).flatten(0, 1))
            at = end
        return self.proj(torch.cat(out).flatten(1))  # (N, C)


class VisionMLP(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.embed_dim, config.mlp_dim)
        self.fc2 = nn.Linear(config.mlp_dim, config.embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        """fc2(QuickGELU(fc1(x))), where QuickGELU(x) = silu(a x) / a: both products scale for nothing."""
        x = F.silu(torch.addmm(self.fc1.bias, x, self.fc1.weight.t(), beta=QUICK_GELU, alpha=QUICK_GELU))
        return torch.addmm(self.fc2.bias, x, self.fc2.weight.t(), alpha=1 / QUICK_GELU)


class VisionBlock(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.norm2 = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.attn = VisionAttention(config)
        self.mlp = VisionMLP(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, runs: Sequence[Run]) -> Tensor:
        x = x + self.attn(self.norm1(x), cos, sin, runs)
        return x + self.mlp(self.norm2(x))


class PatchMerger(nn.Module):
    """Four neighbouring patches, which stand together in block order, become one token of the language model."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.merged_dim = config.embed_dim * config.merge_size**2
        self.ln_q = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(self.merged_dim, self.merged_dim), nn.GELU(), nn.Linear(self.merged_dim, config.out_dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(self.ln_q(x).view(-1, self.merged_dim))  # (M, language width)


class VisionTransformer(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.blocks = nn.ModuleList(VisionBlock(config) for _ in range(config.depth))
        self.merger = PatchMerger(config)

    def forward(
        self, patches: Tensor, grids: Sequence[Grid], between_blocks: Callable[[], None] | None = None
    ) -> Tensor:
        """Patches (N, 1176) of pictures and clips laid end to end -> merged tokens (N / 4, language width).

        Still images alone may come with one of their two equal frames, pixel by pixel: (N, 588).

        Every temporal slice attends to itself alone, so packing pictures changes nothing. `between_blocks` is
        called before each block and may raise to abandon the work.
        """
        segments = segment_lengths(grids)
        if sum(segments) != len(patches):
            raise ValueError(f"the grids {list(grids)} hold {sum(segments)} patches but {len(patches)} were given")
        runs = [(len(list(run)), length) for length, run in groupby(segments)]
        coordinates = torch.cat([torch.from_numpy(patch_coordinates(g, self.config.merge_size)) for g in grids])
        angles = vision_angles(coordinates.to(patches.device), self.config.head_dim)[:, None, None]  # (N, 1, 1, P)
        cos, sin = angles.cos(), angles.sin()
        x = self.patch_embed(patches)
        for block in self.blocks:
            if between_blocks:
                between_blocks()
            x = block(x, cos, sin, runs)
        return self.merger(x)
