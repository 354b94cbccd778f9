"""One new token at a time: the same language model as `language.py`, arranged for a single row.

Contract: `step` writes the token's keys and values behind a KV cache and returns the logits of the token after it, the
same (to rounding) as the plain forward pass of one token, which stays beside it and is what the tests compare with.
What differs is the work around the sums: activations are rows without a batch, q, k and v are one product, and so are
gate and up. Where the weights keep their dtype the joined matrices are the only ones: the modules' own parameters
become views of them, so nothing is held twice and the checkpoint's names stay. Weights of another kind (bfloat16,
int8) are a second copy for writing alone; prompts are still read with the first.

Knows the model and a cache; knows neither sampling nor text.

Axes: C width, H query heads, G key-value heads, R = H / G query heads that share one, D numbers a head, P = D / 2
frequency pairs, S tokens in the cache and the new one, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.model.language import DecoderLayer
from qwen2vl_demo.model.qwen2vl import Qwen2VL

WeightKind = Literal["same", "bfloat16", "int8"]  # "same": those of the model
MOST = 127  # of an int8


class Rows:
    """A matrix that multiplies one row, in its own dtype. Called with (1, K), gives (1, N) in the row's dtype."""

    def __init__(self, weight: Tensor, bias: Tensor | None, kind: WeightKind) -> None:
        self.kind = kind
        self.weight, self.bias, self.scale = weight, bias, None
        if kind == "bfloat16":
            self.weight = weight.to(torch.bfloat16)
            self.bias = None if bias is None else bias.to(torch.bfloat16)
        elif kind == "int8":
            self.weight, self.scale = quantize(weight)

    @property
    def nbytes(self) -> int:
        return sum(t.nbytes for t in (self.weight, self.bias, self.scale) if t is not None)

    def __call__(self, x: Tensor) -> Tensor:
        if self.kind == "same":
            return F.linear(x, self.weight, self.bias)
        narrow = x.to(torch.bfloat16)
        if self.scale is None:
            return F.linear(narrow, self.weight, self.bias).to(x.dtype)
        # The kernel is fast for bfloat16 rows only: with float32 rows it took eight times as long.
        out = torch._weight_int8pack_mm(narrow, self.weight, self.scale).to(x.dtype)
        return out if self.bias is None else out + self.bias


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(N, K) as int8 and one bfloat16 scale a row: weight ~ int8 * scale[:, None], off by half a scale at most.

    The scale is rounded before the numbers are divided by it, so that its own rounding costs nothing.
    """
    scale = (weight.float().abs().amax(1) / MOST).clamp(min=1e-30).to(torch.bfloat16)
    return (weight.float() / scale.float()[:, None]).round_().clamp_(-MOST, MOST).to(torch.int8), scale


class _Layer:
    """The products of one layer of the language model."""

    def __init__(self, layer: DecoderLayer, kind: WeightKind) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.before, self.between = layer.input_layernorm, layer.post_attention_layernorm
        self.qkv = _joined([attention.q_proj, attention.k_proj, attention.v_proj], kind)
        self.out = Rows(attention.o_proj.weight, None, kind)
        self.gate_up = _joined([mlp.gate_proj, mlp.up_proj], kind)
        self.down = Rows(mlp.down_proj.weight, None, kind)

    @property
    def products(self) -> tuple[Rows, ...]:
        return self.qkv, self.out, self.gate_up, self.down


def _joined(parts: Sequence[nn.Linear], kind: WeightKind) -> Rows:
    """Several products of the same row as one. With "same" the parts become views of the joined matrix."""
    weight = torch.cat([part.weight.detach() for part in parts])
    biases = [part.bias.detach() for part in parts if part.bias is not None]
    bias = torch.cat(biases) if biases else None
    if kind == "same":
        sizes = [part.out_features for part in parts]
        for part, rows in zip(parts, weight.split(sizes), strict=True):
            part.weight = nn.Parameter(rows, requires_grad=False)
        if bias is not None:
            for part, rows in zip(parts, bias.split(sizes), strict=True):
                part.bias = nn.Parameter(rows, requires_grad=False)
    return Rows(weight, bias, kind)


class Decoder:
    """Writes with one model; built once, when the model has its weights. Not for training."""

    @torch.inference_mode(False)
    @torch.no_grad()
    def __init__(self, model: Qwen2VL, kind: WeightKind = "same") -> None:
        if kind == "bfloat16" and model.dtype == torch.bfloat16:
            kind = "same"
        text = model.config.text
        self.kind, self.config = kind, text
        self._embedding, self._norm, self._mrope = model.model.embed_tokens.weight, model.model.norm, model.model.mrope
        self._heads, self._shared, self._head_dim = text.num_heads, text.num_kv_heads, text.head_dim
        self._device = model.device
        self._layers = [_Layer(layer, kind) for layer in model.model.layers]  # type: ignore[arg-type]
        self._head = Rows(self._embedding if text.tie_word_embeddings else model.lm_head.weight, None, kind)

    @property
    def nbytes(self) -> int:
        """Bytes of weights that one step reads, the token's own row of the embedding left out."""
        products = [self._head, *(product for layer in self._layers for product in layer.products)]
        norms = [self._norm.weight, *(w for layer in self._layers for w in (layer.before.weight, layer.between.weight))]
        return sum(product.nbytes for product in products) + sum(norm.nbytes for norm in norms)

    @property
    def head(self) -> Rows:
        """The output layer: the largest product, and in weights as the others."""
        return self._head

    @property
    def extra_bytes(self) -> int:
        """Of these, what is held beside the model's own weights."""
        return 0 if self.kind == "same" else self.nbytes

    @torch.inference_mode()
    def step(self, token: int, position: int, cache: KVCache) -> Tensor:
        """Runs a token at a position (equal on t, h and w, as words have it); the logits (V,) of the one after it."""
        angles = position * self._mrope.frequencies.to(self._device)  # (P,)
        cos, sin = angles.cos(), angles.sin()
        cos, sin = torch.cat((cos, cos)), torch.cat((-sin, sin))  # (D,): the halves of a head turn against each other
        x = self._embedding[token : token + 1]  # (1, C)
        for index, layer in enumerate(self._layers):
            x = x + layer.out(self._attend(index, layer.qkv(layer.before(x)), cos, sin, cache))
            gate, up = layer.gate_up(layer.between(x)).chunk(2, dim=-1)
            x = x + layer.down(F.silu(gate) * up)
        cache.advance(1)
        return self._head(self._norm(x))[0]

    def _attend(self, index: int, qkv: Tensor, cos: Tensor, sin: Tensor, cache: KVCache) -> Tensor:
        """q, k and v side by side (1, (H + 2G) D) -> what the heads gather (1, H D)."""
        heads = qkv.view(-1, self._head_dim)  # (H + 2G, D)
        turned = heads[: self._heads + self._shared].float()
        turned = torch.addcmul(turned * cos, turned.roll(self._head_dim // 2, -1), sin).to(qkv.dtype)
        k, v = turned[self._heads :], heads[self._heads + self._shared :]
        keys, values = cache.append(index, k[None, :, None], v[None, :, None])  # (1, G, S, D)
        q = turned[: self._heads].view(1, self._shared, -1, self._head_dim)  # (1, G, R, D)
        return F.scaled_dot_product_attention(q, keys, values).view(1, -1)
