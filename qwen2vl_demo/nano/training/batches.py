"""Conversations of the drawn world as tensors: the ids of the real chat template, what to learn, and the patches.

One batch holds conversations of one kind and one picture size, so that the vision transformer sees equal segments.

Axes: B conversations, L tokens, N patches, M merged tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from qwen2vl_demo.config import Qwen2VLConfig
from qwen2vl_demo.geometry import (
    FACTOR,
    Grid,
    Size,
    VisionSpan,
    grid_thw,
    merged_grid,
    merged_tokens,
    mrope_position_ids,
)
from qwen2vl_demo.nano.checkpoint import PREPROCESSOR
from qwen2vl_demo.nano.dialogue.generator import Sample, sample
from qwen2vl_demo.nano.training.dense_pictures import mosaic
from qwen2vl_demo.processing.chat import ChatTemplate, encode_chat
from qwen2vl_demo.processing.image import ImageConfig, patchify
from qwen2vl_demo.processing.messages import Image, Message, Text, Video
from qwen2vl_demo.processing.tokenizer import Tokenizer

IGNORED = -100  # cross_entropy's mark for a position that is not learnt
IMAGE_CONFIG = ImageConfig.from_dict(PREPROCESSOR)

# Share of each kind of conversation, and how many make a batch of about equal cost.
MIX = {
    "scene": (0.40, 16),
    "text": (0.09, 16),
    "paper": (0.14, 16),
    "pictures": (0.16, 10),
    "clip": (0.11, 12),
    "chat": (0.02, 16),
    "limits": (0.08, 16),
}


MOSAICS, DENSE_MOSAICS = 0.33, 0.8  # share of the batches, while answers are learnt and before
MOSAIC_BATCH = 16
# The kinds of which a share has more merged tokens than nano's usual limit: most of them that which holds small print.
LARGE = {"scene": 0.1, "text": 0.15, "paper": 0.35, "mosaic": 0.1}
HUGE_SHARE = 0.15  # of those, of texts and papers, that have more than 256


@dataclass(frozen=True)
class Batch:
    kind: str
    input_ids: Tensor  # (B, L) int64, padded at the end
    position_ids: Tensor  # (3, B, L) int64
    targets: Tensor  # (B, L) int64: the next token where an answer is written, else IGNORED
    turn_ids: Tensor  # (B, L) int64: which turn of its conversation a target belongs to, else -1
    patches: Tensor  # (N, 1176) float32
    grids: list[Grid]
    cells: Tensor  # (M,) int64: what lies under each merged token
    edges: Tensor  # (M, 5) float32: whether its centre lies there, and how far its edges are, as in `draw.Cells`
    characters: Tensor  # (M, 3) int64: the characters in its thirds, as in `draw.Cells`
    headings: Tensor  # (M,) int64: what the amount or the bar in it belongs to, as in `draw.Cells`
    inks: Tensor  # (M,) int64: the colour of what is written in it, as in `draw.Cells`
    places: Tensor  # (M, 2) int64: the row and the column of each merged token in its picture
    numbers: Tensor  # (M,) int64: in which of its conversation's pictures, or pairs of frames, it lies
    ends: Tensor  # (K, 4) int64: conversation and position of each <|vision_end|>, rows and columns of its medium
    looks: Tensor  # (Q, 3) int64: conversation, position that writes a token of an answer, row of `looked_at`
    looked_at: Tensor  # (P, L) bool: the merged tokens that a part of an answer rests on
    samples: list[Sample]  # kept for evaluation only; empty while training


def encode_sample(item: Sample, tokenizer: Tokenizer, template: ChatTemplate) -> tuple[np.ndarray, list[VisionSpan]]:
    """The ids (L,) of a whole conversation, answers included, and where its media lie."""
    messages: list[Message] = []
    placeholders: list[int] = []
    for turn in item.turns:
        media = [Video(b"") if item.media[m].ndim == 4 else Image(b"") for m in turn.media]
        placeholders += [merged_tokens(grid_of(item.media[m])) for m in turn.media]
        messages.append(Message("user", [*media, Text(turn.question)]))
        messages.append(Message("assistant", turn.answer))
    chat = encode_chat(
        messages, template, tokenizer, placeholders=placeholders, add_vision_id=False, add_generation_prompt=False
    )
    order = [m for turn in item.turns for m in turn.media]
    spans = [VisionSpan(s.start, grid_of(item.media[m])) for s, m in zip(chat.media, order, strict=True)]
    return chat.input_ids, spans


def grid_of(medium: np.ndarray) -> Grid:
    frames, height, width = medium.shape[:3] if medium.ndim == 4 else (1, *medium.shape[:2])
    return grid_thw(frames, height, width)


def answer_targets(ids: np.ndarray, tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """(targets, turn_ids), both (L,): every token of an answer and the <|im_end|> behind it is to be learnt."""
    start, end = tokenizer.special("<|im_start|>"), tokenizer.special("<|im_end|>")
    role = tokenizer.encode_text("assistant\n")
    targets, turns = np.full(len(ids), IGNORED), np.full(len(ids), -1)
    turn = 0
    for at in np.flatnonzero(ids == start):
        first = at + 1 + len(role)
        if ids[at + 1 : first].tolist() != role:
            continue
        last = first + int(np.flatnonzero(ids[first:] == end)[0])
        targets[first - 1 : last] = ids[first : last + 1]
        turns[first - 1 : last] = turn
        turn += 1
    return targets, turns


def collate(
    kind: str, items: Sequence[Sample], tokenizer: Tokenizer, template: ChatTemplate, config: Qwen2VLConfig
) -> Batch:
    encoded = [encode_sample(item, tokenizer, template) for item in items]
    longest = max(len(ids) for ids, _ in encoded)
    shape = (len(items), longest)
    input_ids = torch.full(shape, tokenizer.special("<|endoftext|>"))
    targets, turn_ids = torch.full(shape, IGNORED), torch.full(shape, -1)
    position_ids = torch.zeros(3, *shape, dtype=torch.int64)
    patches, grids, cells, edges, characters, headings, inks = [], [], [], [], [], [], []
    numbers: list[np.ndarray] = []
    ends: list[tuple[int, int, int, int]] = []
    looks: list[tuple[int, int, int]] = []
    looked_at: list[Tensor] = []
    for row, (item, (ids, spans)) in enumerate(zip(items, encoded, strict=True)):
        length = len(ids)
        input_ids[row, :length] = torch.from_numpy(ids)
        position_ids[:, row, :length] = torch.from_numpy(mrope_position_ids(length, spans)[0])
        target, turn = answer_targets(ids, tokenizer)
        targets[row, :length], turn_ids[row, :length] = torch.from_numpy(target), torch.from_numpy(turn)
        ends += [(row, s.start + merged_tokens(s.grid), *merged_grid(s.grid)[1:]) for s in spans]
        numbers.append(picture_numbers([span.grid for span in spans]))
        starts = dict(zip((m for t in item.turns for m in t.media), (span.start for span in spans), strict=True))
        for index, asked in enumerate(item.turns):
            writing = np.flatnonzero(turn == index)[:-1]  # the last one writes <|im_end|>
            lengths = [len(tokenizer.decode([int(i)])) for i in target[writing]]
            begins = np.cumsum([0, *lengths])[:-1]
            for part in asked.focus:
                row_mask = torch.zeros(longest, dtype=torch.bool)
                row_mask[torch.tensor(part.cells) + starts[part.medium]] = True
                here = writing[(begins >= part.start) & (begins < part.end)]
                looks += [(row, int(position), len(looked_at)) for position in here]
                looked_at.append(row_mask)
        for medium in (m for turn in item.turns for m in turn.media):
            frames = item.media[medium]
            frames = frames if frames.ndim == 4 else frames[None]
            patches.append(patchify(frames, config.vision, IMAGE_CONFIG))
            grids.append(grid_of(item.media[medium]))
            for truth in item.cells[medium]:
                cells.append(torch.from_numpy(truth.labels).flatten())
                edges.append(torch.from_numpy(truth.edges).flatten(0, 1))
                characters.append(torch.from_numpy(truth.characters).flatten(0, 1))
                headings.append(torch.from_numpy(truth.headings).flatten())
                inks.append(torch.from_numpy(truth.inks).flatten())
    return Batch(
        kind=kind,
        input_ids=input_ids,
        position_ids=position_ids,
        targets=targets,
        turn_ids=turn_ids,
        patches=torch.cat(patches) if patches else torch.empty(0, config.vision.patch_dim),
        grids=grids,
        cells=torch.cat(cells) if cells else torch.empty(0, dtype=torch.int64),
        edges=torch.cat(edges) if edges else torch.empty(0, 5),
        characters=torch.cat(characters) if characters else torch.empty(0, 3, dtype=torch.int64),
        headings=torch.cat(headings) if headings else torch.empty(0, dtype=torch.int64),
        inks=torch.cat(inks) if inks else torch.empty(0, dtype=torch.int64),
        places=torch.from_numpy(np.concatenate([np.empty((0, 2), np.int64), *(places(grid) for grid in grids)])),
        numbers=torch.from_numpy(np.concatenate([np.empty(0, np.int64), *numbers])),
        ends=torch.tensor(ends, dtype=torch.int64).view(-1, 4),
        looks=torch.tensor(looks, dtype=torch.int64).view(-1, 3),
        looked_at=torch.stack(looked_at) if looked_at else torch.zeros(0, longest, dtype=torch.bool),
        samples=list(items),
    )


def places(grid: Grid) -> np.ndarray:
    """The row and the column of each merged token, (t * h * w, 2) in raster order."""
    t, h, w = merged_grid(grid)
    return np.tile(np.indices((h, w)).reshape(2, -1).T, (t, 1))


def picture_numbers(grids: Sequence[Grid]) -> np.ndarray:
    """Counts the pictures and pairs of frames of a conversation from 0: the number of each merged token's, (M,)."""
    sizes = [h * w for t, h, w in map(merged_grid, grids) for _ in range(t)]
    return np.repeat(np.arange(len(sizes)), sizes)


def random_size(rng: np.random.Generator, kind: str) -> Size:
    """(height, width) in pixels, sides multiples of 28, of 16..64 merged tokens.

    All sizes alike for one picture, since what visitors send is shrunk to the upper end; where a conversation holds
    several pictures or frames, small ones, which are cheap, come more often.
    """
    power = 0.7 if kind in ("pictures", "clip") else 0.0
    while True:
        rows, columns = (int(side) for side in rng.integers(3, 11, 2))
        if 16 <= rows * columns <= 64 and rng.random() < (16 / (rows * columns)) ** power:
            return rows * FACTOR, columns * FACTOR


def random_large_size(rng: np.random.Generator, low: int = 64, high: int = 256) -> Size:
    """(height, width) in pixels of more than `low` and up to `high` merged tokens, for whoever raises the budget."""
    while True:
        rows, columns = (int(side) for side in rng.integers(int(0.7 * low**0.5), int(1.4 * high**0.5), 2))
        if low < rows * columns <= high and max(rows, columns) <= 2 * min(rows, columns):
            return rows * FACTOR, columns * FACTOR


def random_frames(rng: np.random.Generator, size: Size) -> int:
    """Frames of a clip, two to six pairs; many only of small ones."""
    cells = size[0] * size[1] // FACTOR**2
    return int(rng.choice([n for n in (4, 6, 6, 8, 12) if n * cells <= 280 or n == 4]))


class Conversations(IterableDataset):
    """An endless stream of batches; each worker and each start draws its own part of the world."""

    def __init__(
        self, tokenizer: Tokenizer, template: ChatTemplate, config: Qwen2VLConfig, seed: int, dense_only: bool = False
    ) -> None:
        self.tokenizer, self.template, self.config = tokenizer, template, config
        self.seed, self.dense_only = seed, dense_only

    def __iter__(self) -> Iterator[Batch]:
        torch.set_num_threads(1)
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        mosaics = DENSE_MOSAICS if self.dense_only else MOSAICS
        kinds = ["scene", "text", "paper", "clip", "limits"] if self.dense_only else list(MIX)
        shares = np.array([MIX[kind][0] for kind in kinds])
        while True:
            kind = "mosaic" if rng.random() < mosaics else str(rng.choice(kinds, p=shares / shares.sum()))
            size = self._size(rng, kind)
            usual = MOSAIC_BATCH if kind == "mosaic" else MIX[kind][1]
            count = max(2, usual * 64 // max(64, size[0] * size[1] // FACTOR**2))
            if kind == "mosaic":
                items = [mosaic(rng, size) for _ in range(count)]
            else:
                frames, turns = random_frames(rng, size), 1 if self.dense_only else 8
                items = [sample(rng, kind, size=size, frames=frames, turns=turns) for _ in range(count)]
            yield self._batch(kind, items)

    def _size(self, rng: np.random.Generator, kind: str) -> Size:
        if rng.random() >= LARGE.get(kind, 0):
            return random_size(rng, kind)
        huge = kind in ("text", "paper") and rng.random() < HUGE_SHARE
        return random_large_size(rng, 256, 1024) if huge else random_large_size(rng)

    def _batch(self, kind: str, items: list[Sample]) -> Batch:
        batch = collate(kind, items, self.tokenizer, self.template, self.config)
        batch.samples.clear()
        return batch
