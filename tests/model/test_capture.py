"""Captured attention equals transformers' eager attention on the same weights, and capturing changes nothing."""

import pytest
import torch
from test_parity import PROMPTS, SHAPES, build_prompt, oracle, oracle_inputs, our_inputs, ours_with_the_same_weights

from qwen2vl_demo.model.capture import Capture
from qwen2vl_demo.model.kv_cache import KVCache


@pytest.fixture(scope="module", params=SHAPES)
def pair(request):
    model, config = oracle(**SHAPES[request.param])
    model.set_attn_implementation({"text_config": "eager", "vision_config": "sdpa"})
    return model, ours_with_the_same_weights(model, config)


def cache_for(model, length):
    return KVCache(model.config.text, length, device=model.device, dtype=model.dtype)


def run(model, embeddings, positions, cuts, capture):
    """The whole prompt in chunks that end at `cuts`, through a cache; the hidden states of the last chunk."""
    cache = cache_for(model, embeddings.shape[1])
    for start, end in zip([0, *cuts[:-1]], cuts, strict=True):
        hidden = model(embeddings[:, start:end], positions[:, :, start:end], cache, capture=capture)
    return hidden


@torch.no_grad()
@pytest.mark.parametrize("prompt", PROMPTS)
def test_every_row_equals_the_oracles_eager_attention(pair, prompt):
    theirs, ours = pair
    ids, spans, grids, patches, in_prompt = build_prompt(PROMPTS[prompt])
    output = theirs(**oracle_inputs(ids, grids, patches), output_attentions=True)
    expected = torch.stack(output.attentions)[:, 0]  # (layers, H, L, L)
    embeddings, positions, _ = our_inputs(ours, ids, spans, in_prompt)
    length = ids.shape[1]
    capture = Capture(range(length))
    ours(embeddings, positions, capture=capture)
    assert expected.max() - expected[..., -1, :].min() > 0.1  # not all alike
    for row in range(length):
        torch.testing.assert_close(capture.weights(row), expected[:, :, row, : row + 1], atol=2e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("cuts", ["one at a time", "behind a prefix", "three chunks"])
@pytest.mark.parametrize("prompt", ["several_images", "short_video", "interleaved"])
def test_behind_a_cached_prefix_and_over_chunks_it_is_the_same(pair, prompt, cuts):
    _, ours = pair
    ids, spans, _, _, in_prompt = build_prompt(PROMPTS[prompt], seed=2)
    embeddings, positions, _ = our_inputs(ours, ids, spans, in_prompt)
    length = ids.shape[1]
    rows = [length - 1, length - 2, length // 2]
    whole, pieces = Capture(rows), Capture(rows)
    ours(embeddings, positions, capture=whole)
    ends = {
        "one at a time": range(1, length + 1),
        "behind a prefix": [length - 3, length],
        "three chunks": [length // 3, length // 2 + 1, length],
    }[cuts]
    run(ours, embeddings, positions, list(ends), pieces)
    for row in rows:
        assert whole.weights(row).shape[-1] == row + 1
        torch.testing.assert_close(pieces.weights(row), whole.weights(row), atol=1e-5, rtol=1e-4)
        total = pieces.weights(row).sum(-1)
        torch.testing.assert_close(total, torch.ones_like(total), atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("cuts", [lambda n: [n], lambda n: [n - 1, n], lambda n: [n // 2, n]])
def test_with_and_without_capture_the_logits_are_equal_to_the_bit(pair, cuts):
    _, ours = pair
    ids, spans, _, _, in_prompt = build_prompt(PROMPTS["interleaved"], seed=3)
    embeddings, positions, _ = our_inputs(ours, ids, spans, in_prompt)
    ends = cuts(ids.shape[1])
    plain = run(ours, embeddings, positions, ends, None)
    watched = run(ours, embeddings, positions, ends, Capture(range(ids.shape[1])))
    assert torch.equal(ours.logits(plain), ours.logits(watched))


@torch.no_grad()
def test_a_row_that_was_not_run_or_not_asked_for_is_refused(pair):
    _, ours = pair
    ids, spans, _, _, in_prompt = build_prompt(PROMPTS["text"])
    embeddings, positions, _ = our_inputs(ours, ids, spans, in_prompt)
    capture = Capture([3, 40])
    ours(embeddings, positions, capture=capture)
    with pytest.raises(ValueError, match="row 40"):
        capture.weights(40)
    with pytest.raises(KeyError):
        capture.weights(2)
    with pytest.raises(ValueError, match="one sequence"):
        ours(embeddings.repeat(2, 1, 1), positions.repeat(1, 2, 1), capture=Capture([0]))
