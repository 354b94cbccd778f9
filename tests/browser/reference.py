"""What a conversation becomes, worked out once more for the tests: from the sizes of its files, the checkpoint's two
limits and the words of the chat template, by rules written down here and nowhere else. Imports nothing of the package.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

IMAGE, VIDEO = "<|image_pad|>", "<|video_pad|>"
TOKEN = 28 * 28  # px of a merged token


@dataclass(frozen=True)
class File:
    """A file as the test made it."""

    path: Path
    height: int
    width: int
    seconds: float = 0.0  # how long a clip lasts; 0 for a picture

    @property
    def sampled(self) -> int:
        """Two frames a second, an even number of them, at least four."""
        return max(4, 2 * round(self.seconds * 2 / 2)) if self.seconds else 1


def resized(height: int, width: int, least: int, most: int) -> tuple[int, int]:
    """Both sides to the nearest multiple of 28 (halves to the even one); a product beyond a limit scales both sides by
    the root of how far it is beyond, rounding away from the limit."""
    h, w = round(height / 28), round(width / 28)
    if h * w * TOKEN > most:
        shrink = math.sqrt(height * width / most)
        h, w = max(1, math.floor(height / shrink / 28)), max(1, math.floor(width / shrink / 28))
    elif h * w * TOKEN < least:
        grow = math.sqrt(least / (height * width))
        h, w = math.ceil(height * grow / 28), math.ceil(width * grow / 28)
    return h * 28, w * 28


def grid(file: File, least: int, most: int) -> tuple[int, int, int]:
    """(t, h, w) in patches. A frame of a clip has its own limits, 128 to 768 tokens; the upper one gives way to `most`,
    and the lower one to that."""
    if file.seconds:
        high = min(768 * TOKEN, most)
        low = 128 * TOKEN if high >= 128 * TOKEN else min(least, high)
        h, w = resized(file.height, file.width, low, high)
    else:
        h, w = resized(file.height, file.width, least, most)
    return max(1, file.sampled // 2), h // 14, w // 14


def text(turns: list[tuple[list[File], str, str | None]], grids: dict[Path, tuple[int, int, int]]) -> str:
    """The prompt as one text: [(files, question, answer or None), ...] in Qwen's chat template."""
    said = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    for files, question, answer in turns:
        said += "<|im_start|>user\n"
        for file in files:
            t, h, w = grids[file.path]
            said += f"<|vision_start|>{(VIDEO if file.seconds else IMAGE) * (t * h * w // 4)}<|vision_end|>"
        said += f"{question}<|im_end|>\n<|im_start|>assistant\n"
        if answer is not None:
            said += f"{answer}<|im_end|>\n"
    return said


def ids_of(tokenizer: Path, prompt: str) -> list[int]:
    return list(Tokenizer.from_file(str(tokenizer)).encode(prompt, add_special_tokens=False).ids)


def positions(ids: list[int], pads: set[int], grids: list[tuple[int, int, int]]) -> list[list[int]]:
    """t, h and w of each token, walked through one by one: a word takes the next number on all three axes; the tokens
    of a picture take its cells, row by row, added to the next number, and the largest of them was used last."""
    axes: list[list[int]] = [[], [], []]
    following, waiting, at = 0, iter(grids), 0
    while at < len(ids):
        if ids[at] not in pads:
            for axis in axes:
                axis.append(following)
            following, at = following + 1, at + 1
            continue
        t, h, w = next(waiting)
        for frame in range(t):
            for row in range(h // 2):
                for column in range(w // 2):
                    for axis, value in zip(axes, (frame, row, column), strict=True):
                        axis.append(following + value)
                    at += 1
        following += max(t, h // 2, w // 2)
    return axes


def pixels_of(patches: np.ndarray, t: int, h: int, w: int, mean: list[float], std: list[float]) -> np.ndarray:
    """(2t, H, W, 3) uint8 out of the rows (t * h * w, 1176) that the model was given: a row holds channel, frame, y
    and x of a patch; rows come block by block of 2x2 patches. A still image's two equal frames may be given once, pixel
    by pixel: rows of 588, and (1, H, W, 3)."""
    fused = patches.shape[1] // (3 * 14 * 14)
    if fused == 1:
        patches = patches.reshape(-1, 14 * 14, 3).swapaxes(1, 2)
    cut = patches.reshape(t, h // 2, w // 2, 2, 2, 3, fused, 14, 14)
    frames = cut.transpose(0, 6, 1, 3, 7, 2, 4, 8, 5).reshape(fused * t, h * 14, w * 14, 3)
    return np.rint(255 * (frames * np.array(std) + np.array(mean))).astype(np.uint8)
