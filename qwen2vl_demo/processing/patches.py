"""Cutting resized frames into patches, the rows of the vision transformer's input.

Axes: n frames, gt/gh/gw the grid in patches, T frames per patch, m patches per side of a merged token, p pixels per
side of a patch, C channels, N = gt * gh * gw.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import torch

from qwen2vl_demo import geometry
from qwen2vl_demo.config import VisionConfig
from qwen2vl_demo.processing.image import ImageConfig

CHUNK_PATCHES = 1024  # reordered and normalised at a time: a few MB, so that each step stays in the CPU's cache


CPU = torch.device("cpu")


def patchify(
    frames: np.ndarray, vision: VisionConfig, image: ImageConfig, *, once: bool = False, device: torch.device = CPU
) -> torch.Tensor:
    """Cuts frames (n, H, W, 3) uint8 into normalised patches (N, patch_dim) float32.

    Rows are in block order, columns in (C, T, p, p) order. A frame without a partner (a still image, the last of an
    odd count) is repeated. With `once` a still image is not repeated and its channels stay interleaved: the result is
    (N, patch_dim / T), in (p, p, C) order, which the vision transformer accepts as well. This takes less than half the
    time here and half the multiplications of the patch embedding.

    On an NVIDIA card the frames are sent as bytes and cut there, with the same numbers as the result. Any other device
    gets a result that is cut here.
    """
    if device.type == "cuda":
        return patchify_there(frames, vision, image, once=once, device=device)
    return _patchify_here(frames, vision, image, once).to(device)


def patchify_there(
    frames: np.ndarray, vision: VisionConfig, image: ImageConfig, *, once: bool, device: torch.device
) -> torch.Tensor:
    """`patchify` as a few whole operations on a device: a quarter of the bytes to send, nothing to compute before."""
    once = once and len(frames) == 1
    # Frames may not be written, and are not: `from_numpy` would warn of it, and a copy would take time on the host.
    pixels = torch.from_dlpack(np.ascontiguousarray(frames)).to(device)
    if not once and (missing := -len(frames) % vision.temporal_patch_size):
        pixels = torch.cat([pixels, pixels[-1:].expand(missing, -1, -1, -1)])
    return cut_patches(pixels, vision, image, once=once)


def cut_patches(pixels: torch.Tensor, vision: VisionConfig, image: ImageConfig, *, once: bool) -> torch.Tensor:
    """Frames (n, H, W, 3) uint8 on a device -> patches (N, patch_dim), of T frames each.

    With `once` each frame is a still image, whose patches keep their channels interleaved, (N, patch_dim / T).
    """
    count, height, width, channels = pixels.shape
    p, m, span = vision.patch_size, vision.merge_size, 1 if once else vision.temporal_patch_size
    gt, gh, gw = count // span, height // p, width // p
    blocks = pixels.view(gt, span, gh // m, m, p, gw // m, m, p, channels)
    order = (1, 4, 7, 8) if once else (8, 1, 4, 7)  # (T, p, p, C) or (C, T, p, p)
    blocks = blocks.permute(0, 2, 5, 3, 6, *order)  # (gt, gh / m, gw / m, m, m, ...)
    rows = blocks.reshape(gt * gh * gw, -1).float()
    scale, shift = (
        x.to(pixels.device, non_blocking=pixels.device.type == "cuda")
        for x in _normalisation(image, span * p * p, interleaved=once)
    )
    return rows.mul_(scale).add_(shift)


def _normalisation(image: ImageConfig, area: int, *, interleaved: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """What the bytes of a row are multiplied by and what is then added; `area` values for each channel."""
    std = np.asarray(image.image_std)
    scale = torch.tensor(image.rescale / std, dtype=torch.float32)
    shift = torch.tensor(-np.asarray(image.image_mean) / std, dtype=torch.float32)
    if interleaved:
        return scale.repeat(area), shift.repeat(area)
    return scale.repeat_interleave(area), shift.repeat_interleave(area)


def _patchify_here(frames: np.ndarray, vision: VisionConfig, image: ImageConfig, once: bool) -> torch.Tensor:
    """`patchify` on the CPU, in pieces that fit into its cache."""
    count, height, width, channels = frames.shape
    p, m, span = vision.patch_size, vision.merge_size, vision.temporal_patch_size
    gt, gh, gw = geometry.grid_thw(count, height, width, patch_size=p)
    row_frames = 1 if count == 1 else span  # frames in a uint8 row; those of a still image are equal
    once = once and count == 1
    repeats = span if count == 1 and not once else 1  # of the uint8 row in the float row
    if missing := gt * row_frames - count:
        frames = np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)])
    # p pixels of a row stay adjacent, so they are one item. Reordering bytes moves a quarter of what floats would take.
    items = np.ascontiguousarray(frames).reshape(gt, row_frames, gh // m, m, p, gw // m, m, p * channels)
    items = items.view(f"V{p * channels}")[..., 0].transpose(0, 2, 5, 3, 6, 1, 4)  # (gt, gh/m, gw/m, m, m, T, p)
    area = row_frames * p * p  # values per channel of a patch
    scale, shift = _normalisation(image, area, interleaved=once)
    # numpy requests huge pages, torch does not: a third of the time for a large picture
    patches = np.empty((gt, gh // m, gw * m, repeats * area * channels), dtype=np.float32)
    step = max(1, CHUNK_PATCHES // (gw * m))  # rows of blocks, across the picture
    for t, top in product(range(gt), range(0, gh // m, step)):
        pixels = np.ascontiguousarray(items[t, top : top + step]).view(np.uint8).reshape(-1, area, channels)
        if not once:
            pixels = np.ascontiguousarray(pixels.transpose(0, 2, 1))
        rows = torch.from_numpy(patches[t, top : top + step]).view(len(pixels), -1)
        numbers = torch.from_numpy(pixels).flatten(1)
        if repeats == 1:
            rows.copy_(numbers).mul_(scale).add_(shift)
        else:
            halves = rows.view(-1, channels, repeats, area)
            halves[:] = numbers.float().mul_(scale).add_(shift).view(-1, channels, 1, area)
    return torch.from_numpy(patches).view(gt * gh * gw, -1)
