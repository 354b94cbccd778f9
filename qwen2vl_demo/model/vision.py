"""The vision transformer and the merger: patches in block order in, merged tokens out.

Module names equal the checkpoint's keys below `visual.`.

Axes: N patches, C width of the ViT, H heads, D head dimension, S segments of equal length, M merged tokens.
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
Run = tuple[int, int]  # consecutive segments of equal length: how many, and the patches in each


class PatchEmbed(nn.Module):
    """A linear map of each patch. The checkpoints store it as a Conv3d whose kernel equals its stride.

    Takes patches of both frames (N, 3 T p p) or, for still images, whose two frames are equal, of one frame in the
    order of its pixels (N, p p 3): then the weights of both frames are added first, which halves the work.
    """

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        kernel = (config.temporal_patch_size, config.patch_size, config.patch_size)
        self.proj = nn.Conv3d(config.in_channels, config.embed_dim, kernel_size=kernel, stride=kernel, bias=False)

    def forward(self, patches: Tensor) -> Tensor:
        weight = self.proj.weight  # (C of the ViT, 3, T, p, p)
        if patches.shape[1] * weight.shape[2] == weight[0].numel():
            weight = weight.sum(2, dtype=torch.float32).to(weight.dtype).movedim(1, -1)
        # The convolution as one matrix product: 50 times faster on a CPU.
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
        for segments, length in runs:  # segments of equal length are one batch; no mask over all pictures is built
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
        """fc2(QuickGELU(fc1(x))), where QuickGELU(x) = silu(a x) / a: the products scale by a and 1 / a at no cost."""
        return _scaled(self.fc2, F.silu(_scaled(self.fc1, x, QUICK_GELU, QUICK_GELU)), 1 / QUICK_GELU, 1)


def _scaled(linear: nn.Module, x: Tensor, weight: float, bias: float) -> Tensor:
    """A linear layer with its weight and its bias scaled."""
    if isinstance(linear, nn.Linear):
        return torch.addmm(linear.bias, x, linear.weight.t(), beta=bias, alpha=weight)
    return linear(x * (weight / bias)) * bias  # a quantised one


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
    """Merges four neighbouring patches, adjacent in block order, into one token of the language model."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.merged_dim = config.embed_dim * config.merge_size**2
        self.ln_q = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(self.merged_dim, self.merged_dim), nn.GELU(), nn.Linear(self.merged_dim, config.out_dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(self.ln_q(x).reshape(-1, self.merged_dim))  # (M, language width)


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
        """Patches (N, 1176) of concatenated pictures and clips -> merged tokens (N / 4, language width).

        Still images may be given by one of their two equal frames, in the order of pixels: (N, 588). Each temporal
        slice attends only to itself, so packing pictures does not change the result. `between_blocks` is called
        before each block and may raise to cancel.
        """
        segments = segment_lengths(grids)
        if sum(segments) != len(patches):
            raise ValueError(f"the grids {list(grids)} hold {sum(segments)} patches but {len(patches)} were given")
        runs = [(len(list(run)), length) for length, run in groupby(segments)]
        angles = self._angles(grids, patches.device)[:, None, None]  # (N, 1, 1, P)
        cos, sin = angles.cos(), angles.sin()
        x = self.patch_embed(patches)
        for block in self.blocks:
            if between_blocks:
                between_blocks()
            x = block(x, cos, sin, runs)
        return self.merger(x)

    def _angles(self, grids: Sequence[Grid], device: torch.device) -> Tensor:
        """The angles (N, P) of all patches; those of neighbours in the list with equal grids are computed once."""
        found = []
        for grid, run in groupby(grids):
            coordinates = torch.from_numpy(patch_coordinates(grid, self.config.merge_size))
            angles = vision_angles(coordinates, self.config.head_dim).to(device, non_blocking=device.type == "cuda")
            found.append(angles.repeat(len(list(run)), 1))
        return torch.cat(found)
