"""Captures the attention, and the hidden states, of chosen tokens: an argument of a forward pass, owned by the caller.

The probabilities are computed beside the layer's own attention, from the same queries and keys, for the chosen rows
only. The output of the layer does not change.

Axes: H query heads, G key-value heads, R = H / G query heads per key-value head, N chosen rows, L new tokens, S cached
and new tokens, D head dimension, C width.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class Capture:
    """Pass it to `forward`, then read `weights`. For one sequence (B = 1), in one pass or in several chunks."""

    def __init__(self, rows: Iterable[int], *, states: bool = False) -> None:
        """`rows` are indices of tokens in the whole sequence, cached ones included. Only rows that run are captured.
        Hidden states are kept with `states`."""
        self.rows = tuple(sorted(set(rows)))
        self._states: dict[int, list[Tensor]] | None = {row: [] for row in self.rows} if states else None
        self._taken: dict[int, list[Tensor]] = {row: [] for row in self.rows}  # for each layer: (H, row + 1)

    def take(self, q: Tensor, k: Tensor) -> None:
        """Called by each layer, in order, with its rotated q (1, H, L, D) and all keys k (1, G, S, D)."""
        batch, heads, length, width = q.shape
        if batch != 1:
            raise ValueError(f"attention is captured for one sequence at a time, not {batch}")
        total, groups = k.shape[2], k.shape[1]
        start = total - length
        rows = [row for row in self.rows if start <= row < total]
        if not rows:
            return
        chosen = q[0, :, [row - start for row in rows]].float()  # (H, N, D)
        scores = chosen.reshape(groups, -1, width) @ k[0].float().transpose(1, 2) * width**-0.5  # (G, R * N, S)
        later = torch.arange(total, device=q.device) > torch.tensor(rows, device=q.device)[:, None]  # (N, S)
        weights = scores.reshape(heads, len(rows), total).masked_fill(later, float("-inf")).softmax(-1)
        for index, row in enumerate(rows):
            self._taken[row].append(weights[:, index, : row + 1])

    def see(self, states: Tensor, total: int) -> None:
        """Called before the first layer and after each with the states (1, L, C) of the last L of `total` tokens."""
        if self._states is None:
            return
        start = total - states.shape[1]
        for row in self.rows:
            if start <= row < total:
                self._states[row].append(states[0, row - start])

    def states(self, row: int) -> Tensor:
        """The hidden states of one row, before the final norm: (layers + 1, C) on the CPU.

        Raises KeyError for a row that was not chosen, ValueError for one that was not run or kept.
        """
        if self._states is None or not self._states[row]:
            raise ValueError(f"row {row} was not run while its states were kept")
        return torch.stack([state.cpu() for state in self._states[row]])

    def weights(self, row: int) -> Tensor:
        """The attention of one row over the tokens up to itself, (layers, H, row + 1) float32 on the CPU.

        Each head of each layer sums to one. Raises KeyError for a row that was not chosen, ValueError for one that was
        not run.
        """
        if not self._taken[row]:
            raise ValueError(f"row {row} was not run while its attention was captured")
        return torch.stack([taken.cpu() for taken in self._taken[row]])  # layers may lie on several devices
