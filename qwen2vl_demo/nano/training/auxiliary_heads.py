"""What training asks beside the answers: what lies under a merged token, whether a head looks at the right ones, and
where that is.

Used while training only; nothing of it is in a checkpoint.

Axes: B conversations, L tokens, M merged tokens, Q positions that write a token of an answer, D numbers a head.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qwen2vl_demo.geometry import merged_grid
from qwen2vl_demo.model.language import Attention
from qwen2vl_demo.model.rope import rotate
from qwen2vl_demo.nano.dialogue.generator import CELL_LABELS
from qwen2vl_demo.nano.training.batches import Batch
from qwen2vl_demo.nano.world.scene import CHARACTERS, CHART_PARTS, COLOURS, HEADINGS, SHAPES

BACKGROUND_WEIGHT = 0.3  # of a cell with nothing in it: there are many, and they are easy
NO_CHARACTER_WEIGHT = 0.03
MOST_CELLS = 48  # a side, of all pictures that training draws
MOST_PICTURES = 8  # or pairs of frames, of all conversations
HEADING_WEIGHT = 2.0  # of what amounts and bars belong to: few pictures have them
EDGE_WEIGHT = 1.0  # of the error of the edges, in cells


class DenseHead(nn.Module):
    """Says of each merged token what lies there and in which colour it is, or is written: two questions, so that a star
    is learnt from the stars of all colours. And whether the thing's centre lies there, which counts each thing once,
    and how far its edges are, which boxes are made of. And which characters stand in it, from left to right, and what
    an amount or a bar belongs to, so that the language model finds the price of the cake in one step.

    A merged token says "cat" by lying in the direction of the language model's own vector of that word, so that the
    language model finds what a question names, and names what it finds, by likeness instead of noun by noun.
    """

    table: Tensor  # (labels, 2): the two answers that each label stands for
    inks: Tensor  # (colours,): the answer that each of `COLOURS` is

    def __init__(self, width: int, token_of: Callable[[str], int | None]) -> None:
        """`token_of` gives the id of a word that is one token; other answers get a vector of their own."""
        super().__init__()
        names = [
            label.rsplit(" ", 1)[::-1] if label.endswith((*SHAPES, *CHART_PARTS)) else (label, "")
            for label in CELL_LABELS
        ]
        answers = [sorted({name[question] for name in names}) for question in (0, 1)]
        table = [[answers[question].index(name[question]) for question in (0, 1)] for name in names]
        self.register_buffer("table", torch.tensor(table), persistent=False)
        inks = torch.tensor([answers[1].index(colour) for colour in COLOURS])
        self.register_buffer("inks", inks, persistent=False)
        answers.append(list(HEADINGS))
        self.tokens = [[token_of(answer) for answer in known] for known in answers]
        self.own = nn.ParameterList(0.1 * torch.randn(len(known), width) for known in answers)
        self.sharpness = nn.Parameter(torch.zeros(len(answers)))
        self.edges = nn.Linear(width, 5)
        self.characters = nn.Linear(width, 3 * (len(CHARACTERS) + 1))

    def directions(self, question: int, embedding: Tensor) -> Tensor:
        """The direction of each answer, (answers, C) of length 1. The embedding (V, C) itself is not taught here."""
        ids = torch.tensor([-1 if t is None else t for t in self.tokens[question]], device=embedding.device)
        words = embedding.detach()[ids.clamp(min=0)]
        words = words - words[ids >= 0].mean(0)  # what all words share tells nothing apart
        return F.normalize(torch.where((ids >= 0)[:, None], words, self.own[question]), dim=1)

    def forward(self, vision: Tensor, batch: Batch, embedding: Tensor) -> tuple[Tensor, dict[str, float]]:
        """The merged tokens (M, C) of a batch -> the loss, and the share of right answers off the background."""
        cells, edges, characters, inks = (
            truth.to(vision.device) for truth in (batch.cells, batch.edges, batch.characters, batch.inks)
        )
        things = cells > 0
        weights = torch.where(things, 1.0, BACKGROUND_WEIGHT)
        loss, right = torch.zeros((), device=vision.device), {}
        level = F.rms_norm(vision, vision.shape[-1:])
        for question, name in enumerate(("what", "colour")):
            answers = self.table[cells, question]
            if name == "colour":
                answers = torch.where(inks > 0, self.inks[inks - 1], answers)
            logits = level @ self.directions(question, embedding).T * self.sharpness[question].exp()
            loss = loss + (F.cross_entropy(logits, answers, reduction="none") * weights).sum() / weights.sum()
            if things.any():
                right[name] = (logits.argmax(-1) == answers)[things].float().mean().item()
        logits, truth = self.characters(vision).unflatten(-1, (3, -1)).flatten(0, 1), characters.flatten()
        weights = torch.where(truth > 0, 1.0, NO_CHARACTER_WEIGHT)
        loss = loss + (F.cross_entropy(logits, truth, reduction="none") * weights).sum() / weights.sum()
        if (truth > 0).any():
            right["char"] = (logits.argmax(-1) == truth)[truth > 0].float().mean().item()
        headings = batch.headings.to(vision.device)
        if (headed := headings > 0).any():
            logits = level[headed] @ self.directions(2, embedding).T * self.sharpness[2].exp()
            loss = loss + F.cross_entropy(logits, headings[headed] - 1) * HEADING_WEIGHT
            right["heading"] = (logits.argmax(-1) == headings[headed] - 1).float().mean().item()
        known = ~edges[:, 0].isnan()
        if known.any():
            told, middle = self.edges(vision), torch.where(known, edges[:, 0], 0.0)
            loss = loss + F.binary_cross_entropy_with_logits(told[:, 0], middle)
            far = F.smooth_l1_loss(told[known, 1:], edges[known, 1:], beta=0.1)
            loss = loss + far * EDGE_WEIGHT
            right["edge"] = (told[known, 1:] - edges[known, 1:]).abs().mean().item()
            right["centre"] = ((told[:, 0] > 0) == (middle > 0.5))[known].float().mean().item()
        return loss, right


class PlaceHead(nn.Module):
    """Asks the language model where each merged token lies, in which picture, and how many rows and columns there were.

    Only the position ids tell a token's row and column. The size of the grid is that of its last token's place, which
    the token behind it can know one layer later. In which of several pictures it lies, only those before it tell.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.place, self.size = (nn.Linear(width, 2 * MOST_CELLS) for _ in range(2))
        self.number = nn.Linear(width, MOST_PICTURES)

    def forward(self, early: Tensor, late: Tensor, seen: Tensor, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Hidden states (B, L, C) of two layers and which are merged tokens (B, L) -> the loss, and the share of
        right answers."""
        places, (rows, at, *size) = batch.places.to(early.device), batch.ends.to(early.device).unbind(1)
        loss, report = torch.zeros((), device=early.device), {}
        for name, logits, truth in (
            ("place", self.place(early[seen]), places),
            ("size", self.size(late[rows, at]), torch.stack(size, 1) - 1),
        ):
            logits = logits.unflatten(-1, (2, MOST_CELLS))
            loss = loss + F.cross_entropy(logits.flatten(0, 1), truth.flatten())
            report[name] = (logits.argmax(-1) == truth).all(1).float().mean().item()
        numbers = batch.numbers.to(early.device)
        if numbers.any():
            told = self.number(early[seen])
            loss = loss + F.cross_entropy(told, numbers)
            report["number"] = (told.argmax(-1) == numbers).float().mean().item()
        return loss, report


def looking_loss(attention: Attention, hidden: Tensor, cos: Tensor, sin: Tensor, batch: Batch) -> tuple[Tensor, float]:
    """How far the first head of a layer is from looking only at what each part of an answer is about.

    `hidden` (B, L, C), `cos` and `sin` are what the layer's attention got. Minus the logarithm of the attention that
    lies on the right merged tokens, averaged over `batch.looks`; and that attention itself, averaged.
    """
    size, device = attention.head_dim, hidden.device
    q = F.linear(hidden, attention.q_proj.weight[:size], attention.q_proj.bias[:size])
    k = F.linear(hidden, attention.k_proj.weight[:size], attention.k_proj.bias[:size])
    q, k = (rotate(x[:, None], cos, sin)[:, 0] for x in (q, k))  # (B, L, D)
    rows, positions, parts = batch.looks.to(device).unbind(1)
    scores = (q @ k.transpose(1, 2))[rows, positions] / size**0.5  # (Q, L)
    before = torch.arange(scores.shape[1], device=device) <= positions[:, None]
    right = batch.looked_at.to(device)[parts] & before
    whole = scores.masked_fill(~before, float("-inf")).logsumexp(1)
    share = scores.masked_fill(~right, float("-inf")).logsumexp(1) - whole
    return -share.mean(), share.exp().mean().item()


class BoxHead(nn.Module):
    """Asks the language model for the box of what a part of an answer is about, wherever that is one thing: the words
    for places, and the numbers of boxes, are then a matter of saying it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.box = nn.Linear(width, 4)

    def forward(self, hidden: Tensor, seen: Tensor, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Hidden states (B, L, C) and which of them are merged tokens (B, L) -> the loss, and the average error in
        shares of the picture's sides."""
        device = hidden.device
        sizes = batch.ends[:, [3, 2]].repeat_interleave(
            torch.tensor([t * h * w for t, h, w in map(merged_grid, batch.grids)]), dim=0
        )
        sides = (batch.places[:, [1, 0]] + 0.5).repeat(1, 2) + batch.edges[:, 1:]  # left, top, right, bottom in cells
        boxes = torch.full((*seen.shape, 4), float("nan"), device=device)
        boxes[seen] = (sides / sizes.repeat(1, 2)).to(device)
        rows, positions, parts = batch.looks.to(device).unbind(1)
        there = batch.looked_at.to(device)[parts, :, None] & ~boxes[rows].isnan()
        known = boxes[rows]
        low = known.masked_fill(~there, float("inf")).amin(1)
        high = known.masked_fill(~there, float("-inf")).amax(1)
        # All merged tokens looked at belong to one thing.
        single = (there.any(1) & (high - low < 0.02)).all(1)
        if not single.any():
            return torch.zeros((), device=device), {}
        told, truth = self.box(hidden[rows, positions][single]), low[single]
        return F.smooth_l1_loss(told, truth, beta=0.03), {"box_off": (told - truth).abs().mean().item()}
