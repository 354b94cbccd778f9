"""One new token at a time: the same language model as `language.py`, arranged for a single row.

Contract: `step` writes the token's keys and values behind a KV cache and returns the logits of the token after it, the
same (to rounding) as the plain forward pass of one token, which stays beside it and is what the tests compare with.
`static_step` is the same step for a CUDA graph: what changes from token to token stands in tensors, and every shape is
fixed. What differs from the plain pass is the work around the sums: activations are rows without a batch, q, k and v
are one product, and so are gate and up. Where the weights keep their dtype the joined matrices are the only ones: the
modules' own parameters become views of them, so nothing is held twice and the checkpoint's names stay. Weights of
another kind (bfloat16, int8) are a second copy for writing alone; prompts are still read with the first.

Knows the model and a cache; knows neither sampling nor text.

Axes: C width, H query heads, G key-value heads, R = H / G query heads that share one, D numbers a head, P = D / 2
frequency pairs, S tokens in the cache and the new one, K the cache's capacity, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.model.language import DecoderLayer, RMSNorm
from qwen2vl_demo.model.qwen2vl import Qwen2VL

WeightKind = Literal["same", "bfloat16", "int8"]  # "same": those of the model
MOST = 127  # of an int8
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]  # a layer, its q, and the new k and v -> what q gathers


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

    def added(self, x: Tensor, to: Tensor) -> Tensor:
        """`to` (1, N) and this product of x (1, K), which is one operation where the weights are the model's own."""
        if self.kind == "same" and self.bias is None:
            return torch.addmm(to, x, self.weight.t())
        return to + self(x)

    def __call__(self, x: Tensor) -> Tensor:
        if self.kind == "same":
            return F.linear(x, self.weight, self.bias)
        narrow = x.to(torch.bfloat16)
        if self.scale is None:
            return F.linear(narrow, self.weight, self.bias).to(x.dtype)
        # The kernel is fast for bfloat16 rows only: with float32 rows it took eight times as long on a CPU. It has been
        # run on CPUs alone; PyTorch's CUDA builds register one under the same name.
        out = torch._weight_int8pack_mm(narrow, self.weight, self.scale).to(x.dtype)
        return out if self.bias is None else out + self.bias


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(N, K) as int8 and one bfloat16 scale a row: weight ~ int8 * scale[:, None], off by half a scale at most.

    The scale is rounded before the numbers are divided by it, so that its own rounding costs nothing.
    """
    scale = (weight.float().abs().amax(1) / MOST).clamp(min=1e-30).to(torch.bfloat16)
    return (weight.float() / scale.float()[:, None]).round_().clamp_(-MOST, MOST).to(torch.int8), scale


class Norm:
    """The root-mean-square norm of a row: as one operation in float32, where that differs by rounding alone. In
    bfloat16 the reference rounds before it multiplies by the weight, and so does the module."""

    def __init__(self, norm: RMSNorm) -> None:
        self._norm, self.weight = norm, norm.weight
        self._alone = norm.weight.dtype == torch.float32

    def __call__(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self._norm.eps) if self._alone else self._norm(x)


class _Layer:
    """The products of one layer of the language model."""

    def __init__(self, layer: DecoderLayer, kind: WeightKind) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.before, self.between = Norm(layer.input_layernorm), Norm(layer.post_attention_layernorm)
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
        self._embedding, self._norm = model.model.embed_tokens.weight, Norm(model.model.norm)
        self._frequencies = model.model.mrope.frequencies.to(model.device)  # (P,)
        self._heads, self._shared, self._head_dim = text.num_heads, text.num_kv_heads, text.head_dim
        self._still = torch.zeros(self._shared, self._head_dim, device=model.device)
        self._signs = torch.ones(self._head_dim, device=model.device)
        self._signs[: self._head_dim // 2] = -1
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

        places, known = cache.next_places(), cache.views(cache.length + 1)

        def attend(index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            for place, new in zip(places[index], (k, v), strict=True):
                place.copy_(new)
            return F.scaled_dot_product_attention(q, *known[index])  # over (1, G, S, D)

        logits = self._run(self._embedding[token : token + 1], position * self._frequencies, attend)
        cache.advance(1)
        return logits

    @torch.inference_mode()
    def static_step(self, token: Tensor, position: Tensor, place: Tensor, cache: KVCache) -> Tensor:
        """`step` with its numbers in tensors (1,): the token's id, its position, and its place in the cache.

        The cache's own length is neither read nor moved on. Attention runs over the whole capacity, and weighs what
        stands behind `place` with zero; so every number in the cache must be finite. As plain products and not as
        one kernel: with two key-value heads that kernel would keep two of a GPU's hundred processors busy.
        """
        later = torch.arange(cache.capacity, device=place.device) > place  # (K,)

        def attend(index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = cache.keys[index], cache.values[index]  # (1, G, K, D)
            keys.index_copy_(2, place, k[None, :, None])
            values.index_copy_(2, place, v[None, :, None])
            scores = (q @ keys.transpose(2, 3)).float() * self._head_dim**-0.5  # (1, G, R, K)
            return scores.masked_fill(later, float("-inf")).softmax(-1).to(v.dtype) @ values

        return self._run(self._embedding.index_select(0, token), position * self._frequencies, attend)

    def _run(self, x: Tensor, angles: Tensor, attend: Attend) -> Tensor:
        """A token's embedding (1, C) and its angles (P,) -> the logits (V,) of the one after it."""
        # (H + 2G, D): the halves of a head turn against each other; values stand still, which costs less than parting
        # them from the others before.
        turned, heads = angles.repeat(2), self._heads + self._shared
        cos = torch.cat((turned.cos().expand(heads, -1), self._still + 1))
        sin = torch.cat(((turned.sin() * self._signs).expand(heads, -1), self._still))
        for index, layer in enumerate(self._layers):
            q, k, v = self._heads_of(layer.qkv(layer.before(x)), cos, sin)
            x = layer.out.added(attend(index, q, k, v).view(1, -1), x)
            gate, up = layer.gate_up(layer.between(x)).chunk(2, dim=-1)
            x = layer.down.added(F.silu(gate) * up, x)
        return self._head(self._norm(x))[0]

    def _heads_of(self, qkv: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q, k and v side by side (1, (H + 2G) D) -> q (1, G, R, D) and k (G, D), turned, and v (G, D)."""
        heads = qkv.view(-1, self._head_dim).float()  # (H + 2G, D)
        turned = torch.addcmul(heads * cos, heads.roll(self._head_dim // 2, -1), sin).to(qkv.dtype)
        q, k, v = turned.split((self._heads, self._shared, self._shared))
        return q.view(1, self._shared, -1, self._head_dim), k, v
