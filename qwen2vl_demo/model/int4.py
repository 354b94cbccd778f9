"""Weights of 4 bits in groups along the inputs, and linear layers that compute with them.

A weight is (code - 8) * scale + offset, with a code of 0 to 15 and a scale and an offset for each group. Rounding to
the nearest code needs no data; AWQ and GPTQ files, whose codes were chosen with data, are of the same form.

Few rows, as in decoding, run in PyTorch's kernels, which read the codes: on CPUs with AVX2 or AVX-512, and on NVIDIA
GPUs since Ampere. With many rows, as in prefill, the kernel of the CPU is ten times slower than widening the weight for
the moment and multiplying as usual. Where there is no kernel every product widens its weight, which saves memory and no
time.

Axes: O outputs, I inputs, g inputs in a group, N rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

MIDDLE, LARGEST = 8, 15
GROUP = 64  # of what is quantised here: 4.5 bits a weight with scale and offset
KERNEL_GROUPS = (32, 64, 128, 256)
FEW_ROWS = 16  # that the kernel of the CPU is faster for
CPU_BLOCKS = (64, 32)  # outputs that it packs together, with AVX-512 and with AVX2
TILE = 128  # inputs that the kernel of a GPU packs together


@dataclass(frozen=True)
class GroupedCodes:
    """A weight (O, I) in 4 bits. `order` (I,) are the inputs in the order of the columns, where that is another."""

    codes: Tensor  # (O, I) uint8
    scales: Tensor  # (O, I / g)
    offsets: Tensor  # (O, I / g)
    order: Tensor | None = None

    @property
    def shape(self) -> torch.Size:
        return self.codes.shape

    @property
    def group(self) -> int:
        return self.codes.shape[1] // self.scales.shape[1]

    def widened(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The weight (O, I), in the order of the inputs."""
        codes = self.codes.unflatten(1, (-1, self.group)).float() - MIDDLE
        columns = torch.addcmul(self.offsets.float()[..., None], codes, self.scales.float()[..., None]).flatten(1)
        if self.order is None:
            return columns.to(dtype)
        return columns[:, self.order.argsort()].to(dtype)


def quantise_int4(weight: Tensor) -> GroupedCodes:
    """A weight (O, I) rounded to 4 bits, with each group's smallest and largest number as the codes 0 and 15.

    Scales and offsets are rounded to bfloat16 first, so that their own rounding adds no error. I must be a multiple of
    GROUP.
    """
    groups = weight.float().unflatten(1, (-1, GROUP))  # (O, I / g, g)
    low, high = groups.aminmax(dim=-1, keepdim=True)
    scales = ((high - low) / LARGEST).clamp_(min=1e-30).bfloat16()
    offsets = (low + MIDDLE * scales.float()).bfloat16()
    codes = ((groups - offsets.float()) / scales.float()).round_().add_(MIDDLE).clamp_(0, LARGEST)
    return GroupedCodes(codes.to(torch.uint8).flatten(1), scales[..., 0], offsets[..., 0])


class Int4Linear(nn.Module):
    """A linear layer whose weight is held in 4 bits: (..., I) -> (..., O), in the dtype of what comes in."""

    codes: Tensor
    scales: Tensor
    order: Tensor | None

    def __init__(self, weight: GroupedCodes, bias: nn.Parameter | None, device: torch.device) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.codes.shape
        self.group = weight.group
        self.bias = bias
        self._block = _cpu_block(device, self.out_features, self.group)
        self._gpu_kernel = _has_gpu_kernel(device, self.out_features, self.in_features, self.group)
        pack = _gpu_packed if self._gpu_kernel else self._packed
        self.register_buffer("codes", pack(weight.codes.to(device)))
        pairs = torch.stack((weight.scales.t(), weight.offsets.t()), -1)  # (I / g, O, 2), as the kernels take them
        self.register_buffer("scales", pairs.to(device, torch.bfloat16).contiguous())
        self.register_buffer("order", None if weight.order is None else weight.order.to(device))

    def forward(self, x: Tensor) -> Tensor:
        if self.order is not None:
            x = x.index_select(-1, self.order)
        rows = x.flatten(0, -2)  # (N, I)
        if self._gpu_kernel:
            out = torch._weight_int4pack_mm(rows.bfloat16(), self.codes, self.group, self.scales)
        elif self._block and len(rows) <= FEW_ROWS:  # in float32 the kernel is thirty times slower
            out = torch._weight_int4pack_mm_for_cpu(rows.bfloat16(), self.codes, self.group, self.scales)
        else:
            out = rows @ self._widened(x.dtype)
        out = out.to(x.dtype).unflatten(0, x.shape[:-1])
        return out if self.bias is None else out + self.bias

    def _packed(self, codes: Tensor) -> Tensor:
        """Codes (O, I) -> bytes (O / b, I, b / 2) in blocks of b outputs: the first half of a block lies in the low
        four bits, the second in the high ones. Without a kernel there is one block."""
        low, high = codes.unflatten(0, (-1, self._block or self.out_features)).transpose(1, 2).chunk(2, -1)
        packed = (low | (high << 4)).contiguous()
        return packed.view(self.out_features, -1) if self._block else packed

    def _widened(self, dtype: torch.dtype) -> Tensor:
        """The transposed weight (I, O)."""
        block = self._block or self.out_features
        packed = self.codes.view(-1, self.in_features, block // 2).transpose(0, 1).contiguous()  # (I, O / b, b / 2)
        wide = torch.empty((*packed.shape[:2], 2, block // 2), dtype=dtype, device=packed.device)
        wide[:, :, 0] = packed & LARGEST
        wide[:, :, 1] = packed >> 4
        scales, offsets = self.scales.to(dtype)[:, None].unbind(-1)  # (I / g, 1, O)
        groups = wide.view(-1, self.group, self.out_features)
        return torch.addcmul(offsets - MIDDLE * scales, groups, scales, out=groups).view(self.in_features, -1)


def has_kernel(device: torch.device, shape: tuple[int, ...], group: int) -> bool:
    """Whether a weight (O, I) in groups can be multiplied on a device as it is."""
    return bool(_cpu_block(device, shape[0], group)) or _has_gpu_kernel(device, shape[0], shape[1], group)


def _cpu_block(device: torch.device, outputs: int, group: int) -> int | None:
    """How many outputs the kernel of this CPU packs together; None where it cannot be used."""
    block = _packing_of_this_cpu() if device.type == "cpu" else None
    return block if block and outputs % block == 0 and group in KERNEL_GROUPS else None


@cache
def _packing_of_this_cpu() -> int | None:
    """PyTorch's packing differs between processors and is not documented, so it is compared with what is known."""
    codes = (torch.arange(2 * max(CPU_BLOCKS) * 32) * 7 % 16).to(torch.uint8).view(-1, 32)
    theirs = torch._convert_weight_to_int4pack_for_cpu(codes.int(), 1).flatten()
    for block in CPU_BLOCKS:
        low, high = codes.unflatten(0, (-1, block)).transpose(1, 2).chunk(2, -1)
        if torch.equal((low | (high << 4)).flatten(), theirs):
            return block
    return None


def gpu_reads_int4(device: torch.device) -> bool:
    """Whether a GPU multiplies with weights of 4 bits as they are: NVIDIA's since Ampere."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def _has_gpu_kernel(device: torch.device, outputs: int, inputs: int, group: int) -> bool:
    return gpu_reads_int4(device) and outputs % 8 == 0 and inputs % TILE == 0 and group in KERNEL_GROUPS


def _gpu_packed(codes: Tensor) -> Tensor:
    """Codes (O, I) in the order of the GPU's kernel, which takes pairs with the first code in the high four bits."""
    return torch._convert_weight_to_int4pack((codes[:, ::2] << 4) | codes[:, 1::2], TILE // 16)
