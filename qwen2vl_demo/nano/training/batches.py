"""Training batches: dialogues as token ids of the real chat template, with targets, patches and auxiliary targets.

A batch holds dialogues of one kind and one picture size, so that the vision transformer gets segments of equal length.

Axes: B dialogues, L tokens, A tokens of answers, N patches, M merged tokens, K media, Q attention queries, P attention
targets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qwen2vl_demo.config import VisionConfig
from qwen2vl_demo.geometry import (
    Grid,
    VisionSpan,
    grid_thw,
    merged_grid,
    merged_tokens,
    mrope_position_ids,
)
from qwen2vl_demo.nano.checkpoint import PREPROCESSOR
from qwen2vl_demo.nano.dialogue.dialogue import Dialogue
from qwen2vl_demo.nano.training.spelling import letter_ids, spell_out
from qwen2vl_demo.nano.world.drawing import CellTruth
from qwen2vl_demo.nano.world.scene import CELL_CHARACTERS
from qwen2vl_demo.processing.chat import ChatTemplate, encode_chat
from qwen2vl_demo.processing.image import ImageConfig
from qwen2vl_demo.processing.messages import Image, Message, Video, question_parts
from qwen2vl_demo.processing.patches import CPU, cut_patches
from qwen2vl_demo.processing.tokenizer import IMAGE_PAD, VIDEO_PAD, Tokenizer

IGNORED = -100  # the target of positions without a loss, cross_entropy's default `ignore_index`
IMAGE_CONFIG = ImageConfig.from_dict(PREPROCESSOR)

PRINTED = ("page", "paper")  # kinds of open text


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
    merged: Tensor  # (M,) int64: where the merged tokens are in a list of all B * L tokens; likewise the next
    answers: Tensor  # (A,) int64: positions whose next token belongs to an answer
    # (Q, 4) int64: dialogue, position that predicts a token, row of `attention_masks`, and a number: that of the
    # dialogue times `most_queries`, counted on from there
    attention_queries: Tensor
    attention_masks: Tensor  # (P, L) bool: the merged tokens that a part of an answer depends on
    boxes: (
        Tensor  # (P, 4) float32: the box of those as shares of the picture's sides, NaN unless they have one in common
    )
    most_queries: int  # of any dialogue
    several_media: bool  # whether a dialogue has more than one picture or pair of frames
    dialogues: list[Dialogue]  # for evaluation; empty in training

    def to(self, device: torch.device) -> Batch:
        """The batch with its tensors on a device. From pinned memory they are sent while the device computes."""
        return self._with_tensors(lambda tensor: tensor.to(device, non_blocking=device.type == "cuda"))

    def pin_memory(self) -> Batch:
        """Called by the DataLoader, in a thread of its own."""
        return self._with_tensors(lambda tensor: tensor.pin_memory())

    def _with_tensors(self, change: Callable[[Tensor], Tensor]) -> Batch:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {name: change(each) for name, each in values.items() if isinstance(each, Tensor)}
        return replace(self, **changed)

    def patches(self, vision: VisionConfig, device: torch.device = CPU) -> Tensor:
        """The patches of all media, float32, cut on `device`: (N, 588) if all are stills, else (N, 1176).

        Media of one shape are cut together.
        """
        sent, stills = self.pixels.to(device), all(frames == 1 for frames, _, _ in self.shapes)
        found, start = [], 0
        for shape, run in groupby(self.shapes):
            count, (frames, height, width) = len(list(run)), shape
            end = start + count * frames * height * width * 3
            pixels = sent[start:end].view(count, frames, height, width, 3)
            if frames == 1 and not stills:  # each must be its own pair of frames, as the clips beside it have
                pixels = pixels.expand(-1, vision.temporal_patch_size, -1, -1, -1)
            found.append(cut_patches(pixels.flatten(0, 1), vision, IMAGE_CONFIG, once=stills))
            start = end
        return torch.cat(found) if found else torch.empty(0, vision.patch_dim, device=device)


def encode_dialogue(
    item: Dialogue, tokenizer: Tokenizer, template: ChatTemplate, letters: dict[str, int]
) -> tuple[np.ndarray, list[VisionSpan]]:
    """The token ids (L,) of a whole dialogue, answers included, and the spans of its media.

    `letters`, from `letter_ids`, spell out what answers copy.
    """
    messages: list[Message] = []
    placeholders: list[int] = []
    for turn in item.turns:
        media = [Video(b"") if item.media[m].ndim == 4 else Image(b"") for m in turn.media]
        placeholders += [merged_tokens(grid_of(item.media[m])) for m in turn.media]
        messages.append(Message("user", [*media, *question_parts(turn.question)]))
        messages.append(Message("assistant", turn.answer))
    chat = encode_chat(
        messages, template, tokenizer, placeholders=placeholders, add_vision_id=False, add_generation_prompt=False
    )
    order = [m for turn in item.turns for m in turn.media]
    ids, positions = spell_out(
        chat.input_ids, answer_targets(chat.input_ids, tokenizer)[1], item.turns, tokenizer, letters
    )
    return ids, [
        VisionSpan(int(positions[s.start]), grid_of(item.media[m])) for s, m in zip(chat.media, order, strict=True)
    ]


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
    letters = letter_ids(tokenizer)
    encoded = [encode_dialogue(item, tokenizer, template, letters) for item in items]
    longest = max(len(ids) for ids, _ in encoded)
    shape = (len(items), longest)
    input_ids = torch.full(shape, tokenizer.special("<|endoftext|>"))
    targets, turn_ids = torch.full(shape, IGNORED), torch.full(shape, -1)
    position_ids = torch.zeros(3, *shape, dtype=torch.int64)
    pixels, shapes, grids, cells, edges, characters, headings, inks = [], [], [], [], [], [], [], []
    numbers: list[np.ndarray] = []
    vision_ends: list[tuple[int, int, int, int]] = []
    attention_queries: list[tuple[int, int, int, int]] = []
    attention_masks: list[Tensor] = []
    boxes: list[np.ndarray] = []
    for row, (item, (ids, spans)) in enumerate(zip(items, encoded, strict=True)):
        length = len(ids)
        input_ids[row, :length] = torch.from_numpy(ids)
        position_ids[:, row, :length] = torch.from_numpy(mrope_position_ids(length, spans)[0])
        target, turn = answer_targets(ids, tokenizer)
        targets[row, :length], turn_ids[row, :length] = torch.from_numpy(target), torch.from_numpy(turn)
        vision_ends += [(row, s.start + merged_tokens(s.grid), *merged_grid(s.grid)[1:]) for s in spans]
        numbers.append(media_numbers([span.grid for span in spans]))
        starts = dict(zip((m for t in item.turns for m in t.media), (span.start for span in spans), strict=True))
        medium_boxes = {m: np.concatenate([cell_boxes(truth) for truth in item.cells[m]]) for m in starts}
        asked = 0
        for index, dialogue_turn in enumerate(item.turns):
            predicting = np.flatnonzero(turn == index)[:-1]  # the last position predicts <|im_end|>
            lengths = [len(tokenizer.decode([int(i)])) for i in target[predicting]]
            offsets = np.cumsum([0, *lengths])[:-1]  # where each token begins in the answer's text
            for part in dialogue_turn.attention_targets:
                mask = torch.zeros(longest, dtype=torch.bool)
                mask[torch.tensor(part.cells) + starts[part.medium]] = True
                queries = predicting[(offsets >= part.start) & (offsets < part.end)]
                attention_queries += [
                    (row, int(position), len(attention_masks), number) for number, position in enumerate(queries, asked)
                ]
                asked += len(queries)
                attention_masks.append(mask)
                boxes.append(common_box(medium_boxes[part.medium][list(part.cells)]))
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
    asking = torch.tensor(attention_queries, dtype=torch.int64).view(-1, 4)
    most_queries = int(asking[:, 3].max()) + 1 if len(asking) else 0
    asking[:, 3] += asking[:, 0] * most_queries
    visual = (input_ids == tokenizer.special(IMAGE_PAD)) | (input_ids == tokenizer.special(VIDEO_PAD))
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
        merged=visual.flatten().nonzero()[:, 0],
        answers=(targets != IGNORED).flatten().nonzero()[:, 0],
        attention_queries=asking,
        attention_masks=torch.stack(attention_masks) if attention_masks else torch.zeros(0, longest, dtype=torch.bool),
        boxes=torch.from_numpy(np.stack(boxes)) if boxes else torch.empty(0, 4),
        most_queries=most_queries,
        several_media=any(number.any() for number in numbers),
        dialogues=list(items),
    )


def cell_boxes(truth: CellTruth) -> np.ndarray:
    """For each cell of a picture the box (left, top, right, bottom) of the thing in it, (cells, 4) float32, as shares
    of the picture's sides; NaN where there is none."""
    rows, columns = truth.labels.shape
    y, x = np.indices((rows, columns)) + 0.5
    boxes = (np.stack([x, y, x, y], -1) + truth.edges[..., 1:]) / (columns, rows, columns, rows)
    return boxes.reshape(-1, 4).astype(np.float32)


def common_box(boxes: np.ndarray) -> np.ndarray:
    """The box on which those of some cells, (cells, 4), agree, (4,); NaN if these belong to several things or none."""
    boxes = boxes[~np.isnan(boxes).any(1)]
    if len(boxes) and (np.ptp(boxes, axis=0) < 0.02).all():
        return boxes.min(0)
    return np.full(4, np.nan, np.float32)


def grid_positions(grid: Grid) -> np.ndarray:
    """The row and column of each merged token of a medium, (t * h * w, 2) in raster order."""
    t, h, w = merged_grid(grid)
    return np.tile(np.indices((h, w)).reshape(2, -1).T, (t, 1))


def media_numbers(grids: Sequence[Grid]) -> np.ndarray:
    """For each merged token of a dialogue, (M,), the index of its picture or pair of frames, counted from 0."""
    sizes = [h * w for t, h, w in map(merged_grid, grids) for _ in range(t)]
    return np.repeat(np.arange(len(sizes)), sizes)
