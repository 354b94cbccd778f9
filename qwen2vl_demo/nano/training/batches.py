"""Training batches: dialogues as token ids of the real chat template, with targets, patches and auxiliary targets.

A batch holds dialogues of one kind and one picture size, so that the vision transformer gets segments of equal length.

Axes: B dialogues, L tokens, N patches, M merged tokens, K media, Q attention queries, P attention targets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from qwen2vl_demo.config import VisionConfig
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
from qwen2vl_demo.nano.dialogue.generator import Dialogue, random_dialogue
from qwen2vl_demo.nano.training.dense_pictures import random_dense_picture
from qwen2vl_demo.nano.world.scene import CELL_CHARACTERS
from qwen2vl_demo.processing.chat import ChatTemplate, encode_chat
from qwen2vl_demo.processing.image import ImageConfig
from qwen2vl_demo.processing.messages import Image, Message, Text, Video
from qwen2vl_demo.processing.patches import CPU, patchify
from qwen2vl_demo.processing.tokenizer import Tokenizer

IGNORED = -100  # the target of positions without a loss, cross_entropy's default `ignore_index`
IMAGE_CONFIG = ImageConfig.from_dict(PREPROCESSOR)

# Share of each kind of dialogue, the size of a batch of small pictures, and the turns of a dialogue.
MIX = {
    "scene": (0.26, 16, 8),
    "text": (0.05, 16, 8),
    "document": (0.09, 16, 8),
    "pictures": (0.10, 10, 8),
    "clip": (0.08, 12, 8),
    "chat": (0.02, 16, 8),
    "limits": (0.06, 16, 8),
    "page": (0.20, 16, 4),
    "paper": (0.14, 16, 5),
}
PRINTED = ("page", "paper")  # kinds of open text
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
    "page": (0.3, 0.45, 0.17, 0.08),
    "paper": (0.2, 0.45, 0.23, 0.12),
}
LONGEST_SIDE = 44  # merged tokens


@dataclass(frozen=True)
class Batch:
    kind: str
    input_ids: Tensor  # (B, L) int64, padded at the end
    position_ids: Tensor  # (3, B, L) int64
    targets: Tensor  # (B, L) int64: the next token where that belongs to an answer, else IGNORED
    turn_ids: Tensor  # (B, L) int64: the index of the turn that a target belongs to, else -1
    pixels: Tensor  # uint8, the frames of all media in a row
    shapes: list[tuple[int, int, int]]  # of each medium: frames, height, width
    grids: list[Grid]
    cells: Tensor  # (M,) int64: `CellTruth.labels` of each merged token; likewise the next four
    edges: Tensor  # (M, 5) float32
    characters: Tensor  # (M, CELL_CHARACTERS) int64
    headings: Tensor  # (M,) int64
    inks: Tensor  # (M,) int64
    grid_positions: Tensor  # (M, 2) int64: row and column of each merged token in its picture
    media_numbers: Tensor  # (M,) int64: index of its picture, or pair of frames, in its dialogue
    vision_ends: Tensor  # (K, 4) int64: dialogue and position of each <|vision_end|>, rows and columns of its medium
    attention_queries: Tensor  # (Q, 3) int64: dialogue, position that predicts a token, row of `attention_masks`
    attention_masks: Tensor  # (P, L) bool: the merged tokens that a part of an answer depends on
    dialogues: list[Dialogue]  # for evaluation; empty in training

    def patches(self, vision: VisionConfig, device: torch.device = CPU) -> Tensor:
        """The patches of all media, (N, 1176) float32. Media of one shape are cut together."""
        found, start = [], 0
        for shape, run in groupby(self.shapes):
            count, (frames, height, width) = len(list(run)), shape
            end = start + count * frames * height * width * 3
            pixels = self.pixels[start:end].view(count, frames, height, width, 3)
            if frames == 1:  # of two pictures cut together each must be its own pair of frames
                pixels = pixels.expand(-1, vision.temporal_patch_size, -1, -1, -1)
            found.append(patchify(pixels.flatten(0, 1).numpy(), vision, IMAGE_CONFIG, device=device))
            start = end
        return torch.cat(found) if found else torch.empty(0, vision.patch_dim, device=device)


def encode_dialogue(
    item: Dialogue, tokenizer: Tokenizer, template: ChatTemplate
) -> tuple[np.ndarray, list[VisionSpan]]:
    """The token ids (L,) of a whole dialogue, answers included, and the spans of its media."""
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
    """The grid (t, h, w) in patches of a picture (H, W, 3) or a clip (T, H, W, 3)."""
    frames, height, width = medium.shape[:3] if medium.ndim == 4 else (1, *medium.shape[:2])
    return grid_thw(frames, height, width)


def answer_targets(ids: np.ndarray, tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """(targets, turn_ids), both (L,): every token of an answer, and the <|im_end|> after it, has a loss."""
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


def collate(kind: str, items: Sequence[Dialogue], tokenizer: Tokenizer, template: ChatTemplate) -> Batch:
    """Dialogues of one kind and picture size as one batch, padded at the end."""
    encoded = [encode_dialogue(item, tokenizer, template) for item in items]
    longest = max(len(ids) for ids, _ in encoded)
    shape = (len(items), longest)
    input_ids = torch.full(shape, tokenizer.special("<|endoftext|>"))
    targets, turn_ids = torch.full(shape, IGNORED), torch.full(shape, -1)
    position_ids = torch.zeros(3, *shape, dtype=torch.int64)
    pixels, shapes, grids, cells, edges, characters, headings, inks = [], [], [], [], [], [], [], []
    numbers: list[np.ndarray] = []
    vision_ends: list[tuple[int, int, int, int]] = []
    attention_queries: list[tuple[int, int, int]] = []
    attention_masks: list[Tensor] = []
    for row, (item, (ids, spans)) in enumerate(zip(items, encoded, strict=True)):
        length = len(ids)
        input_ids[row, :length] = torch.from_numpy(ids)
        position_ids[:, row, :length] = torch.from_numpy(mrope_position_ids(length, spans)[0])
        target, turn = answer_targets(ids, tokenizer)
        targets[row, :length], turn_ids[row, :length] = torch.from_numpy(target), torch.from_numpy(turn)
        vision_ends += [(row, s.start + merged_tokens(s.grid), *merged_grid(s.grid)[1:]) for s in spans]
        numbers.append(media_numbers([span.grid for span in spans]))
        starts = dict(zip((m for t in item.turns for m in t.media), (span.start for span in spans), strict=True))
        for index, dialogue_turn in enumerate(item.turns):
            predicting = np.flatnonzero(turn == index)[:-1]  # the last position predicts <|im_end|>
            lengths = [len(tokenizer.decode([int(i)])) for i in target[predicting]]
            offsets = np.cumsum([0, *lengths])[:-1]  # where each token begins in the answer's text
            for part in dialogue_turn.attention_targets:
                mask = torch.zeros(longest, dtype=torch.bool)
                mask[torch.tensor(part.cells) + starts[part.medium]] = True
                queries = predicting[(offsets >= part.start) & (offsets < part.end)]
                attention_queries += [(row, int(position), len(attention_masks)) for position in queries]
                attention_masks.append(mask)
        for medium in (m for turn in item.turns for m in turn.media):
            frames = item.media[medium]
            frames = frames if frames.ndim == 4 else frames[None]
            pixels.append(torch.tensor(frames).flatten())
            shapes.append(frames.shape[:3])
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
        pixels=torch.cat(pixels) if pixels else torch.empty(0, dtype=torch.uint8),
        shapes=shapes,
        grids=grids,
        cells=torch.cat(cells) if cells else torch.empty(0, dtype=torch.int64),
        edges=torch.cat(edges) if edges else torch.empty(0, 5),
        characters=torch.cat(characters) if characters else torch.empty(0, CELL_CHARACTERS, dtype=torch.int64),
        headings=torch.cat(headings) if headings else torch.empty(0, dtype=torch.int64),
        inks=torch.cat(inks) if inks else torch.empty(0, dtype=torch.int64),
        grid_positions=torch.from_numpy(
            np.concatenate([np.empty((0, 2), np.int64), *(grid_positions(grid) for grid in grids)])
        ),
        media_numbers=torch.from_numpy(np.concatenate([np.empty(0, np.int64), *numbers])),
        vision_ends=torch.tensor(vision_ends, dtype=torch.int64).view(-1, 4),
        attention_queries=torch.tensor(attention_queries, dtype=torch.int64).view(-1, 3),
        attention_masks=torch.stack(attention_masks) if attention_masks else torch.zeros(0, longest, dtype=torch.bool),
        dialogues=list(items),
    )


def grid_positions(grid: Grid) -> np.ndarray:
    """The row and column of each merged token of a medium, (t * h * w, 2) in raster order."""
    t, h, w = merged_grid(grid)
    return np.tile(np.indices((h, w)).reshape(2, -1).T, (t, 1))


def media_numbers(grids: Sequence[Grid]) -> np.ndarray:
    """For each merged token of a dialogue, (M,), the index of its picture or pair of frames, counted from 0."""
    sizes = [h * w for t, h, w in map(merged_grid, grids) for _ in range(t)]
    return np.repeat(np.arange(len(sizes)), sizes)


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


def random_training_size(rng: np.random.Generator, kind: str) -> Size:
    """A size (height, width) as `random_size`, larger by the shares of `SIZE_SHARES`; pages from 4 merged tokens on."""
    shares = SIZE_SHARES.get(kind, (1.0,))
    step = int(rng.choice(len(shares), p=shares))
    if step == 0 and kind not in PRINTED:
        return random_size(rng, kind)
    low, high = SIZES[step - 1] if step else 4 if kind == "page" else 16, SIZES[step]
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

    Batches are `scale` times as large as a CPU's, those of larger pictures less so.
    """

    def __init__(
        self, tokenizer: Tokenizer, template: ChatTemplate, seed: int, dense_only: bool = False, scale: int = 1
    ) -> None:
        self.tokenizer, self.template = tokenizer, template
        self.seed, self.dense_only, self.scale = seed, dense_only, scale

    def __iter__(self) -> Iterator[Batch]:
        worker = torch.utils.data.get_worker_info()
        if worker:
            torch.set_num_threads(1)  # leave the other cores to the training process
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        dense_share = DENSE_SHARE_ALONE if self.dense_only else DENSE_SHARE
        kinds = ["scene", "text", "document", "clip", "limits", *PRINTED] if self.dense_only else list(MIX)
        shares = np.array([MIX[kind][0] for kind in kinds])
        while True:
            kind = "dense" if rng.random() < dense_share else str(rng.choice(kinds, p=shares / shares.sum()))
            size = random_training_size(rng, kind)
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
