"""Auxiliary heads and losses: the content and position of merged tokens, the attention of one head, and boxes.

They are used in training only and are not part of the model. Their parameters are kept in
`training/heads.safetensors` beside a checkpoint, under the attribute names of these classes.

Accuracies and other measures are scalar tensors, NaN where there is nothing to measure, and no result decides what is
computed next, so that a GPU is never waited for.

Axes: B dialogues, L tokens, M merged tokens, Q positions that predict a token of an answer, D dimensions of a head,
C hidden width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
    inks: Tensor  # (1 + colours,): the colour class of each of `COLOURS`, after one for none

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
        inks = torch.tensor([0, *(classes[1].index(colour) for colour in COLOURS)])
        self.register_buffer("inks", inks, persistent=False)
        classes.append(list(HEADINGS))
        for task, words in enumerate(classes):  # the id of each class's word, or -1
            tokens = torch.tensor([-1 if (token := token_of(word)) is None else token for word in words])
            self.register_buffer(f"tokens{task}", tokens, persistent=False)
        self.own = nn.ParameterList(0.1 * torch.randn(len(words), width) for words in classes)
        self.sharpness = nn.Parameter(torch.zeros(len(classes)))  # log of the inverse temperature
        self.edges = nn.Linear(width, 5)
        self.characters = nn.Linear(width, CELL_CHARACTERS * (len(CHARACTERS) + 1))

    def directions(self, task: int, embedding: Tensor) -> Tensor:
        """The unit vector of each class, (classes, C). No gradient flows into the embedding (V, C)."""
        ids = self.get_buffer(f"tokens{task}")
        known = (ids >= 0)[:, None]
        words = embedding.detach()[ids.clamp(min=0)]
        # The component shared by all words does not discriminate.
        words = words - (words * known).sum(0) / known.sum().clamp(min=1)
        return F.normalize(torch.where(known, words, self.own[task]), dim=1)

    def forward(self, vision: Tensor, batch: Batch, embedding: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The merged tokens (M, C) of a batch -> the loss, and accuracies (off the background) by task."""
        cells, edges, inks = batch.cells, batch.edges, batch.inks
        things, asked = cells > 0, cells != NOT_ASKED
        weights = torch.where(things, 1.0, BACKGROUND_WEIGHT) * asked
        loss, right = torch.zeros((), device=vision.device), {}
        level = F.rms_norm(vision, vision.shape[-1:])
        for task, name in enumerate(("what", "colour")):
            classes = self.table[cells, task]
            if name == "colour":
                classes = torch.where(inks > 0, self.inks[inks], classes)
                weights = torch.where(inks > 0, 1.0, weights)
            logits = level @ self.directions(task, embedding).T * self.sharpness[task].exp()
            errors = F.cross_entropy(logits, classes, reduction="none")
            loss = loss + (errors * weights).sum() / weights.sum().clamp(min=1)
            right[name] = mean_where(logits.argmax(-1) == classes, things)
        truth = batch.characters.flatten()
        logits = self.characters(vision).unflatten(-1, (CELL_CHARACTERS, -1)).flatten(0, 1)
        weights = torch.where(truth > 0, 1.0, NO_CHARACTER_WEIGHT)
        loss = loss + (F.cross_entropy(logits, truth, reduction="none") * weights).sum() / weights.sum()
        right["char"] = mean_where(logits.argmax(-1) == truth, truth > 0)
        headed, truth = batch.headings > 0, (batch.headings - 1).clamp(min=0)
        logits = level @ self.directions(2, embedding).T * self.sharpness[2].exp()
        errors = F.cross_entropy(logits, truth, reduction="none")
        loss = loss + (errors * headed).sum() / headed.sum().clamp(min=1) * HEADING_WEIGHT
        right["heading"] = mean_where(logits.argmax(-1) == truth, headed)
        # Where nothing has edges, neither is there a centre to ask for.
        occupied, edges = ~edges[:, 0].isnan(), edges.nan_to_num()
        predicted, centre, distances = self.edges(vision), edges[:, 0], edges[:, 1:]
        centre_loss = F.binary_cross_entropy_with_logits(predicted[:, 0], centre) * occupied.any()
        errors = F.smooth_l1_loss(predicted[:, 1:], distances, beta=0.1, reduction="none").mean(1)
        loss = loss + centre_loss + (errors * occupied).sum() / occupied.sum().clamp(min=1) * EDGE_WEIGHT
        right["edge"] = mean_where((predicted[:, 1:] - distances).abs().mean(1), occupied)
        right["centre"] = mean_where((predicted[:, 0] > 0) == (centre > 0.5), occupied)
        return loss, right


def mean_where(values: Tensor, wanted: Tensor) -> Tensor:
    """The mean of the values, or the share of those that are true, where `wanted`; NaN if that is nowhere."""
    return (values.detach() * wanted).sum() / wanted.sum()


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

    def forward(self, early: Tensor, late: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Hidden states (B, L, C) of two layers -> the loss, and accuracies."""
        early, late = early.flatten(0, 1).index_select(0, batch.merged), late.flatten(0, 1)
        rows, ends, *size = batch.vision_ends.unbind(1)
        loss, report = torch.zeros((), device=early.device), {}
        for name, logits, truth in (
            ("place", self.place(early), batch.grid_positions),
            (
                "size",
                self.size(late.index_select(0, rows * batch.input_ids.shape[1] + ends)),
                torch.stack(size, 1) - 1,
            ),
        ):
            logits = logits.unflatten(-1, (2, MAX_GRID_SIDE))
            loss = loss + F.cross_entropy(logits.flatten(0, 1), truth.flatten())
            report[name] = (logits.argmax(-1) == truth).all(1).float().mean()
        if batch.several_media:
            logits = self.number(early)
            loss = loss + F.cross_entropy(logits, batch.media_numbers)
            report["number"] = (logits.argmax(-1) == batch.media_numbers).float().mean()
        return loss, report


def attention_loss(
    attention: Attention, hidden: Tensor, cos: Tensor, sin: Tensor, batch: Batch
) -> tuple[Tensor, Tensor]:
    """Supervises the first head of a layer to attend to what each part of an answer is about.

    `hidden` (B, L, C), `cos` and `sin` (B, 1, L, D / 2) are the inputs of the layer's attention. Returns the negative
    logarithm of the attention mass on the target tokens, averaged over `batch.attention_queries`, and the average mass.
    """
    size, (dialogues, length) = attention.head_dim, hidden.shape[:2]
    rows, positions, parts, slots = batch.attention_queries.unbind(1)
    asking = rows * length + positions
    q = F.linear(
        hidden.flatten(0, 1).index_select(0, asking), attention.q_proj.weight[:size], attention.q_proj.bias[:size]
    )
    q = rotate(q, *(angles[:, 0].flatten(0, 1).index_select(0, asking) for angles in (cos, sin)))  # (Q, D)
    k = F.linear(hidden, attention.k_proj.weight[:size], attention.k_proj.bias[:size])
    k = rotate(k, cos[:, 0], sin[:, 0])  # (B, L, D)
    # The queries of each dialogue, as many as the one with the most has, lie in a row.
    q = q.new_zeros(dialogues * batch.most_queries, size).index_copy(0, slots, q).unflatten(0, (dialogues, -1))
    scores = (q @ k.mT).flatten(0, 1).index_select(0, slots) / size**0.5  # (Q, L)
    causal = torch.arange(length, device=hidden.device) <= positions[:, None]
    targets = batch.attention_masks[parts] & causal
    total = scores.masked_fill(~causal, float("-inf")).logsumexp(1)
    log_mass = scores.masked_fill(~targets, float("-inf")).logsumexp(1) - total
    return -log_mass.mean(), log_mass.detach().exp().mean()


class BoxHead(nn.Module):
    """Predicts from the language model the box of the thing that a part of an answer is about, where it is one thing.

    Once a hidden state encodes the box, words for places and the coordinates of boxes can be read off it.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.box = nn.Linear(width, 4)

    def forward(self, hidden: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Hidden states (B, L, C) -> the loss, and the mean absolute error as a share of the picture's sides."""
        rows, positions, parts, _ = batch.attention_queries.unbind(1)
        boxes = batch.boxes[parts]  # (Q, 4)
        single, truth = ~boxes[:, 0].isnan(), boxes.nan_to_num()
        predicted = self.box(hidden.flatten(0, 1).index_select(0, rows * hidden.shape[1] + positions))
        errors = F.smooth_l1_loss(predicted, truth, beta=0.03, reduction="none").mean(1)
        loss = (errors * single).sum() / single.sum().clamp(min=1)
        return loss, {"box_error": mean_where((predicted - truth).abs().mean(1), single)}
