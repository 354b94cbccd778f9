"""A decoding step: the language model of `language.py`, arranged for a single token.

`step` appends the token's keys and values to a KV cache and returns the logits of the next token, equal up to rounding
to the plain forward pass of one token, with which the tests compare it. `static_step` is the same step for a CUDA
graph: whatever changes from token to token is in tensors, and every shape is fixed.

The matrices of q, k and v are packed into one product, and so are those of gate and up; activations are single rows.
Where the weights keep their dtype, the packed matrices replace the modules' own, whose parameters become views of
them: nothing is held twice, and the names of the checkpoint stay. Weights of another kind (bfloat16) are a second copy
for decoding; prefill still uses the first. Quantised layers (`int8.py`, `int4.py`) are run as they are, one by one.

Axes: C width, H query heads, G key-value heads, R = H / G query heads per key-value head, D head dimension, P = D / 2
frequency pairs, S cached tokens and the new one, K the cache's capacity, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qwen2vl_demo.model.device import release_unused
from qwen2vl_demo.model.int8 import Int8Embedding
from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.model.language import DecoderLayer, RMSNorm
from qwen2vl_demo.model.qwen2vl import Qwen2VL

WeightKind = Literal["same", "bfloat16"]  # "same": those of the model
SUM_BLOCK = 256  # cached tokens in a block of `static_step`'s sum of values
AttentionFunction = Callable[[int, Tensor, Tensor, Tensor], Tensor]  # (layer, q, new k, new v) -> output


class PackedLinear:
    """A linear map of one row whose weight may be narrower than the row: (1, I) -> (1, O), in the row's dtype.

    Axes: I inputs, O outputs.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, kind: WeightKind) -> None:
        self.kind = kind
        self.weight, self.bias = weight, bias
        if kind == "bfloat16":
            self.weight = weight.to(torch.bfloat16)
            self.bias = None if bias is None else bias.to(torch.bfloat16)

    @property
    def nbytes(self) -> int:
        return self.weight.nbytes + (0 if self.bias is None else self.bias.nbytes)

    def add_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """The residual (1, O) plus this map of x (1, I), in one operation where the weights are the model's own."""
        if self.kind == "same" and self.bias is None:
            return torch.addmm(residual, x, self.weight.t())
        return residual + self(x)

    def __call__(self, x: Tensor) -> Tensor:
        if self.kind == "same":
            return F.linear(x, self.weight, self.bias)
        return F.linear(x.to(torch.bfloat16), self.weight, self.bias).to(x.dtype)


class QuantisedProducts:
    """One or several quantised layers of the same row, whose results are joined: (1, I) -> (1, O)."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        self._layers = layers

    @property
    def nbytes(self) -> int:
        return sum(t.nbytes for layer in self._layers for t in (*layer.parameters(), *layer.buffers()))

    def add_to(self, residual: Tensor, x: Tensor) -> Tensor:
        return residual + self(x)

    def __call__(self, x: Tensor) -> Tensor:
        outputs = [layer(x) for layer in self._layers]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)


Product = PackedLinear | QuantisedProducts


def float32_product(a: Tensor, b: Tensor) -> Tensor:
    """Batched a @ b as float32, of which nothing was rounded to the dtype of a and b before: (n, I, J), (n, J, K)."""
    if a.dtype == torch.float32:
        return torch.bmm(a, b)
    if a.device.type == "cuda":  # other devices have no product of narrow numbers with a wide result
        return torch.bmm(a, b, out_dtype=torch.float32)
    return torch.bmm(a.float(), b.float())


def _sum_in_blocks(weights: Tensor, values: Tensor) -> Tensor:
    """The sums of values (G, K, D) by weights (G, R, K), as float32 (G, R, D).

    One product for each block of tokens, so that a long cache occupies the whole of a GPU and not one multiprocessor
    for each key-value head.
    """
    groups, capacity, width = values.shape
    size = SUM_BLOCK if capacity % SUM_BLOCK == 0 else capacity
    blocks = weights.unflatten(2, (-1, size)).transpose(1, 2).flatten(0, 1)  # (G K / size, R, size)
    sums = float32_product(blocks, values.view(-1, size, width))  # (G K / size, R, D)
    return sums.unflatten(0, (groups, -1)).sum(1)


class Norm:
    """RMSNorm of a row, as one operation in float32 and on an NVIDIA card.

    In bfloat16 the reference rounds twice, also before it multiplies by the weight, and so does the module; one
    operation rounds once. On a card it is used nevertheless: the module's seven made a captured step of the 2B on an
    H100 a sixth slower.
    """

    def __init__(self, norm: RMSNorm) -> None:
        self._norm, self.weight = norm, norm.weight
        self._fused = norm.weight.dtype == torch.float32 or norm.weight.device.type == "cuda"

    def __call__(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self._norm.eps) if self._fused else self._norm(x)


class _Layer:
    """The products of one layer of the language model."""

    def __init__(self, layer: DecoderLayer, kind: WeightKind) -> None:
        attention, mlp, self.device = layer.self_attn, layer.mlp, layer.device
        self.before, self.between = Norm(layer.input_layernorm), Norm(layer.post_attention_layernorm)
        self.qkv = _product([attention.q_proj, attention.k_proj, attention.v_proj], kind)
        self.out = _product([attention.o_proj], kind)
        self.gate_up = _product([mlp.gate_proj, mlp.up_proj], kind)
        self.down = _product([mlp.down_proj], kind)

    @property
    def products(self) -> tuple[Product, ...]:
        return self.qkv, self.out, self.gate_up, self.down


def _product(parts: Sequence[nn.Module], kind: WeightKind) -> Product:
    """Joins several maps of the same row into one. With "same" the parts become views of the packed matrix."""
    linear = [part for part in parts if isinstance(part, nn.Linear)]
    if len(linear) < len(parts):
        return QuantisedProducts(parts)
    if len(parts) == 1:
        return PackedLinear(linear[0].weight, linear[0].bias, kind)
    return _packed(linear, kind)


def _packed(parts: Sequence[nn.Linear], kind: WeightKind) -> PackedLinear:
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
    return PackedLinear(weight, bias, kind)


def _head(head: nn.Module, kind: WeightKind) -> Product:
    return PackedLinear(head.weight, None, kind) if isinstance(head, nn.Embedding) else _product([head], kind)


class Decoder:
    """Decodes with one model. Created once the model has its weights; not for training."""

    @torch.inference_mode(False)
    @torch.no_grad()
    def __init__(self, model: Qwen2VL, kind: WeightKind = "same") -> None:
        if kind == "bfloat16" and model.dtype == torch.bfloat16:
            kind = "same"
        text = model.config.text
        self.kind, self.config = kind, text
        self._embedding, self._norm = model.model.embed_tokens, Norm(model.model.norm)
        self._frequencies = model.model.mrope.frequencies.to(model.device)  # (P,)
        self._scale = model.model.mrope.scale  # of cos and sin of queries and keys
        self._heads, self._shared, self._head_dim = text.num_heads, text.num_kv_heads, text.head_dim
        self._zeros = torch.zeros(self._shared, self._head_dim, device=model.device)
        self._signs = torch.full((self._head_dim,), self._scale, device=model.device)
        self._signs[: self._head_dim // 2] *= -1
        self._layers = []
        for layer in model.model.layers:
            self._layers.append(_Layer(layer, kind))  # type: ignore[arg-type]
            release_unused(model.device)  # the separate matrices; kept, those of all layers would be half a model
        self._head = _head(model.head, kind)
        self._device = model.device
        self._head_device = model.head_device

    @property
    def layer_devices(self) -> tuple[torch.device, ...]:
        """The device of each layer, where its part of a KV cache belongs."""
        return tuple(layer.device for layer in self._layers)

    @property
    def nbytes(self) -> int:
        """Bytes of weights that one step reads, without the token's row of the embedding."""
        products = [self._head, *(product for layer in self._layers for product in layer.products)]
        norms = [self._norm.weight, *(w for layer in self._layers for w in (layer.before.weight, layer.between.weight))]
        return sum(product.nbytes for product in products) + sum(norm.nbytes for norm in norms)

    @property
    def head(self) -> Product:
        """The output layer, with weights of this decoder's kind."""
        return self._head

    @property
    def extra_bytes(self) -> int:
        """Bytes of weights that are held in addition to the model's own."""
        return 0 if self.kind == "same" else self.nbytes

    @torch.inference_mode()
    def step(self, token: int, position: int, cache: KVCache) -> Tensor:
        """Runs a token at a position, equal on t, h and w as for text; returns the logits (V,) of the next token."""
        slots, cached = cache.next_slots(), cache.views(cache.length + 1)

        def attention(index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            for slot, new in zip(slots[index], (k, v), strict=True):
                slot.copy_(new)
            return F.scaled_dot_product_attention(q, *cached[index])  # over (1, G, S, D)

        logits = self._run(self._embedded(slice(token, token + 1)), position * self._frequencies, attention)
        cache.advance(1)
        return logits

    @torch.inference_mode()
    def static_step(self, token: Tensor, position: Tensor, index: Tensor, cache: KVCache) -> Tensor:
        """`step` with its numbers in tensors (1,): the token's id, its position, and its index in the cache.

        The cache's own length is neither read nor changed. Attention runs over the whole capacity with weights of zero
        after `index`, so every number in the cache must be finite. It consists of plain products and not of one fused
        kernel: with two key-value heads that kernel would occupy two of a GPU's hundred multiprocessors. For the same
        reason the weighted sum of the values is taken in blocks of the cache, which are then added. Scores and sums are
        float32, as inside a fused kernel.
        """
        later = torch.arange(cache.capacity, device=index.device) > index  # (K,)

        def attention(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = cache.keys[layer], cache.values[layer]  # (1, G, K, D)
            keys.index_copy_(2, index, k[None, :, None])
            values.index_copy_(2, index, v[None, :, None])
            scores = float32_product(q[0], keys[0].transpose(1, 2)) * self._head_dim**-0.5  # (G, R, K)
            weights = scores.masked_fill(later, float("-inf")).softmax(-1).to(v.dtype)
            return _sum_in_blocks(weights, values[0]).to(v.dtype)

        return self._run(self._embedded(token), position * self._frequencies, attention)

    def _embedded(self, tokens: slice | Tensor) -> Tensor:
        """The embedding (1, C) of one token."""
        if isinstance(self._embedding, Int8Embedding):
            return self._embedding.rows(tokens)
        return self._embedding.weight[tokens]

    def _run(self, x: Tensor, angles: Tensor, attention: AttentionFunction) -> Tensor:
        """A token's embedding (1, C) and its angles (P,) -> the logits (V,) of the next token."""
        # cos and sin (H + 2G, D) for q, k and v together: v is rotated by the angle 0, which costs less than splitting
        # it off first.
        angles, heads = angles.repeat(2), self._heads + self._shared
        cos = torch.cat(((angles.cos() * self._scale).expand(heads, -1), self._zeros + 1))
        sin = torch.cat(((angles.sin() * self._signs).expand(heads, -1), self._zeros))
        for index, layer in enumerate(self._layers):
            if layer.device != x.device:  # the next of several
                x, cos, sin = (t.to(layer.device) for t in (x, cos, sin))
            q, k, v = self._heads_of(layer.qkv(layer.before(x)), cos, sin)
            x = layer.out.add_to(x, attention(index, q, k, v).reshape(1, -1))
            gate, up = layer.gate_up(layer.between(x)).chunk(2, dim=-1)
            x = layer.down.add_to(x, F.silu(gate) * up)
        return self._head(self._norm(x).to(self._head_device))[0].to(self._device)

    def _heads_of(self, qkv: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Packed q, k and v (1, (H + 2G) D) -> rotated q (1, G, R, D) and k (G, D), and v (G, D)."""
        heads = qkv[0].unflatten(0, (-1, self._head_dim)).float()  # (H + 2G, D)
        rotated = torch.addcmul(heads * cos, heads.roll(self._head_dim // 2, -1), sin).to(qkv.dtype)
        q, k, v = rotated.split((self._heads, self._shared, self._shared))
        return q.unflatten(0, (self._shared, -1))[None], k, v
