"""The Qwen2 language model with M-RoPE. Module names equal the checkpoint's keys below `model.`.

Stateless: embeddings, position ids and the KV cache are arguments.

Axes: B batch, L new tokens, S cached and new tokens, C width, H query heads, G key-value heads, R = H / G query heads
per key-value head, D head dimension.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.bias import causal_lower_right

from qwen2vl_demo.config import TextConfig
from qwen2vl_demo.model.capture import Capture
from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.model.rope import MRoPE, rotate


class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * wide.to(x.dtype)


class Attention(nn.Module):
    def __init__(self, config: TextConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.head_dim = config.head_dim
        width, shared = config.hidden_size, config.num_kv_heads * config.head_dim
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, shared)
        self.v_proj = nn.Linear(width, shared)
        self.o_proj = nn.Linear(width, width, bias=False)

    def forward(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Tensor | None,
        cache: KVCache | None,
        capture: Capture | None = None,
        last_only: bool = False,
    ) -> Tensor:
        queries = slice(-1, None) if last_only else slice(None)
        q, k, v = (
            proj(rows).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # (B, H or G, L, D)
            for proj, rows in ((self.q_proj, x[:, queries]), (self.k_proj, x), (self.v_proj, x))
        )
        q, k = rotate(q, cos[..., queries, :], sin[..., queries, :]), rotate(k, cos, sin)
        if cache is not None:
            k, v = cache.append(self.layer, k, v)
        if capture is not None:
            capture.take(q, k)
        return self.o_proj(causal_attention(q, k, v, mask).transpose(1, 2).flatten(2))


def causal_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Grouped-query attention of the last L tokens over all S: q (B, H, L, D), k and v (B, G, S, D) -> (B, H, L, D).

    `mask` (L, S), from `mask_after`, is needed only for several new tokens after cached ones.
    """
    batch, heads, length, _ = q.shape
    if length == 1:
        # One new token sees everything: the query heads of a key-value head become the rows of one product.
        rows = q.reshape(batch, k.shape[1], heads // k.shape[1], -1)  # (B, G, R, D)
        return F.scaled_dot_product_attention(rows, k, v).reshape(batch, heads, 1, -1)
    if q.device.type == "cpu":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=True)
    return grouped_attention(q, k, v, mask)


def grouped_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """`causal_attention` as a GPU runs it: a group is an element of the batch, and each of its heads sees the same key
    and value, as views.

    With `enable_gqa` only flash attention would be left beside plain products, which copy keys and values for every
    head as float32; and flash takes neither float32 nor a card older than Ampere.
    """
    batch, heads, length, width = q.shape
    grouped = q.reshape(batch * k.shape[1], -1, length, width)  # (B G, R, L, D)
    k, v = (t.flatten(0, 1)[:, None].expand(-1, grouped.shape[1], -1, -1) for t in (k, v))  # (B G, R, S, D)
    out = F.scaled_dot_product_attention(grouped, k, v, attn_mask=mask, is_causal=mask is None)
    return out.reshape(batch, heads, length, width)


def mask_after(cached: int, length: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """What `length` new tokens see of themselves and of `cached` ones before them: causal, aligned to the lower right.

    On an NVIDIA card a marker, which flash and memory-efficient attention know by its kind; elsewhere a bias (L, S).
    """
    total = cached + length
    if device.type == "cuda":
        return causal_lower_right(length, total)
    seen = torch.ones(length, total, dtype=torch.bool, device=device).tril(cached)
    # As a bias, which is what attention uses in the end; a bool mask would be converted in every layer.
    return torch.zeros_like(seen, dtype=dtype).masked_fill_(~seen, float("-inf"))


class MLP(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class DecoderLayer(nn.Module):
    def __init__(self, config: TextConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config, layer)
        self.mlp = MLP(config)

    @property
    def device(self) -> torch.device:
        return self.input_layernorm.weight.device

    def forward(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Tensor | None,
        cache: KVCache | None,
        capture: Capture | None = None,
        last_only: bool = False,
    ) -> Tensor:
        """(B, L, C) -> (B, L, C), or (B, 1, C) with `last_only`, which is meant for the last layer."""
        attention = self.self_attn(self.input_layernorm(x), cos, sin, mask, cache, capture, last_only)
        x = (x[:, -1:] if last_only else x) + attention
        return x + self.mlp(self.post_attention_layernorm(x))


class LanguageModel(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config, i) for i in range(config.num_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mrope = MRoPE(config.head_dim, config.rope_theta, config.mrope_section, config.yarn)

    def forward(
        self,
        embeddings: Tensor,
        position_ids: Tensor,
        cache: KVCache | None = None,
        between_layers: Callable[[], None] | None = None,
        capture: Capture | None = None,
        last_only: bool = False,
    ) -> Tensor:
        """Embeddings (B, L, C) at position_ids (3, B, L), after the cached tokens -> hidden states (B, L, C).

        Layers may lie on several devices, in order: hidden states are handed over, and returned on the last one.

        `capture` is filled with the attention and the states of its rows; the result does not depend on it. With
        `last_only` the result is that of the last token (B, 1, C), and the last layer computes only keys and values of
        the others; not together with `capture`. `between_layers` is called before each layer and may raise.
        """
        angles = self.mrope(position_ids)[:, None]  # (B, 1, L, D / 2)
        cos, sin = angles.cos() * self.mrope.scale, angles.sin() * self.mrope.scale
        length = embeddings.shape[1]
        mask = None
        if cache is not None and cache.length and length > 1:
            mask = mask_after(cache.length, length, embeddings.device, embeddings.dtype)
        x, total = embeddings, length + (cache.length if cache is not None else 0)
        if capture is not None:
            capture.see(x, total)
        for index, layer in enumerate(self.layers, start=1):
            if between_layers:
                between_layers()
            device: torch.device = layer.device  # type: ignore[assignment]
            if device != x.device:  # the next of several
                x, cos, sin = x.to(device), cos.to(device), sin.to(device)
                mask = None if mask is None or cache is None else mask_after(cache.length, length, device, x.dtype)
            x = layer(x, cos, sin, mask, cache, capture, last_only and index == len(self.layers))
            if capture is not None:
                capture.see(x, total)
        if cache is not None:
            cache.advance(length)
        return self.norm(x)
