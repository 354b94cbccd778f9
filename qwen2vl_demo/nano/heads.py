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
from qwen2vl_demo.nano.scene import SHAPES
from qwen2vl_demo.nano.world import CELL_LABELS

BACKGROUND_WEIGHT = 0.3  # of a cell with nothing in it: there are many, and they are easy


class DenseHead(nn.Module):
    """Says of each merged token what lies there and in which colour: two questions, so that a star is learnt from
    the stars of all colours."""

    table: Tensor  # (labels, 2): the two answers that each label stands for

    def __init__(self, width: int) -> None:
        super().__init__()
        names = [label.rsplit(" ", 1)[::-1] if label.endswith(SHAPES) else (label, "") for label in CELL_LABELS]
        answers = [sorted({name[question] for name in names}) for question in (0, 1)]
        table = [[answers[question].index(name[question]) for question in (0, 1)] for name in names]
        self.register_buffer("table", torch.tensor(table))
        self.heads = nn.ModuleList(nn.Linear(width, len(known)) for known in answers)

    def forward(self, vision: Tensor, cells: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Merged tokens (M, C) and their labels (M,) -> the loss, and the share of right answers off the background."""
        things = cells > 0
        weights = torch.where(things, 1.0, BACKGROUND_WEIGHT)
        loss, right = torch.zeros((), device=vision.device), {}
        for name, head, answers in zip(("what", "colour"), self.heads, self.table[cells].unbind(1), strict=True):
            logits = head(vision)
            loss = loss + (F.cross_entropy(logits, answers, reduction="none") * weights).sum() / weights.sum()
            if things.any():
                right[name] = (logits.argmax(-1) == answers)[things].float().mean().item()
        return loss, right


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
