"""Checkpoints that are quantised already: the weights, and the logits, are those of the dequantised oracle."""

import json
from functools import partial

import pytest
import torch
from safetensors.torch import save_file

from qwen2vl_demo.checkpoint.load import load_model
from qwen2vl_demo.checkpoint.placement import place
from qwen2vl_demo.checkpoint.quantised.formats import quantization_method
from qwen2vl_demo.config import Qwen2VLConfig, TextConfig, VisionConfig
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.model.decoder import Decoder
from qwen2vl_demo.model.int4 import Int4Linear, has_kernel
from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.model.quantised import quantised_copy
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from tests.checkpoint.quantised import packing

CPU = torch.device("cpu")
CONFIG = Qwen2VLConfig(
    VisionConfig(depth=1, embed_dim=32, num_heads=2, mlp_ratio=2, out_dim=128),
    TextConfig(128, 2, 2, 1, 192, 100, (8, 12, 12), tie_word_embeddings=True),
    *(96, 97, 98, 99),
)
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm", "zero_point": True}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 32}
COMPRESSED = {"quant_method": "compressed-tensors", "format": "pack-quantized"}
KINDS = {
    "awq": (packing.awq, AWQ),
    "gptq": (packing.gptq, GPTQ),
    "gptq act-order": (partial(packing.gptq, act_order=True), GPTQ | {"desc_act": True}),
    "gptq version 2": (partial(packing.gptq, version=2), GPTQ | {"checkpoint_format": "gptq_v2"}),
    "gptq 8 bits": (partial(packing.gptq, bits=8, act_order=True), GPTQ | {"bits": 8}),
    "compressed 4 bits": (packing.compressed, COMPRESSED),
    "compressed 4 bits with zeros": (partial(packing.compressed, symmetric=False), COMPRESSED),
    "compressed 8 bits": (partial(packing.compressed, bits=8), COMPRESSED),
    "compressed int8": (packing.int8, COMPRESSED | {"format": "int-quantized"}),
    "compressed fp8": (packing.fp8, COMPRESSED | {"format": "float-quantized"}),
    "compressed fp8, one scale": (partial(packing.fp8, per="all"), COMPRESSED),
    "fbgemm_fp8": (packing.fp8, {"quant_method": "fbgemm_fp8"}),
    "fp8 in blocks": (
        partial(packing.fp8, per="block", name="weight_scale_inv"),
        {"quant_method": "fp8", "weight_block_size": [32, 32]},
    ),
    "bitsandbytes nf4": (packing.bnb4, {"quant_method": "bitsandbytes", "load_in_4bit": True}),
    "bitsandbytes nf4, one level": (partial(packing.bnb4, nested=False), {"load_in_4bit": True}),
    "bitsandbytes int8": (packing.bnb8, {"quant_method": "bitsandbytes", "load_in_8bit": True}),
}
IN_4_BITS = [kind for kind in KINDS if kind.startswith(("awq", "gptq", "compressed 4"))]
IN_4_BITS.remove("gptq 8 bits")


def write(directory, pack, settings):
    """A checkpoint whose language model is quantised as the official ones are; the model that it stands for."""
    torch.manual_seed(0)
    model = Qwen2VL(CONFIG).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.copy_(torch.randn_like(parameter) * 0.1 + (parameter.ndim == 1))
    tensors = {}
    for name, weight in model.state_dict().items():
        path = name.removesuffix(".weight")
        if name.startswith("model.layers.") and weight.ndim == 2:
            parts, meant = pack(weight)
            tensors |= {f"{path}.{part}": part_tensor.contiguous() for part, part_tensor in parts.items()}
            weight.copy_(meant)
        else:
            tensors[name] = weight.clone()
    directory.mkdir(exist_ok=True)
    save_file(tensors, directory / "model.safetensors")
    (directory / "config.json").write_text(json.dumps(CONFIG.to_dict() | {"quantization_config": settings}))
    return model


@torch.inference_mode()
def logits(model):
    """Those after a prompt, which is many rows, and those after one more token."""
    ids = torch.arange(40)[None]
    cache = KVCache(CONFIG.text, 41, device=CPU, dtype=model.dtype)
    hidden = model(model.embed(ids), torch.arange(40).expand(3, 1, -1), cache)
    return torch.cat((model.logits(hidden)[0], Decoder(model).step(7, 40, cache)[None])).float()


def off(got, expected):
    return float((got - expected).norm() / expected.norm())


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_the_dequantised_oracle(tmp_path, monkeypatch, kind):
    """Exactly where nothing stays in 4 bits: then the weights are the same to the last bit but one."""
    monkeypatch.setattr("qwen2vl_demo.model.quantised.has_kernel", lambda *_: False)
    oracle = write(tmp_path, *KINDS[kind])
    loaded = load_model(tmp_path, device=CPU, dtype=torch.float32)
    for name, weight in oracle.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], weight, rtol=1e-5, atol=1e-6, msg=name)
    assert off(logits(loaded), logits(oracle)) < 1e-5


@pytest.mark.parametrize("kernel", [False, True])
@pytest.mark.parametrize("kind", IN_4_BITS)
def test_weights_of_4_bits_stay_so(tmp_path, monkeypatch, kind, kernel):
    """With a kernel by themselves, without one where int4 is asked for; then embedding and vision are quantised too.

    Scales are rounded to bfloat16, by 2^-9 at most, and single rows are multiplied in it.
    """
    if not kernel:
        monkeypatch.setattr("qwen2vl_demo.model.int4._packing_of_this_cpu", lambda: None)
    elif not has_kernel(CPU, (64, 64), 32):
        pytest.skip("this processor has no kernel")
    oracle = write(tmp_path, *KINDS[kind])
    loaded = load_model(tmp_path, device=CPU, dtype=torch.float32, quantize="none" if kernel else "int4")
    layers = [module for module in loaded.model.layers.modules() if isinstance(module, Int4Linear)]
    assert len(layers) == 14
    if not kernel:
        oracle = quantised_copy(oracle, "int8")
        oracle.model.embed_tokens.head = loaded.model.embed_tokens.head
    assert off(logits(loaded), logits(oracle)) < (5e-3 if kernel else 2e-2)


def test_a_change_of_weights_gets_them_dequantised(tmp_path):
    oracle = write(tmp_path, *KINDS["awq"])
    same = lambda tensors: ((name, tensor + 0) for name, tensor in tensors)  # noqa: E731
    loaded = load_model(tmp_path, device=CPU, dtype=torch.float32, changes=[same])
    assert off(logits(loaded), logits(oracle)) < 1e-5


def test_an_older_gptq_checkpoint_says_it_in_a_file_of_its_own(tmp_path):
    oracle = write(tmp_path, *KINDS["gptq"])
    (tmp_path / "config.json").write_text(json.dumps(CONFIG.to_dict()))
    (tmp_path / "quantize_config.json").write_text(json.dumps({"bits": 4, "group_size": 32}))
    assert quantization_method(tmp_path) == "gptq"
    assert off(logits(load_model(tmp_path, device=CPU, dtype=torch.float32)), logits(oracle)) < 5e-3


def test_the_placement_names_the_format_and_makes_no_second_copy(tmp_path):
    write(tmp_path, *KINDS["awq"])
    placement = place(tmp_path, "cpu", "float32")
    assert placement.decode == "same" and "quantised (awq)" in placement.reason


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"quant_method": "aqlm"}, "aqlm.*, which is not read here.*--quantize int4.*vllm serve"),
        (AWQ | {"version": "gemv"}, "gemv"),
        (GPTQ | {"bits": 3}, "3 bits"),
    ],
)
def test_formats_that_are_not_read_are_named(tmp_path, settings, words):
    write(tmp_path, packing.awq, settings)
    with pytest.raises(UserError, match=words):
        load_model(tmp_path, device=CPU, dtype=torch.float32)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spoil", [lambda t: t.flatten()[:1], lambda t: t.flatten()[:-1]])
def test_parts_that_do_not_fit_are_one_sentence(tmp_path, kind, spoil):
    pack, settings = KINDS[kind]

    def spoilt(weight):
        parts, meant = pack(weight)
        part = next(iter(parts))
        return {**parts, part: spoil(parts[part])}, meant

    write(tmp_path, spoilt, settings)
    with pytest.raises(UserError):
        load_model(tmp_path, device=CPU, dtype=torch.float32)
