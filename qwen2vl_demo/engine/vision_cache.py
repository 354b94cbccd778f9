"""Pictures and clips to merged tokens: each is encoded once, in pieces that bound memory and the wait for a Stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from qwen2vl_demo.geometry import TEMPORAL_PATCH_SIZE, Grid
from qwen2vl_demo.lru_cache import CacheBudget, LRUCache
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.processing.image import ImageConfig, VisionInput
from qwen2vl_demo.processing.patches import patchify

PIECE_PATCHES = 16_384  # patches encoded at a time; a clip may be cut, since its temporal slices do not see each other


class VisionCache:
    """Merged tokens by content: the same pixels at the same size are encoded once under each salt. Thread-safe."""

    def __init__(self, budget: CacheBudget) -> None:
        self._tokens: LRUCache[tuple[str, str, Grid], Tensor] = LRUCache(budget, weight=lambda tokens: tokens.nbytes)

    def get(self, salt: str, medium: VisionInput) -> Tensor | None:
        """The merged tokens (M, C) of a picture or clip; None if they are not cached under this salt."""
        return self._tokens.get((salt, medium.digest, medium.grid_thw))

    def contains(self, salt: str, digest: str, grid: Grid) -> bool:
        """Whether the merged tokens of these pixels are cached under this salt. Does not count as use."""
        return (salt, digest, grid) in self._tokens

    def put(self, salt: str, medium: VisionInput, tokens: Tensor) -> None:
        self._tokens.put((salt, medium.digest, medium.grid_thw), tokens)

    def forget(self, salt: str) -> None:
        """Drops the merged tokens of a conversation."""
        self._tokens.remove(lambda key: key[0] == salt)

    def clear(self) -> None:
        self._tokens.clear()


@torch.inference_mode()
def encode_medium(
    model: Qwen2VL, medium: VisionInput, image: ImageConfig, check_cancelled: Callable[[], None]
) -> Tensor:
    """The merged tokens (M, C) of one picture or clip. `check_cancelled` is called before each block and may raise."""
    config = model.config.vision
    return torch.cat(
        [
            model.encode(
                patchify(medium.frames[frames], config, image, once=True, device=model.device), [grid], check_cancelled
            )
            for frames, grid in pieces(medium.grid_thw)
        ]
    )


def pieces(grid: Grid, max_patches: int = PIECE_PATCHES) -> Iterator[tuple[slice, Grid]]:
    """Cuts a grid along time into pieces of at most `max_patches` patches, as (frames, grid of the piece).

    A single temporal slice is never cut, however large it is.
    """
    t, h, w = grid
    step = max(1, max_patches // (h * w))
    for start in range(0, t, step):
        end = min(start + step, t)
        yield slice(start * TEMPORAL_PATCH_SIZE, end * TEMPORAL_PATCH_SIZE), (end - start, h, w)
