"""What training asks beside the answers: what lies under a merged token, and whether a head looks at the right ones.

Used while training only; nothing of it is in a checkpoint.

Axes: B conversations, L tokens, M merged tokens, Q positions that write a token of an answer, D numbers a head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qwen2vl_demo.model.language import Attention
from qwen2vl_demo.model.rope import rotate
from qwen2vl_demo.nano.batches import Batch
from qwen2vl_demo.nano.scene import CHARACTERS, CHART_PARTS, SHAPES
from qwen2vl_demo.nano.world import CELL_LABELS

BACKGROUND_WEIGHT = 0.3  # of a cell with nothing in it: there are many, and they are easy
NO_CHARACTER_WEIGHT = 0.03
MOST_CELLS = 24  # a side, of all pictures that training draws
EDGE_WEIGHT = 1.0  # of the error of the edges, in cells


class DenseHead(nn.Module):
    """Says of each merged token what lies there and in which colour: two questions, so that a star is learnt from
    the stars of all colours. And whether the thing's centre lies there, which counts each thing once, and how far its
    edges are, which boxes are made of. And which characters stand in it, from left to right."""

    table: Tensor  # (labels, 2): the two answers that each label stands for

    def __init__(self, width: int) -> None:
        super().__init__()
        names = [
            label.rsplit(" ", 1)[::-1] if label.endswith((*SHAPES, *CHART_PARTS)) else (label, "")
            for label in CELL_LABELS
        ]
        answers = [sorted({name[question] for name in names}) for question in (0, 1)]
        table = [[answers[question].index(name[question]) for question in (0, 1)] for name in names]
        self.register_buffer("table", torch.tensor(table))
        self.heads = nn.ModuleList(nn.Linear(width, len(known)) for known in answers)
        self.edges = nn.Linear(width, 5)
        self.characters = nn.Linear(width, 3 * (len(CHARACTERS) + 1))

    def forward(self, vision: Tensor, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """The merged tokens (M, C) of a batch -> the loss, and the share of right answers off the background."""
        cells, edges, characters = (truth.to(vision.device) for truth in (batch.cells, batch.edges, batch.characters))
        things = cells > 0
        weights = torch.where(things, 1.0, BACKGROUND_WEIGHT)
        loss, right = torch.zeros((), device=vision.device), {}
        for name, head, answers in zip(("what", "colour"), self.heads, self.table[cells].unbind(1), strict=True):
            logits = head(vision)
            loss = loss + (F.cross_entropy(logits, answers, reduction="none") * weights).sum() / weights.sum()
            if things.any():
                right[name] = (logits.argmax(-1) == answers)[things].float().mean().item()
        logits, truth = self.characters(vision).unflatten(-1, (3, -1)).flatten(0, 1), characters.flatten()
        weights = torch.where(truth > 0, 1.0, NO_CHARACTER_WEIGHT)
        loss = loss + (F.cross_entropy(logits, truth, reduction="none") * weights).sum() / weights.sum()
        if (truth > 0).any():
            right["char"] = (logits.argmax(-1) == truth)[truth > 0].float().mean().item()
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
    """Asks a layer of the language model where each merged token lies, and how many rows and columns there were.

    Only the position ids tell a token's row and column; the size of the grid is known behind its last token.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.place, self.size = (nn.Linear(width, 2 * MOST_CELLS) for _ in range(2))

    def forward(self, hidden: Tensor, seen: Tensor, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Hidden states (B, L, C) and which of them are merged tokens (B, L) -> the loss, and the share of right
        answers."""
        places, (rows, at, *size) = batch.places.to(hidden.device), batch.ends.to(hidden.device).unbind(1)
        loss, report = torch.zeros((), device=hidden.device), {}
        for name, logits, truth in (
            ("place", self.place(hidden[seen]), places),
            ("size", self.size(hidden[rows, at]), torch.stack(size, 1) - 1),
        ):
            logits = logits.unflatten(-1, (2, MOST_CELLS))
            loss = loss + F.cross_entropy(logits.flatten(0, 1), truth.flatten())
            report[name] = (logits.argmax(-1) == truth).all(1).float().mean().item()
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
