"""Results of kernels in another layout than a CPU gives them: a kernel promises numbers and a shape, and no strides.

Attention on an NVIDIA card returns heads and tokens transposed in memory, so that a `view` of it failed there.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from qwen2vl_demo.config import Qwen2VLConfig, TextConfig, VisionConfig
from qwen2vl_demo.model.capture import Capture
from qwen2vl_demo.model.decoder import SUM_BLOCK, Decoder
from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.model.language import grouped_attention
from qwen2vl_demo.model.quantised import quantised_copy
from qwen2vl_demo.model.qwen2vl import Qwen2VL

ATTENTION = (F.scaled_dot_product_attention,)
PRODUCTS = (torch.bmm, Tensor.matmul, Tensor.__matmul__, F.linear)
NORMS = (F.layer_norm, F.rms_norm)


class Transposed(TorchFunctionMode):
    """While entered, results of these functions have two of their axes transposed in memory."""

    def __init__(self, functions):
        super().__init__()
        self._functions, self.count = functions, 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func not in self._functions or out.ndim < 2:
            return out
        axes = (1, 2) if out.ndim == 4 else (0, 1)
        moved = out.transpose(*axes).contiguous().transpose(*axes)
        self.count += moved.stride() != out.stride()
        return moved


def model(quantize):
    torch.manual_seed(5)
    text = TextConfig(64, 2, 4, 2, 128, 100, (2, 3, 3))
    made = Qwen2VL(Qwen2VLConfig(VisionConfig(2, 64, 2, 2, 64), text, 96, 97, 98, 99)).eval().requires_grad_(False)
    return quantised_copy(made, quantize) if quantize else made


@torch.no_grad()
def everything(made):
    """A picture, a prompt in two chunks, both kinds of steps, and the attention of a token."""
    generator = torch.Generator().manual_seed(6)
    out = [made.encode(torch.randn(32, 1176, generator=generator), [(1, 4, 4), (1, 4, 4)])]
    ids = torch.tensor([1, 2, 98, 96, 96, 96, 96, 99, 4, 5, 6, 7])
    embeddings, positions = made.embed(ids[None], out[0][:4]), torch.arange(12).expand(3, 1, 12)
    cache, capture = KVCache(made.config.text, 2 * SUM_BLOCK, device=made.device, dtype=made.dtype), Capture([9, 11])
    cache.keys.zero_(), cache.values.zero_()
    out.append(made(embeddings[:, :8], positions[:, :, :8], cache, last_only=True))
    out.append(made(embeddings[:, 8:], positions[:, :, 8:], cache, capture=capture))
    out += [made.logits(out[-1][0, -1:])[0], capture.weights(9), capture.weights(11)]
    decoder, number = Decoder(made), torch.tensor([12])
    out.append(decoder.static_step(torch.tensor([8]), number, number, cache))
    out.append(decoder.step(8, 12, cache))
    return out


@pytest.mark.parametrize("quantize", [None, "int8", "int4"])
@pytest.mark.parametrize("functions", [ATTENTION, PRODUCTS, NORMS], ids=["attention", "products", "norms"])
def test_no_result_is_expected_in_a_layout(functions, quantize):
    expected = everything(model(quantize))
    with Transposed(functions) as mode:
        found = everything(model(quantize))
    assert mode.count > 4
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_grouped_attention_expects_no_layout():
    q, (k, v) = torch.randn(1, 6, 5, 16), torch.randn(2, 1, 2, 9, 16)
    expected = grouped_attention(q, k, v, None)
    with Transposed(ATTENTION) as mode:
        torch.testing.assert_close(grouped_attention(q, k, v, None), expected)
    assert mode.count == 1
