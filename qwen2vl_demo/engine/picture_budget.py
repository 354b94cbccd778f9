"""How large a picture may be by default, so that encoding and reading it fits into the memory that is free."""

from __future__ import annotations

from qwen2vl_demo.config import Qwen2VLConfig
from qwen2vl_demo.engine.cost import flops
from qwen2vl_demo.engine.generate import PREFILL_CHUNK

SHARE = 0.5  # of the free memory: the rest is for conversations, other pictures and what others start on this machine
SCORES = 2  # matrices of all patches by all patches that plain attention holds: the scores and their softmax


def affordable_pixels(config: Qwen2VLConfig, itemsize: int, free: int, *, whole_matrix: bool, most: int) -> int:
    """The most pixels of a picture, up to `most`, that fits into `free` bytes; at least those of one merged token.

    `whole_matrix` says that the device has no attention kernel that keeps the matrix of all patches by all patches out
    of memory: then its bytes grow with the square of the pixels. `itemsize` is that of the model's numbers.
    """
    factor = config.vision.factor
    limit = max(1, most // factor**2)  # merged tokens
    low, high = 1, limit
    while low < high:
        tokens = (low + high + 1) // 2
        if picture_bytes(config, tokens, itemsize, whole_matrix=whole_matrix) <= SHARE * free:
            low = tokens
        else:
            high = tokens - 1
    return most if low == limit else low * factor**2


def picture_bytes(config: Qwen2VLConfig, tokens: int, itemsize: int, *, whole_matrix: bool) -> int:
    """Peak bytes of a picture of `tokens` merged tokens beside the weights: while it is encoded or read."""
    patches = tokens * config.vision.merge_size**2
    encoding = flops.vision_activation_bytes(config.vision, patches, itemsize)
    reading = flops.prefill_activation_bytes(config.text, tokens, 0, itemsize, PREFILL_CHUNK)
    if whole_matrix:
        encoding += SCORES * config.vision.num_heads * patches**2 * itemsize
        reading += SCORES * config.text.num_heads * min(tokens, PREFILL_CHUNK) * tokens * itemsize
    return max(encoding, reading) + flops.kv_bytes(config.text, tokens, itemsize)
