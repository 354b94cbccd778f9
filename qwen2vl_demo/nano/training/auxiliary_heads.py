"""Auxiliary heads and losses: the content and position of merged tokens, the attention of one head, and boxes.

They are used in training only and are not part of the model. Their parameters are kept in
`training/heads.safetensors` beside a checkpoint, under the attribute names of these classes.

Axes: B dialogues, L tokens, M merged tokens, Q positions that predict a token of an answer, D dimensions of a head,
C hidden width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qwen2vl_demo.geometry import merged_grid
from qwen2vl_demo.model.language import Attention
from qwen2vl_demo.model.rope import rotate
from qwen2vl_demo.nano.training.batches import Batch
from qwen2vl_demo.nano.world.scene import (
    CELL_CHARACTERS,
    CELL_LABELS,
    CHARACTERS,
    CHART_PARTS,
    COLOURS,
    HEADINGS,
    NOT_ASKED,
    SHAPES,
)

BACKGROUND_WEIGHT = 0.3  # of the many easy cells that show nothing
NO_CHARACTER_WEIGHT = 0.03  # of the places in cells without a character
MAX_GRID_SIDE = 48  # merged tokens a side of any training picture
MAX_MEDIA = 8  # pictures and pairs of frames of any training dialogue
HEADING_WEIGHT = 2.0  # of the headings, which few pictures have
EDGE_WEIGHT = 1.0  # of the edges' error, in cells


class DenseLabelHead(nn.Module):
    """Predicts from each merged token of the vision transformer what its cell shows (see `CellTruth`).

    - Kind and colour, as two classifications, so that a star is learnt from stars of all colours.
    - Whether the thing's centre lies in the cell, which helps counting, and how far its edges are, for boxes.
    - The characters in the cell, and what an amount or a bar belongs to (its heading), so that the language model can
      find the price of an item in one step.

    Kinds, colours and headings are classified by cosine similarity with the language model's own word embeddings. A
    merged token that shows a cat thus lies in the direction of the word "cat", and the language model can match
    what a question names with what a picture shows.
    """

    table: Tensor  # (labels, 2): the class of each cell label for "what" and for "colour"
    inks: Tensor  # (colours,): the colour class of each of `COLOURS`

    def __init__(self, width: int, token_of: Callable[[str], int | None]) -> None:
        """`token_of` gives the id of a word that is a single token; other classes get a learnt vector (`own`)."""
        super().__init__()
        names = [
            label.rsplit(" ", 1)[::-1] if label.endswith((*SHAPES, *CHART_PARTS)) else (label, "")
            for label in CELL_LABELS
        ]
        classes = [sorted({name[task] for name in names}) for task in (0, 1)]
        table = [[classes[task].index(name[task]) for task in (0, 1)] for name in names]
        self.register_buffer("table", torch.tensor(table), persistent=False)
        inks = torch.tensor([classes[1].index(colour) for colour in COLOURS])
        self.register_buffer("inks", inks, persistent=False)
        classes.append(list(HEADINGS))
        self.tokens = [[token_of(word) for word in words] for words in classes]
        self.own = nn.ParameterList(0.1 * torch.randn(len(words), width) for words in classes)
        self.sharpness = nn.Parameter(torch.zeros(len(classes)))  # log of the inverse temperature
        self.edges = nn.Linear(width, 5)
        self.characters = nn.Linear(width, CELL_CHARACTERS * (len(CHARACTERS) + 1))

    def directions(self, task: int, embedding: Tensor) -> Tensor:
        """The unit vector of each class, (classes, C). No gradient flows into the embedding (V, C)."""
        ids = torch.tensor([-1 if t is None else t for t in self.tokens[task]], device=embedding.device)
        words = embedding.detach()[ids.clamp(min=0)]
        words = words - words[ids >= 0].mean(0)  # the component shared by all words does not discriminate
        return F.normalize(torch.where((ids >= 0)[:, None], words, self.own[task]), dim=1)

    def forward(self, vision: Tensor, batch: Batch, embedding: Tensor) -> tuple[Tensor, dict[str, float]]:
        """The merged tokens (M, C) of a batch -> the loss, and accuracies (off the background) by task."""
        cells, edges, characters, inks = (
            truth.to(vision.device) for truth in (batch.cells, batch.edges, batch.characters, batch.inks)
        )
        things, asked = cells > 0, cells != NOT_ASKED
        weights = torch.where(things, 1.0, BACKGROUND_WEIGHT) * asked
        loss, right = torch.zeros((), device=vision.device), {}
        level = F.rms_norm(vision, vision.shape[-1:])
        for task, name in enumerate(("what", "colour")):
            classes = self.table[cells, task]
            if name == "colour":
                classes = torch.where(inks > 0, self.inks[inks - 1], classes)
                weights = torch.where(inks > 0, 1.0, weights)
            logits = level @ self.directions(task, embedding).T * self.sharpness[task].exp()
            loss = loss + (F.cross_entropy(logits, classes, reduction="none") * weights).sum() / weights.sum().clamp(
                min=1
            )
            if things.any():
                right[name] = (logits.argmax(-1) == classes)[things].float().mean().item()
        logits, truth = self.characters(vision).unflatten(-1, (CELL_CHARACTERS, -1)).flatten(0, 1), characters.flatten()
        weights = torch.where(truth > 0, 1.0, NO_CHARACTER_WEIGHT)
        loss = loss + (F.cross_entropy(logits, truth, reduction="none") * weights).sum() / weights.sum()
        if (truth > 0).any():
            right["char"] = (logits.argmax(-1) == truth)[truth > 0].float().mean().item()
        headings = batch.headings.to(vision.device)
        if (headed := headings > 0).any():
            logits = level[headed] @ self.directions(2, embedding).T * self.sharpness[2].exp()
            loss = loss + F.cross_entropy(logits, headings[headed] - 1) * HEADING_WEIGHT
            right["heading"] = (logits.argmax(-1) == headings[headed] - 1).float().mean().item()
        occupied = ~edges[:, 0].isnan()
        if occupied.any():
            predicted, centre = self.edges(vision), torch.where(occupied, edges[:, 0], 0.0)
            loss = loss + F.binary_cross_entropy_with_logits(predicted[:, 0], centre)
            distance_loss = F.smooth_l1_loss(predicted[occupied, 1:], edges[occupied, 1:], beta=0.1)
            loss = loss + distance_loss * EDGE_WEIGHT
            right["edge"] = (predicted[occupied, 1:] - edges[occupied, 1:]).abs().mean().item()
            right["centre"] = ((predicted[:, 0] > 0) == (centre > 0.5))[occupied].float().mean().item()
        return loss, right


class PositionHead(nn.Module):
    """Predicts from the language model each merged token's row and column, its picture, and the size of each grid.

    Row and column are known from the position ids alone. The size of a grid follows from the position of its last
    token, which the token after it (<|vision_end|>) can read one layer later. Which of several pictures a token belongs
    to follows from the tokens before it.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.place, self.size = (nn.Linear(width, 2 * MAX_GRID_SIDE) for _ in range(2))
        self.number = nn.Linear(width, MAX_MEDIA)

    def forward(self, early: Tensor, late: Tensor, seen: Tensor, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Hidden states (B, L, C) of two layers, and the mask of merged tokens (B, L) -> the loss, and accuracies."""
        positions, (rows, ends, *size) = (
            batch.grid_positions.to(early.device),
            batch.vision_ends.to(early.device).unbind(1),
        )
        loss, report = torch.zeros((), device=early.device), {}
        for name, logits, truth in (
            ("place", self.place(early[seen]), positions),
            ("size", self.size(late[rows, ends]), torch.stack(size, 1) - 1),
        ):
            logits = logits.unflatten(-1, (2, MAX_GRID_SIDE))
            loss = loss + F.cross_entropy(logits.flatten(0, 1), truth.flatten())
            report[name] = (logits.argmax(-1) == truth).all(1).float().mean().item()
        media_numbers = batch.media_numbers.to(early.device)
        if media_numbers.any():
            logits = self.number(early[seen])
            loss = loss + F.cross_entropy(logits, media_numbers)
            report["number"] = (logits.argmax(-1) == media_numbers).float().mean().item()
        return loss, report


def attention_loss(
    attention: Attention, hidden: Tensor, cos: Tensor, sin: Tensor, batch: Batch
) -> tuple[Tensor, float]:
    """Supervises the first head of a layer to attend to what each part of an answer is about.

    `hidden` (B, L, C), `cos` and `sin` are the inputs of the layer's attention. Returns the negative logarithm of the
    attention mass on the target tokens, averaged over `batch.attention_queries`, and the average mass itself.
    """
    size, device = attention.head_dim, hidden.device
    q = F.linear(hidden, attention.q_proj.weight[:size], attention.q_proj.bias[:size])
    k = F.linear(hidden, attention.k_proj.weight[:size], attention.k_proj.bias[:size])
    q, k = (rotate(x[:, None], cos, sin)[:, 0] for x in (q, k))  # (B, L, D)
    rows, positions, parts = batch.attention_queries.to(device).unbind(1)
    scores = (q @ k.transpose(1, 2))[rows, positions] / size**0.5  # (Q, L)
    causal = torch.arange(scores.shape[1], device=device) <= positions[:, None]
    targets = batch.attention_masks.to(device)[parts] & causal
    total = scores.masked_fill(~causal, float("-inf")).logsumexp(1)
    log_mass = scores.masked_fill(~targets, float("-inf")).logsumexp(1) - total
    return -log_mass.mean(), log_mass.exp().mean().item()


class BoxHead(nn.Module):
    """Predicts from the language model the box of the thing that a part of an answer is about, where it is one thing.

    Once a hidden state encodes the box, words for places and the coordinates of boxes can be read off it.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.box = nn.Linear(width, 4)

    def forward(self, hidden: Tensor, seen: Tensor, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Hidden states (B, L, C), and the mask of merged tokens (B, L) -> the loss, and the mean absolute error as a
        share of the picture's sides."""
        device = hidden.device
        sizes = batch.vision_ends[:, [3, 2]].repeat_interleave(
            torch.tensor([t * h * w for t, h, w in map(merged_grid, batch.grids)]), dim=0
        )
        sides = (batch.grid_positions[:, [1, 0]] + 0.5).repeat(1, 2) + batch.edges[
            :, 1:
        ]  # left, top, right, bottom in cells
        boxes = torch.full((*seen.shape, 4), float("nan"), device=device)
        boxes[seen] = (sides / sizes.repeat(1, 2)).to(device)
        rows, positions, parts = batch.attention_queries.to(device).unbind(1)
        targets = batch.attention_masks.to(device)[parts, :, None] & ~boxes[rows].isnan()
        low = boxes[rows].masked_fill(~targets, float("inf")).amin(1)
        high = boxes[rows].masked_fill(~targets, float("-inf")).amax(1)
        # All target tokens belong to one thing, so they agree on its box.
        single = (targets.any(1) & (high - low < 0.02)).all(1)
        if not single.any():
            return torch.zeros((), device=device), {}
        predicted, truth = self.box(hidden[rows, positions][single]), low[single]
        return F.smooth_l1_loss(predicted, truth, beta=0.03), {"box_error": (predicted - truth).abs().mean().item()}
