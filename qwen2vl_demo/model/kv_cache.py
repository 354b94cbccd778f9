"""The keys and values of the tokens already seen. Built by the engine and passed in; the model owns no state.

Axes: B batch, G key-value heads, L tokens, D numbers a head.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qwen2vl_demo.config import TextConfig


class KVCache:
    """Preallocated and sliced to its length, so that attention never runs over empty places behind a mask."""

    def __init__(
        self, config: TextConfig, capacity: int, *, device: torch.device, dtype: torch.dtype, batch: int = 1
    ) -> None:
        shape = (config.num_layers, batch, config.num_kv_heads, capacity, config.head_dim)
        self.config = config
        self.keys = torch.empty(shape, device=device, dtype=dtype)
        self.values = torch.empty(shape, device=device, dtype=dtype)
        self.length = 0  # tokens whose keys and values of every layer are in

    @property
    def capacity(self) -> int:
        return self.keys.shape[3]

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Writes new (B, G, L, D) behind what is there; returns all keys and values of the layer.

        `length` moves on once a step, by `advance`, when every layer has written.
        """
        end = self.length + keys.shape[2]
        if end > self.capacity:
            raise ValueError(f"the KV cache holds {self.capacity} tokens and cannot take number {end}")
        self.keys[layer, :, :, self.length : end] = keys
        self.values[layer, :, :, self.length : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def advance(self, tokens: int) -> None:
        self.length += tokens

    def reserve(self, capacity: int) -> KVCache:
        """This cache, or a larger one with the same tokens, that holds at least `capacity` tokens."""
        return self if capacity <= self.capacity else self.copy(self.length, capacity)

    def copy(self, length: int, capacity: int) -> KVCache:
        """Another cache that holds the first `length` tokens of this one and has room for `capacity`."""
        other = KVCache(self.config, capacity, device=self.keys.device, dtype=self.keys.dtype, batch=self.keys.shape[1])
        other.keys[..., :length, :] = self.keys[..., :length, :]
        other.values[..., :length, :] = self.values[..., :length, :]
        other.length = length
        return other
