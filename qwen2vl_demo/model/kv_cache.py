"""The keys and values of the tokens so far. Created by the engine and passed in; the model holds no state.

Axes: B batch, G key-value heads, L tokens, D head dimension.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from qwen2vl_demo.config import TextConfig


class KVCache:
    """Preallocated, and sliced to its length, so that attention never runs over unused slots behind a mask."""

    def __init__(
        self, config: TextConfig, capacity: int, *, device: torch.device, dtype: torch.dtype, batch: int = 1
    ) -> None:
        shape = (config.num_layers, batch, config.num_kv_heads, capacity, config.head_dim)
        self.config = config
        self.keys = torch.empty(shape, device=device, dtype=dtype)
        self.values = torch.empty(shape, device=device, dtype=dtype)
        self.length = 0  # tokens whose keys and values are there in every layer

    @property
    def capacity(self) -> int:
        return self.keys.shape[3]

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Appends keys and values (B, G, L, D) to a layer; returns all of that layer.

        `length` does not change until `advance`, which is called when every layer has been written.
        """
        end = self._length_with(keys.shape[2])
        self.keys[layer, :, :, self.length : end] = keys
        self.values[layer, :, :, self.length : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def next_slots(self) -> list[tuple[Tensor, Tensor]]:
        """For each layer, views of where the next token's key and value (G, D) belong. For a single sequence."""
        self._length_with(1)
        keys, values = (kept[:, 0, :, self.length].unbind() for kept in (self.keys, self.values))
        return list(zip(keys, values, strict=True))

    def views(self, length: int) -> list[tuple[Tensor, Tensor]]:
        """For each layer, the keys and values of the first `length` tokens, (B, G, length, D)."""
        keys, values = (kept[..., :length, :].unbind() for kept in (self.keys, self.values))
        return list(zip(keys, values, strict=True))

    def _length_with(self, tokens: int) -> int:
        """The length after appending `tokens`. Raises ValueError if that exceeds the capacity."""
        end = self.length + tokens
        if end > self.capacity:
            raise ValueError(f"the KV cache holds {self.capacity} tokens and cannot take number {end}")
        return end

    def advance(self, tokens: int) -> None:
        self.length += tokens

    def reserve(self, capacity: int) -> KVCache:
        """This cache if it has room for `capacity` tokens, else a larger copy."""
        return self if capacity <= self.capacity else self.copy(self.length, capacity)

    def within(self, capacity: int) -> KVCache:
        """An empty cache in the memory of this one, contiguous as every cache: the tokens of both do not correspond."""
        view = KVCache(self.config, 0, device=self.keys.device, dtype=self.keys.dtype, batch=self.keys.shape[1])
        shape = (*self.keys.shape[:3], capacity, self.keys.shape[4])
        view.keys, view.values = (t.view(-1)[: math.prod(shape)].view(shape) for t in (self.keys, self.values))
        return view

    def copy(self, length: int, capacity: int) -> KVCache:
        """A copy of the first `length` tokens with room for `capacity`."""
        other = KVCache(self.config, capacity, device=self.keys.device, dtype=self.keys.dtype, batch=self.keys.shape[1])
        other.keys[..., :length, :] = self.keys[..., :length, :]
        other.values[..., :length, :] = self.values[..., :length, :]
        other.length = length
        return other


class KVPrefix(KVCache):
    """A read-only view of the first tokens of a cache: tokens can run after them, but nothing is appended.

    Costs a copy of one layer's keys and values at a time while tokens run.
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
        """Does nothing: nothing was appended."""
