"""Reading a prompt: only the last position is finished, and every key and value of the others is still there."""

import pytest
import torch
from torch.nn.attention.bias import causal_lower_right

from qwen2vl_demo.config import Qwen2VLConfig, TextConfig, VisionConfig
from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.model.language import causal_attention, grouped_attention, mask_after
from qwen2vl_demo.model.qwen2vl import Qwen2VL


@pytest.mark.parametrize("cached", [0, 4], ids=["from nothing", "behind a prefix"])
@torch.no_grad()
def test_the_last_position_alone_is_that_of_the_whole_and_the_cache_is_full(cached):
    torch.manual_seed(0)
    text = TextConfig(32, 3, 4, 2, 48, 60, (1, 1, 2))
    model = Qwen2VL(Qwen2VLConfig(VisionConfig(1, 32, 2, 2, 32), text, 56, 57, 58, 59)).eval()
    ids, places = torch.randint(0, 56, (1, 9)), torch.arange(9).expand(3, 1, -1)
    embeddings = model.embed(ids)
    results = []
    for last_only in (False, True):
        cache = KVCache(text, 9, device=model.device, dtype=model.dtype)
        if cached:
            model(embeddings[:, :cached], places[..., :cached], cache)
        results.append((model(embeddings[:, cached:], places[..., cached:], cache, last_only=last_only), cache))
    (whole, full), (last, same) = results
    assert last.shape == (1, 1, 32) and same.length == full.length == 9
    torch.testing.assert_close(last, whole[:, -1:], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(same.keys, full.keys, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(same.values, full.values, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("new", "cached"), [(9, 0), (5, 30), (2, 1)])
def test_attention_as_on_a_gpu_is_that_on_the_cpu(new, cached):
    """Groups in the place of a batch, behind a prefix with torch's own marker, against a mask that is a tensor."""
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(1, 6, new, 16, generator=generator)
    k, v = (torch.randn(1, 2, 64, 16, generator=generator)[:, :, : cached + new] for _ in range(2))  # of a larger cache
    mask = mask_after(cached, new, q.device, q.dtype) if cached else None
    expected = causal_attention(q, k, v, mask)
    marker = causal_lower_right(new, cached + new) if cached else None
    torch.testing.assert_close(grouped_attention(q, k, v, marker), expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(grouped_attention(q, k, v, mask), expected, atol=1e-6, rtol=1e-5)
