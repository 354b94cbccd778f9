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
        end = self._room_for(keys.shape[2])
        self.keys[layer, :, :, self.length : end] = keys
        self.values[layer, :, :, self.length : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def next_places(self) -> list[tuple[Tensor, Tensor]]:
        """Of each layer, where the next token's keys and values (G, D) go. For a single sequence."""
        self._room_for(1)
        keys, values = (kept[:, 0, :, self.length].unbind() for kept in (self.keys, self.values))
        return list(zip(keys, values, strict=True))

    def views(self, length: int) -> list[tuple[Tensor, Tensor]]:
        """Of each layer, the keys and values of the first `length` tokens, (B, G, length, D)."""
        keys, values = (kept[..., :length, :].unbind() for kept in (self.keys, self.values))
        return list(zip(keys, values, strict=True))

    def _room_for(self, tokens: int) -> int:
        """How many tokens there are with these. ValueError if that is more than the capacity."""
        end = self.length + tokens
        if end > self.capacity:
            raise ValueError(f"the KV cache holds {self.capacity} tokens and cannot take number {end}")
        return end

    def advance(self, tokens: int) -> None:
        self.length += tokens

    def reserve(self, capacity: int) -> KVCache:
        """This cache, or a larger one with the same tokens, that holds at least `capacity` tokens."""
        return self if capacity <= self.capacity else self.copy(self.length, capacity)

    def first(self, capacity: int) -> KVCache:
        """An empty cache in the first `capacity` places of this one; what is written into one is in both."""
        view = KVCache(self.config, 0, device=self.keys.device, dtype=self.keys.dtype, batch=self.keys.shape[1])
        view.keys, view.values = self.keys[..., :capacity, :], self.values[..., :capacity, :]
        return view

    def copy(self, length: int, capacity: int) -> KVCache:
        """Another cache that holds the first `length` tokens of this one and has room for `capacity`."""
        other = KVCache(self.config, capacity, device=self.keys.device, dtype=self.keys.dtype, batch=self.keys.shape[1])
        other.keys[..., :length, :] = self.keys[..., :length, :]
        other.values[..., :length, :] = self.values[..., :length, :]
        other.length = length
        return other


class KVPrefix(KVCache):
    """The first tokens of a cache, to be looked at: a few tokens may run behind them, and nothing of it is kept.

    The cache itself is never written. Costs a copy of one layer's keys and values at a time while tokens run.
    """

    def __init__(self, cache: KVCache, length: int) -> None:
        if length > cache.length:
            raise ValueError(f"the KV cache holds {cache.length} tokens, fewer than {length}")
        self.config = cache.config
        self.keys = cache.keys[..., :length, :]
        self.values = cache.values[..., :length, :]
        self.length = length

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        return torch.cat([self.keys[layer], keys], dim=2), torch.cat([self.values[layer], values], dim=2)

    def advance(self, tokens: int) -> None:
        """Nothing moves on."""
