"""Weights of 8 bits with one scale for each output, and the layers that compute with them.

Few rows, as in decoding, run on CPUs in PyTorch's kernel, which reads the narrow weights. Everything else widens a
weight for the moment and multiplies as usual: faster on a CPU from some twenty rows on. On GPUs that saves memory and
costs time (a token takes two to four times as long as in bfloat16): PyTorch's kernel there is a plain loop.

Axes: O outputs, I inputs, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LARGEST = 127
FEW_ROWS = 16  # that the kernel is faster for


def quantise_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A weight (O, I) as int8 and one bfloat16 scale per row: weight ~ int8 * scale[:, None], within half a scale.

    The scale is rounded before the weight is divided by it, so that its own rounding adds no error.
    """
    scale = (weight.float().abs().amax(1) / LARGEST).clamp(min=1e-30).to(torch.bfloat16)
    return (weight.float() / scale.float()[:, None]).round_().clamp_(-LARGEST, LARGEST).to(torch.int8), scale


class Int8Linear(nn.Module):
    """A linear layer whose weight is held in 8 bits: (..., I) -> (..., O), in the dtype of what comes in."""

    codes: Tensor
    scale: Tensor

    def __init__(self, codes: Tensor, scale: Tensor, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.out_features, self.in_features = codes.shape
        self.bias = bias
        self.register_buffer("codes", codes)  # (O, I) int8
        self.register_buffer("scale", scale)  # (O,) bfloat16

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(0, -2)
        if x.device.type == "cpu" and len(rows) <= FEW_ROWS:
            # The kernel is fast for bfloat16 rows only: float32 rows took eight times as long.
            out = torch._weight_int8pack_mm(rows.bfloat16(), self.codes, self.scale).to(x.dtype)
        else:
            out = F.linear(rows, self.codes.to(x.dtype)) * self.scale.to(x.dtype)
        out = out.unflatten(0, x.shape[:-1])
        return out if self.bias is None else out + self.bias


class Int8Embedding(nn.Module):
    """Embeddings held in 8 bits. `head` is the output layer that shares them, where one does."""

    codes: Tensor
    scale: Tensor

    def __init__(self, codes: Tensor, scale: Tensor, dtype: torch.dtype, head: nn.Module | None) -> None:
        super().__init__()
        self.dtype = dtype
        self.register_buffer("codes", codes)  # (V, C) int8
        self.register_buffer("scale", scale)  # (V,) bfloat16
        self.head = head

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (...) -> embeddings (..., C)."""
        return self.rows(ids)

    def rows(self, ids: Tensor | slice) -> Tensor:
        return self.codes[ids].to(self.dtype) * self.scale[ids][..., None].to(self.dtype)
