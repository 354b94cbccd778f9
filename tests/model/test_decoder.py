"""Writing one token at a time, against the plain forward pass of the same tokens; what bfloat16 changes."""

import pytest
import torch
import torch.nn.functional as F

from qwen2vl_demo.config import Qwen2VLConfig, TextConfig, VisionConfig
from qwen2vl_demo.model.decoder import SUM_BLOCK, Decoder, Norm, _sum_in_blocks, float32_product
from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.model.language import RMSNorm
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from tests.fake_cuda import FakeCuda

PROMPT = [5, 90, 41, 7, 66]
ANSWER = [3, 12, 80, 80, 1, 59]
RIGHT = 4  # positions go on this much further than places: a picture stood before


def model(tied=True, heads=4, shared=2, dtype=torch.float32):
    """Every bias and every norm differs from what a fresh model would have."""
    torch.manual_seed(1)
    width = heads * 16
    text = TextConfig(width, 3, heads, shared, 96, 100, (2, 3, 3), tie_word_embeddings=tied)
    made = Qwen2VL(Qwen2VLConfig(VisionConfig(1, 32, 2, 2, width), text, 96, 97, 98, 99)).eval().requires_grad_(False)
    for parameter in made.parameters():
        parameter.copy_(torch.randn_like(parameter) * 0.2 + (parameter.ndim == 1))
    return made.to(dtype)


def cache_of(made, tokens=64):
    return KVCache(made.config.text, tokens, device=made.device, dtype=made.dtype)


@torch.no_grad()
def plain(made, prompt, answer):
    """The logits behind each token of the answer, from one pass over everything."""
    ids = torch.tensor([prompt + answer])
    places = torch.arange(ids.shape[1])
    places[len(prompt) :] += RIGHT
    hidden = made(made.embed(ids), places.expand(3, 1, -1))
    return made.logits(hidden[0, len(prompt) :])


@torch.no_grad()
def stepwise(made, decoder, prompt, answer):
    cache = cache_of(made)
    made(made.embed(torch.tensor([prompt])), torch.arange(len(prompt)).expand(3, 1, -1), cache)
    steps = [decoder.step(token, cache.length + RIGHT, cache) for token in answer]
    return torch.stack(steps), cache


@pytest.mark.parametrize(("tied", "heads", "shared"), [(True, 4, 2), (False, 4, 4), (True, 6, 1)])
def test_steps_give_the_logits_of_one_pass_over_everything(tied, heads, shared):
    made = model(tied, heads, shared)
    expected = plain(made, PROMPT, ANSWER)
    got, cache = stepwise(made, Decoder(made), PROMPT, ANSWER)
    torch.testing.assert_close(got, expected, atol=2e-4, rtol=1e-4)
    assert cache.length == len(PROMPT) + len(ANSWER)


def test_a_step_leaves_in_the_cache_what_the_plain_pass_leaves():
    made = model()
    whole = cache_of(made)
    with torch.no_grad():
        places = torch.arange(len(PROMPT + ANSWER))
        places[len(PROMPT) :] += RIGHT
        made(made.embed(torch.tensor([PROMPT + ANSWER])), places.expand(3, 1, -1), whole)
    _, cache = stepwise(made, Decoder(made), PROMPT, ANSWER)
    for mine, theirs in ((cache.keys, whole.keys), (cache.values, whole.values)):
        torch.testing.assert_close(mine[..., : cache.length, :], theirs[..., : whole.length, :], atol=1e-4, rtol=1e-4)


def test_joining_holds_nothing_twice_and_keeps_names_and_values():
    made = model()
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    decoder = Decoder(made)
    after = made.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    attention = made.model.layers[0].self_attn
    homes = {part.weight.untyped_storage().data_ptr() for part in (attention.q_proj, attention.k_proj)}
    assert len(homes) == 1, "q and k must lie in one matrix"
    assert decoder.extra_bytes == 0
    text = sum(t.nbytes for name, t in after.items() if name.startswith("model."))
    assert decoder.nbytes == text  # tied: the embedding is read as the head


def test_narrow_weights_change_logits_by_a_few_percent_at_most():
    """The relative error of logits: 2^-9 a number in bfloat16, over nine products."""
    made = model()
    expected = plain(made, PROMPT, ANSWER)
    decoder = Decoder(made, "bfloat16")
    got, _ = stepwise(made, decoder, PROMPT, ANSWER)
    error = float((got - expected).norm() / expected.norm())
    assert 1e-5 < error < 0.03, "as exact as the full weights: the narrow ones were not used" if error < 1e-5 else error
    assert decoder.extra_bytes < 0.6 * Decoder(made).nbytes


def test_bfloat16_beside_a_bfloat16_model_is_no_second_copy():
    decoder = Decoder(model(dtype=torch.bfloat16), "bfloat16")
    assert decoder.kind == "same" and decoder.extra_bytes == 0


@pytest.mark.parametrize("capacity", [SUM_BLOCK, 4 * SUM_BLOCK, 100])
def test_values_summed_in_blocks_are_their_sum(capacity):
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(2, 6, capacity, generator=generator)
    values = torch.randn(2, capacity, 16, generator=generator)
    torch.testing.assert_close(_sum_in_blocks(weights, values), weights @ values, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize(("device", "fused"), [("cpu", False), ("cuda", True)])
def test_a_norm_in_bfloat16_is_one_operation_on_a_card_alone(device, fused):
    with FakeCuda() as cuda, torch.inference_mode():
        weight, row = (torch.empty(size, dtype=torch.bfloat16, device=device) for size in ((64,), (1, 64)))
        norm = RMSNorm(64, 1e-6).requires_grad_(False)
        norm.weight, before = torch.nn.Parameter(weight, requires_grad=False), cuda.kernels
        assert Norm(norm)(row).dtype == torch.bfloat16
        assert (cuda.kernels - before == 1) == fused


def test_a_norm_that_rounds_once_is_nearer_than_one_that_rounds_twice():
    """What a card takes, against the module, which follows the reference; both against float64."""
    generator = torch.Generator().manual_seed(0)
    norm, row = RMSNorm(1536, 1e-6).bfloat16().requires_grad_(False), torch.randn(1, 1536, generator=generator)
    norm.weight.copy_(torch.randn(1536, generator=generator) * 0.3 + 1)
    row = row.bfloat16()
    wide = row.double()
    exact = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6) * norm.weight.double()
    once, twice = F.rms_norm(row, (1536,), norm.weight, 1e-6), norm(row)
    errors = [float((out.double() - exact).norm() / exact.norm()) for out in (once, twice)]
    assert errors[0] < errors[1] < 0.004


def test_scores_of_a_captured_step_are_not_rounded():
    """Rounded to bfloat16 before the softmax, scores made attention wrong by over a percent; a fused kernel, which
    the plain step takes, keeps them as float32."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, n, 128, generator=generator).mul(2).bfloat16() for n in (6, 512, 512))
    scores = float32_product(q, k.transpose(1, 2))
    assert scores.dtype == torch.float32
    exact = F.scaled_dot_product_attention(*(t.double() for t in (q, k, v)))

    def error(scores):
        weights = (scores.float() * 128**-0.5).softmax(-1).bfloat16()
        return float((_sum_in_blocks(weights, v).double() - exact).norm() / exact.norm())

    rounded = error(q @ k.transpose(1, 2))
    assert error(scores) < 0.004 < 0.008 < rounded


@pytest.mark.parametrize("capacity", [64, 128])
def test_a_smaller_cache_within_a_larger_one_is_contiguous(capacity):
    """So that the blocks of its values are views: a strided one would be copied in every layer of every token."""
    small = cache_of(model(), 256).within(capacity)
    assert small.capacity == capacity and small.keys.is_contiguous() and small.values[0, 0].is_contiguous()


def test_a_static_step_gives_the_logits_of_a_step():
    made = model(heads=6, shared=2)
    decoder, ids = Decoder(made), torch.tensor([PROMPT])
    caches = [cache_of(made, SUM_BLOCK * 2) for _ in range(2)]
    for cache in caches:
        cache.keys.zero_(), cache.values.zero_()
        made(made.embed(ids), torch.arange(len(PROMPT)).expand(3, 1, -1), cache)
    expected = decoder.step(12, len(PROMPT) + RIGHT, caches[0])
    number = torch.tensor([len(PROMPT)])
    got = decoder.static_step(torch.tensor([12]), number + RIGHT, number, caches[1])
    torch.testing.assert_close(got, expected, atol=2e-4, rtol=1e-4)
    filled = slice(0, len(PROMPT) + 1)
    torch.testing.assert_close(caches[1].keys[..., filled, :], caches[0].keys[..., filled, :], atol=1e-5, rtol=1e-4)


def test_joining_gives_the_separate_matrices_back_layer_by_layer(monkeypatch):
    """PyTorch kept their blocks on a GPU, up to 8.5 GB of a 7B, which nothing else could use."""
    released = []
    monkeypatch.setattr("qwen2vl_demo.model.decoder.release_unused", lambda device: released.append(device.type))
    Decoder(model())
    assert released == ["cpu"] * 3, "once for each layer, so that the peak is one layer"
