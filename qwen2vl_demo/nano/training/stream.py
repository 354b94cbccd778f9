"""The endless stream of random batches of training: which kinds of dialogues, and how large their pictures are."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from qwen2vl_demo.geometry import FACTOR, Size
from qwen2vl_demo.nano.dialogue.generator import random_dialogue
from qwen2vl_demo.nano.training.batches import PRINTED, Batch, collate
from qwen2vl_demo.nano.training.dense_pictures import random_dense_picture
from qwen2vl_demo.processing.chat import ChatTemplate
from qwen2vl_demo.processing.tokenizer import Tokenizer

# Share of each kind of dialogue, the size of a batch of small pictures, and the turns of a dialogue.
MIX = {
    "scene": (0.22, 16, 8),
    "text": (0.05, 16, 8),
    "document": (0.08, 16, 8),
    "pictures": (0.09, 10, 8),
    "clip": (0.07, 12, 8),
    "chat": (0.02, 16, 8),
    "limits": (0.06, 16, 8),
    "page": (0.26, 16, 4),
    "paper": (0.15, 16, 5),
}
DENSE_SHARE, DENSE_SHARE_ALONE = 0.16, 0.4  # of dense pictures among the batches; ALONE: in the vision stage
DENSE_BATCH = 16
# Shares of pictures of up to 64, 256, 576 and 1,024 merged tokens, by kind; those that are not named are small.
SIZES = (64, 256, 576, 1024)
SIZE_SHARES = {
    "scene": (0.6, 0.2, 0.11, 0.09),
    "text": (0.6, 0.2, 0.11, 0.09),
    "document": (0.45, 0.3, 0.15, 0.1),
    "limits": (0.8, 0.15, 0.03, 0.02),
    "pictures": (0.88, 0.12, 0.0, 0.0),
    "dense": (0.85, 0.15, 0.0, 0.0),
    "page": (0.35, 0.43, 0.15, 0.07),
    "paper": (0.2, 0.45, 0.23, 0.12),
}
# Reading begins with a few words: until this share of the answer stage pages of print grow to these shares.
GROWN = 0.5
LEAST_CELLS, FIRST_CELLS = {"page": 4, "paper": 16}, {"page": 12, "paper": 36}  # merged tokens of the first pages
LONGEST_SIDE = 44  # merged tokens


def random_size(rng: np.random.Generator, kind: str) -> Size:
    """(height, width) in pixels, sides multiples of 28, of nano's usual 16 to 64 merged tokens.

    For one picture all sizes are equally likely. For dialogues with several pictures or frames small sizes, which are
    cheap, are more likely. Printed pages, which would hold little, are as large as in training.
    """
    if kind in PRINTED:
        return random_training_size(rng, kind)
    power = 0.7 if kind in ("pictures", "clip") else 0.0
    while True:
        rows, columns = (int(side) for side in rng.integers(3, 11, 2))
        if 16 <= rows * columns <= 64 and rng.random() < (16 / (rows * columns)) ** power:
            return rows * FACTOR, columns * FACTOR


def random_training_size(rng: np.random.Generator, kind: str, progress: float = 1.0) -> Size:
    """A size (height, width) as `random_size`, larger by the shares of `SIZE_SHARES`; pages from 4 merged tokens on.

    `progress`, the share of the stage that is over, limits the size of print.
    """
    shares = SIZE_SHARES.get(kind, (1.0,))
    step = int(rng.choice(len(shares), p=shares))
    if step == 0 and kind not in PRINTED:
        return random_size(rng, kind)
    low, high = SIZES[step - 1] if step else LEAST_CELLS[kind], SIZES[step]
    if kind in PRINTED and progress < GROWN:  # the largest grow from the first size by equal factors to that of the end
        most = FIRST_CELLS[kind] * (SIZES[-1] / FIRST_CELLS[kind]) ** (progress / GROWN)
        low, high = (low, min(high, round(most))) if low < most else (LEAST_CELLS[kind], round(most))
    stretch = 3.0 if kind == "page" else 2.0
    least = 2 if kind == "page" else 4
    while True:
        cells, ratio = np.exp(rng.uniform(np.log(low), np.log(high + 1))), np.exp(rng.normal(0, 0.45))
        rows, columns = round((cells * ratio) ** 0.5), round((cells / ratio) ** 0.5)
        short, long = sorted((rows, columns))
        if low <= rows * columns <= high and least <= short and long <= min(LONGEST_SIDE, stretch * short + 2):
            return rows * FACTOR, columns * FACTOR


def random_frames(rng: np.random.Generator, size: Size) -> int:
    """The number of frames of a clip, 4 to 12 and even; long clips only have small frames."""
    cells = size[0] * size[1] // FACTOR**2
    return int(rng.choice([n for n in (4, 6, 6, 8, 12) if n * cells <= 280 or n == 4]))


class BatchStream(IterableDataset):
    """An endless stream of random batches; each worker draws its own. `dense_only` is for the vision stage.

    Batches are `scale` times as large as a CPU's, those of larger pictures less so. `progress`, a scalar in shared
    memory, is the share of the stage that is over.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        template: ChatTemplate,
        seed: int,
        dense_only: bool = False,
        scale: int = 1,
        progress: Tensor | None = None,
    ) -> None:
        self.tokenizer, self.template, self.progress = tokenizer, template, progress
        self.seed, self.dense_only, self.scale = seed, dense_only, scale

    def __iter__(self) -> Iterator[Batch]:
        worker = torch.utils.data.get_worker_info()
        if worker:
            torch.set_num_threads(1)  # leave the other cores to the training process, ...
            os.nice(5)  # ... which does not wait for one that draws
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        dense_share = DENSE_SHARE_ALONE if self.dense_only else DENSE_SHARE
        kinds = ["scene", "text", "document", "clip", "limits", *PRINTED] if self.dense_only else list(MIX)
        shares = np.array([MIX[kind][0] for kind in kinds])
        while True:
            kind = "dense" if rng.random() < dense_share else str(rng.choice(kinds, p=shares / shares.sum()))
            progress = 1.0 if self.progress is None or self.dense_only else self.progress.item()
            size = random_training_size(rng, kind, progress)
            _, usual, turns = (0, DENSE_BATCH, 1) if kind == "dense" else MIX[kind]
            cells = size[0] * size[1] // FACTOR**2
            count = max(2, round(usual * self.scale * (64 / max(64, cells)) ** (0.5 if self.scale > 1 else 1)))
            if kind == "dense":
                items = [random_dense_picture(rng, size) for _ in range(count)]
            else:
                frames, turns = random_frames(rng, size), 1 if self.dense_only else turns
                items = [random_dialogue(rng, kind, size=size, frames=frames, turns=turns) for _ in range(count)]
            batch = collate(kind, items, self.tokenizer, self.template)
            batch.dialogues.clear()
            yield batch
