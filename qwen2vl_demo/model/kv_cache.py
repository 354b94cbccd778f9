"""The keys and values of the tokens so far. Created by the engine and passed in; the model holds no state.

Those of a layer lie on the layer's device.

Axes: B batch, G key-value heads, L tokens, D head dimension.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from qwen2vl_demo.config import TextConfig

KeysAndValues = tuple[Tensor, Tensor]  # of consecutive layers on one device, each (layers, B, G, capacity, D)


class KVCache:
    """Preallocated, and sliced to its length, so that attention never runs over unused slots behind a mask."""

    def __init__(
        self,
        config: TextConfig,
        capacity: int,
        *,
        device: torch.device | Sequence[torch.device],
        dtype: torch.dtype,
        batch: int = 1,
    ) -> None:
        """`device` is that of every layer, or a sequence with the device of each."""
        devices = [device] * config.num_layers if isinstance(device, torch.device) else device
        if len(devices) != config.num_layers:
            raise ValueError(f"there are {config.num_layers} layers but {len(devices)} devices for them")
        rest = (batch, config.num_kv_heads, capacity, config.head_dim)

        def empty(layers: int, device: torch.device) -> Tensor:
            return torch.empty((layers, *rest), device=device, dtype=dtype)

        runs = [(len(list(run)), device) for device, run in groupby(devices)]
        self._set(config, [(empty(*run), empty(*run)) for run in runs], 0)

    def _set(self, config: TextConfig, parts: Sequence[KeysAndValues], length: int) -> None:
        self.config = config
        self.parts = tuple(parts)
        self.length = length  # tokens whose keys and values are there in every layer
        self._place = [(part, index) for part, (keys, _) in enumerate(self.parts) for index in range(len(keys))]

    @property
    def keys(self) -> Tensor:
        """The keys of all layers, of a cache on one device."""
        return self._only_part[0]

    @property
    def values(self) -> Tensor:
        """The values of all layers, of a cache on one device."""
        return self._only_part[1]

    @property
    def _only_part(self) -> KeysAndValues:
        if len(self.parts) != 1:
            raise ValueError(f"this KV cache lies on {len(self.parts)} devices")
        return self.parts[0]

    @property
    def devices(self) -> tuple[torch.device, ...]:
        """The device of each layer."""
        return tuple(self.parts[part][0].device for part, _ in self._place)

    @property
    def capacity(self) -> int:
        return self.parts[0][0].shape[3]

    @property
    def nbytes(self) -> int:
        return sum(keys.nbytes + values.nbytes for keys, values in self.parts)

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Appends keys and values (B, G, L, D) to a layer; returns all of that layer.

        `length` does not change until `advance`, which is called when every layer has been written.
        """
        end = self._length_with(keys.shape[2])
        kept_keys, kept_values = self._layer(layer)
        kept_keys[:, :, self.length : end] = keys
        kept_values[:, :, self.length : end] = values
        return kept_keys[:, :, :end], kept_values[:, :, :end]

    def _layer(self, layer: int) -> KeysAndValues:
        """All slots of a layer, (B, G, capacity, D)."""
        part, index = self._place[layer]
        keys, values = self.parts[part]
        return keys[index], values[index]

    def next_slots(self) -> list[tuple[Tensor, Tensor]]:
        """For each layer, views of where the next token's key and value (G, D) belong. For a single sequence."""
        self._length_with(1)
        return self._by_layer([tuple(kept[:, 0, :, self.length] for kept in part) for part in self.parts])

    def views(self, length: int) -> list[tuple[Tensor, Tensor]]:
        """For each layer, the keys and values of the first `length` tokens, (B, G, length, D)."""
        return self._by_layer([tuple(kept[..., :length, :] for kept in part) for part in self.parts])

    @staticmethod
    def _by_layer(parts: Sequence[tuple[Tensor, ...]]) -> list[tuple[Tensor, Tensor]]:
        return [pair for keys, values in parts for pair in zip(keys.unbind(), values.unbind(), strict=True)]

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
        view = KVCache.__new__(KVCache)
        shape = (*self.keys.shape[:3], capacity, self.keys.shape[4])
        keys, values = (kept.view(-1)[: math.prod(shape)].view(shape) for kept in (self.keys, self.values))
        view._set(self.config, [(keys, values)], 0)
        return view

    def copy(self, length: int, capacity: int) -> KVCache:
        """A copy of the first `length` tokens with room for `capacity`."""
        keys = self.parts[0][0]
        other = KVCache(self.config, capacity, device=self.devices, dtype=keys.dtype, batch=keys.shape[1])
        for mine, copied in zip(self.parts, other.parts, strict=True):
            for kept, new in zip(mine, copied, strict=True):
                new[..., :length, :] = kept[..., :length, :]
        other.length = length
        return other


class KVPrefix(KVCache):
    """A read-only view of the first tokens of a cache: tokens can run after them, but nothing is appended.

    Costs a copy of one layer's keys and values at a time while tokens run.
    """

    def __init__(self, cache: KVCache, length: int) -> None:
        if length > cache.length:
            raise ValueError(f"the KV cache holds {cache.length} tokens, fewer than {length}")
        parts = [(keys[..., :length, :], values[..., :length, :]) for keys, values in cache.parts]
        self._set(cache.config, parts, length)

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        kept_keys, kept_values = self._layer(layer)
        return torch.cat([kept_keys, keys], dim=2), torch.cat([kept_values, values], dim=2)

    def advance(self, tokens: int) -> None:
        """Does nothing: nothing was appended."""
