"""Layers of 8 and 4 bits, against the same weights widened; what quantising a model holds and changes."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from qwen2vl_demo.model import int4
from qwen2vl_demo.model.decoder import Decoder
from qwen2vl_demo.model.int4 import GroupedCodes, Int4Linear, quantise_int4
from qwen2vl_demo.model.int8 import Int8Embedding, Int8Linear, quantise_int8
from qwen2vl_demo.model.quantised import held_bytes, quantised_copy, weight_bytes
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from tests.model.test_decoder import ANSWER, PROMPT, model, plain, stepwise

CPU = torch.device("cpu")


def test_int8_is_off_by_half_a_step_at_most_and_its_scale_is_each_rows_own():
    """A row's largest number becomes 127 steps; the scale is rounded to 8 bits first, hence 0.51 and not 0.5."""
    torch.manual_seed(0)
    weight = torch.randn(50, 64) * torch.logspace(-3, 2, 50)[:, None]
    whole, scale = quantise_int8(weight)
    assert whole.dtype == torch.int8 and scale.shape == (50,)
    off = (whole.float() * scale.float()[:, None] - weight).abs() / scale.float()[:, None]
    assert off.max() <= 1.0  # only the very largest, cut to 127 where the scale was rounded down
    assert np.percentile(off.numpy(), 98) <= 0.51
    assert quantise_int8(torch.zeros(2, 8))[0].abs().max() == 0


def test_int4_is_off_by_half_a_step_of_its_group_at_most():
    """Sixteen codes from the smallest to the largest number of 64; the offset is rounded to 8 bits first."""
    torch.manual_seed(0)
    weight = torch.randn(50, 192) * torch.logspace(-3, 2, 50)[:, None] + 0.01
    groups = quantise_int4(weight)
    assert groups.codes.max() == 15 and groups.codes.min() == 0 and groups.scales.shape == (50, 3)
    steps = (groups.widened() - weight).abs().unflatten(1, (3, 64)) / groups.scales.float()[..., None]
    assert steps.max() <= 0.6 and np.percentile(steps.numpy(), 98) <= 0.51
    assert quantise_int4(torch.zeros(2, 64)).widened().abs().max() == 0


def some_codes(outputs, inputs, group, order=False):
    draw = torch.Generator().manual_seed(0)
    shape = (outputs, inputs // group)
    return GroupedCodes(
        torch.randint(0, 16, (outputs, inputs), generator=draw, dtype=torch.uint8),
        (torch.rand(shape, generator=draw) * 0.01).bfloat16(),
        (torch.randn(shape, generator=draw) * 0.01).bfloat16(),
        torch.randperm(inputs, generator=draw) if order else None,
    )


@pytest.mark.parametrize("kernel", [True, False])
@pytest.mark.parametrize("rows", [1, 5, 40])
@pytest.mark.parametrize(("outputs", "inputs", "group"), [(64, 64, 64), (192, 256, 128), (96, 64, 32), (50, 60, 12)])
def test_a_layer_of_4_bits_multiplies_by_its_weight(monkeypatch, kernel, rows, outputs, inputs, group):
    if not kernel:
        monkeypatch.setattr(int4, "_packing_of_this_cpu", lambda: None)
    codes = some_codes(outputs, inputs, group, order=rows == 5)
    bias = torch.nn.Parameter(torch.randn(outputs), requires_grad=False)
    layer = Int4Linear(codes, bias, CPU)
    x = torch.randn(2, rows, inputs)
    expected = F.linear(x, codes.widened(), bias)
    for dtype, most in ((torch.float32, 5e-3), (torch.bfloat16, 1e-2)):
        layer.bias = torch.nn.Parameter(bias.to(dtype), requires_grad=False)
        got = layer(x.to(dtype))
        assert got.dtype == dtype
        assert (got.float() - expected).norm() / expected.norm() < most


def test_the_kernel_of_this_cpu_is_used_for_few_rows(monkeypatch):
    if int4._packing_of_this_cpu() is None:
        pytest.skip("this processor has no kernel")
    layer = Int4Linear(some_codes(64, 64, 32), None, CPU)
    monkeypatch.setattr(layer, "_widened", lambda dtype: pytest.fail("the weight was widened for one row"))
    layer(torch.randn(1, 64))


@pytest.mark.parametrize("rows", [1, 40])
def test_a_layer_of_8_bits_multiplies_by_its_weight(rows):
    weight, bias = torch.randn(48, 64), torch.nn.Parameter(torch.randn(48), requires_grad=False)
    codes, scale = quantise_int8(weight)
    x = torch.randn(1, rows, 64)
    expected = F.linear(x, codes.float() * scale.float()[:, None], bias)
    got = Int8Linear(codes, scale, bias)(x)
    assert (got - expected).norm() / expected.norm() < (5e-3 if rows == 1 else 1e-6)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("quantize", ["int8", "int4"])
def test_decoding_agrees_with_one_pass_and_errors_are_small(quantize, tied):
    """The widths of this model are no multiples of 64 but for its inputs of 64, so int4 is a mixture here."""
    made = model(tied)
    narrow = quantised_copy(made, quantize)
    expected = plain(narrow, PROMPT, ANSWER)
    got, _ = stepwise(narrow, Decoder(narrow), PROMPT, ANSWER)
    assert (got - expected).norm() / expected.norm() < 0.02  # rows are rounded to bfloat16 by the kernels
    full = plain(made, PROMPT, ANSWER)
    error = float((expected - full).norm() / full.norm())
    assert 1e-3 < error < (0.06 if quantize == "int8" else 0.6)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("quantize", "share"), [("int8", 0.3), ("int4", 0.28)])
def test_a_quantised_model_is_smaller_by_what_was_promised(quantize, share, tied):
    made = model(tied)
    with torch.device("meta"):
        shape = Qwen2VL(made.config)
    narrow = quantised_copy(made, quantize)
    assert held_bytes(narrow) == sum(weight_bytes(shape, torch.float32, quantize).values())
    assert held_bytes(made) == sum(weight_bytes(shape, torch.float32, "none").values())
    text = [narrow.model.layers, narrow.model.embed_tokens]
    assert sum(t.nbytes for part in text for t in part.buffers()) < share * sum(
        t.nbytes for part in (made.model.layers, made.model.embed_tokens) for t in part.parameters()
    ) * (1.3 if tied else 1)
    assert narrow.dtype == torch.float32 and isinstance(narrow.model.embed_tokens, Int8Embedding)


def test_the_static_step_of_a_quantised_model_is_the_plain_one():
    narrow = quantised_copy(model(), "int4")
    decoder = Decoder(narrow)
    _, cache = stepwise(narrow, decoder, PROMPT, ANSWER)
    other = cache.copy(cache.length, cache.capacity)
    for tensor in (other.keys, other.values):
        tensor[..., cache.length :, :] = 0
    at = torch.tensor([cache.length])
    static = decoder.static_step(torch.tensor([9]), at + 4, at, other)
    torch.testing.assert_close(static, decoder.step(9, cache.length + 4, cache), rtol=2e-2, atol=2e-2)
