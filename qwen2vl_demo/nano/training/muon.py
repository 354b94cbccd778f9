"""Muon: momentum SGD with orthogonalized updates, for the weight matrices between embedding and output.

This one works in float32; torch.optim.Muon works in bfloat16, which most CPUs multiply slowly. Source: Keller Jordan,
"Muon: An optimizer for hidden layers in neural networks" (2024). The scale factor that lets it share AdamW's learning
rate is Moonshot AI's (arXiv 2502.16982).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration that moves every singular value towards 1


def orthogonalize(update: Tensor, steps: int = 5) -> Tensor:
    """Matrices (..., n, m) with the same singular vectors and with singular values near 1 (Newton-Schulz iteration)."""
    a, b, c = COEFFICIENTS
    tall = update.shape[-2] > update.shape[-1]
    x = update.mT if tall else update
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    x = x.reshape(-1, *x.shape[-2:])
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).reshape(update.shape)


class Muon(torch.optim.Optimizer):
    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, momentum: float = 0.95, weight_decay: float = 0.05
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)  # to batch the matrix products
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape[weight.shape].append(weight)
            for shape, weights in by_shape.items():
                updates = orthogonalize(torch.stack(self._nesterov_updates(weights, group["momentum"])))
                torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(weights, updates.unbind(), alpha=-group["lr"] * 0.2 * max(shape) ** 0.5)

    def _nesterov_updates(self, weights: list[Tensor], momentum: float) -> tuple[Tensor, ...]:
        """The gradients after Nesterov momentum; updates the momentum buffers."""
        for weight in weights:
            if "momentum" not in self.state[weight]:
                self.state[weight]["momentum"] = torch.zeros_like(weight)
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        buffers = [self.state[weight]["momentum"] for weight in weights]
        torch._foreach_lerp_(buffers, gradients, 1 - momentum)
        return torch._foreach_lerp(gradients, buffers, momentum)
