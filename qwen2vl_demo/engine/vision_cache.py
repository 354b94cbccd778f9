"""Pictures and clips to merged tokens: once each, in pieces that bound the memory and the wait for a Stop.

Knows the vision part of the model and a bounded memory of what it already encoded; knows no messages and no text.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from qwen2vl_demo.geometry import TEMPORAL_PATCH_SIZE, Grid
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.processing.image import ImageConfig, VisionInput, patchify

PIECE_PATCHES = 16_384  # patches encoded at a time; a clip's temporal slices never see each other, so it may be cut
CACHE_BYTES = 256 * 2**20  # merged tokens kept for follow-up questions


class VisionCache:
    """Merged tokens by content: the same pixels at the same size are encoded once. Least recently used go first.

    Not safe from several threads: its engine holds the lock around the model.
    """

    def __init__(self, most_bytes: int = CACHE_BYTES) -> None:
        self._most_bytes = most_bytes
        self._entries: OrderedDict[tuple[str, Grid], Tensor] = OrderedDict()

    def get(self, medium: VisionInput) -> Tensor | None:
        key = (medium.digest, medium.grid_thw)
        if (tokens := self._entries.get(key)) is not None:
            self._entries.move_to_end(key)
        return tokens

    def holds(self, digest: str, grid: Grid) -> bool:
        """Whether these pixels are known; from any thread, since it only looks."""
        return (digest, grid) in self._entries

    def put(self, medium: VisionInput, tokens: Tensor) -> None:
        self._entries[medium.digest, medium.grid_thw] = tokens
        while sum(t.nbytes for t in self._entries.values()) > self._most_bytes:
            self._entries.popitem(last=False)


@torch.inference_mode()
def encode_medium(model: Qwen2VL, medium: VisionInput, image: ImageConfig, checkpoint: Callable[[], None]) -> Tensor:
    """The merged tokens (M, C) of one picture or clip. `checkpoint` may raise between blocks to abandon the work."""
    config = model.config.vision
    return torch.cat(
        [
            model.encode(patchify(medium.frames[frames], config, image, once=True), [grid], checkpoint)
            for frames, grid in pieces(medium.grid_thw)
        ]
    )


def pieces(grid: Grid, most_patches: int = PIECE_PATCHES) -> Iterator[tuple[slice, Grid]]:
    """Cuts a grid along time into runs of at most `most_patches` patches: which frames, and their grid."""
    t, h, w = grid
    step = max(1, most_patches // (h * w))
    for start in range(0, t, step):
        end = min(start + step, t)
        yield slice(start * TEMPORAL_PATCH_SIZE, end * TEMPORAL_PATCH_SIZE), (end - start, h, w)
