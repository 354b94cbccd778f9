"""`check` names each kind of checkpoint that people have, and says whether it runs here and how, or what to do."""

import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from qwen2vl_demo import cli
from qwen2vl_demo.checkpoint import memory_needed
from qwen2vl_demo.engine import check
from qwen2vl_demo.released import RELEASED
from qwen2vl_demo.resources import NANO
from tests.checkpoint.adapters import factors, write_adapter
from tests.checkpoint.greedy import edit
from tests.checkpoint.quantised import packing
from tests.checkpoint.quantised.test_formats import AWQ, GPTQ
from tests.checkpoint.test_kinds import Hub
from tests.engine.broken_checkpoints import copy_of_nano

YARN = {"type": "yarn", "mrope_section": [8, 12, 12], "factor": 4.0}


@pytest.fixture
def nano(tmp_path):
    return copy_of_nano(tmp_path / "nano")


def run(capsys, *argv):
    """The exit status, standard output and standard error of `check`."""
    status = cli.main(["check", *map(str, argv)])
    return status, *capsys.readouterr()


def without(*names):
    return lambda directory: [(directory / name).unlink() for name in names]


def config(**changes):
    return lambda directory: edit(directory, **changes)


def tensors(**changes):
    def change(directory):
        file = directory / "model.safetensors"
        weights = {**load_file(file), **{name.replace("__", "."): tensor for name, tensor in changes.items()}}
        file.unlink()
        save_file(weights, file)

    return change


def old_vision_config(directory):
    """Only what differs from the defaults was written: 128 wide, 8 deep, 2 heads; not the ratio of the MLP."""
    vision = {"depth": 8, "embed_dim": 128, "num_heads": 2, "hidden_size": 192, "in_chans": 3, "spatial_patch_size": 14}
    edit(directory, vision_config={"model_type": "qwen2_vl", **vision}, transformers_version="4.45.0.dev0")


def quantised(pack, settings):
    """With the language model's weights in another format."""

    def change(directory):
        file, tensors = directory / "model.safetensors", {}
        for name, weight in load_file(file).items():
            if name.startswith("model.layers.") and weight.ndim == 2:
                parts, _ = pack(weight.float())
                path = name.removesuffix(".weight")
                tensors |= {f"{path}.{part}": tensor.contiguous() for part, tensor in parts.items()}
            else:
                tensors[name] = weight
        file.unlink()
        save_file(tensors, file)
        edit(directory, quantization_config=settings)

    return change


RUNS = {
    "a released one": (lambda directory: None, r"of the kind Qwen2-VL\.\n4\.8 million parameters"),
    "an old vision_config": (old_vision_config, r"transformers 4\.45\.0\.dev0\.\nIts vision_config lacks mlp_r"),
    "no preprocessor_config": (
        without("preprocessor_config.json"), r"image preprocessing: that of the released checkpoints"
    ),
    "YaRN": (config(rope_scaling=YARN), r"16,384 positions\.\nYaRN stretches the trained 4,096 positions 4 times\."),
    "untied without lm_head": (config(tie_word_embeddings=False), r"no output layer of its own: the embedding"),
    "nothing about tying": (config(tie_word_embeddings=None), r"no output layer of its own"),
    "AWQ": (quantised(packing.awq, AWQ), r"complete\.[\s\S]*its weights are quantised \(awq\)"),
    "GPTQ": (quantised(packing.gptq, GPTQ), r"its weights are quantised \(gptq\)"),
    "FP8": (quantised(packing.fp8, {"quant_method": "fbgemm_fp8"}), r"its weights are quantised \(fbgemm_fp8\)"),
    "bitsandbytes": (
        quantised(packing.bnb4, {"quant_method": "bitsandbytes", "load_in_4bit": True}), r"quantised \(bitsandbytes\)"
    ),
}  # fmt: skip
REFUSED = {
    "no tokenizer": (without("tokenizer.json"), r"There is no tokenizer\.json in .*--processor"),
    "a sliding window": (
        config(use_sliding_window=True, sliding_window=512, max_window_layers=2),
        r"use_sliding_window limits layers 2 to 5 to the last 512 positions",
    ),
    "another activation": (config(hidden_act="gelu"), r"hidden_act is 'gelu', and only silu"),
    "another scaling": (config(rope_scaling={**YARN, "type": "dynamic"}), r"of the type 'dynamic'"),
    "no mrope_section": (config(rope_scaling=None), r"no mrope_section, and no other is known for heads of 64"),
    "no weights": (without("model.safetensors"), r"holds no model\.safetensors"),
    "a pickle": (
        lambda directory: (directory / "model.safetensors").rename(directory / "pytorch_model.bin"),
        r"keeps its weights as pickle .* convert it .* python -c",
    ),
    "Qwen2.5-VL": (config(model_type="qwen2_5_vl"), r"is a Qwen2\.5-VL.*vllm serve .*--engine-url"),
    "Qwen3-VL": (config(model_type="qwen3_vl"), r"is a Qwen3-VL.*vllm serve .*--engine-url"),
    "another model": (config(model_type="llama"), r'model_type is "llama"'),
    "a retriever": (config(architectures=["ColQwen2"]), r"is a retriever, it does not chat"),
    "a retriever by its tensors": (tensors(custom_text_proj__weight=torch.ones(2)), r"is a retriever \("),
    "a format that is not read": (config(quantization_config={"quant_method": "aqlm"}), r"aqlm.*--quantize int4"),
    "a classifier": (tensors(score__weight=torch.ones(2)), r"classifies or grades"),
    "weights of another shape": (config(intermediate_size=500), r"has the shape .* but config\.json asks for"),
}


@pytest.mark.parametrize("row", RUNS)
def test_what_runs_is_told_with_how(nano, capsys, row):
    change, words = RUNS[row]
    change(nano)
    status, out, err = run(capsys, nano, "--device", "cpu")
    assert (status, err) == (0, "")
    assert re.search(words, out)
    assert re.search(r"\n  bfloat16 +[\d.]+ MB  fits\n", out)
    assert out.endswith(f"python app.py --model {nano} --device cpu\n")


@pytest.mark.parametrize("row", REFUSED)
def test_what_does_not_run_is_a_sentence_and_status_2(nano, capsys, row):
    change, words = REFUSED[row]
    change(nano)
    status, _, err = run(capsys, nano)
    assert status == 2 and err.count("\n") == 1
    assert re.search(words, err)


def test_a_gguf_file_is_named(tmp_path, capsys):
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF" + bytes(20))
    status, _, err = run(capsys, file)
    assert status == 2 and "llama-server -m" in err and "--engine-url" in err


def test_with_the_processor_of_another_checkpoint_it_runs(nano, capsys):
    (nano / "tokenizer.json").unlink()
    status, out, _ = run(capsys, nano, "--processor", NANO)
    assert status == 0 and f"Tokenizer: that of {NANO}" in out
    assert f"--processor {NANO}" in out.splitlines()[-1]


@pytest.fixture
def large(tmp_path, monkeypatch):
    """The 72B on the hub, with nano's words."""
    for file in NANO.glob("*.json"):
        (tmp_path / file.name).write_text(file.read_text())
    nano = json.loads((NANO / "config.json").read_text())
    edit(tmp_path, **RELEASED["72B"].to_dict())
    edit(tmp_path, **{key: nano[key] for key in nano if key.endswith("_token_id")})
    Hub(monkeypatch, tmp_path, ["config.json", *(f"model-{i}.safetensors" for i in range(38))])
    return "Qwen/Qwen2-VL-72B-Instruct"


def test_what_is_too_large_is_refused_before_it_is_downloaded(large, capsys, monkeypatch):
    """73.4 billion numbers of 2 bytes are 146.8 GB, and 4,096 positions of keys and values 1.34."""
    monkeypatch.setattr(memory_needed, "free_memory", lambda: 80 * 10**9)
    monkeypatch.setattr(memory_needed, "total_memory", lambda: 80 * 10**9)
    status, out, err = run(capsys, large, "--device", "cpu", "--dtype", "bfloat16")
    assert status == 2 and "in 38 files on the hub, downloaded at the first start" in out
    assert re.search(r"bfloat16 +148 GB  does not fit\n", out)
    assert "takes 148 GB in bfloat16, and 80 GB of memory are free. What would work:" in err


def test_the_price_of_8_bits_on_a_card_stands_beside_what_they_save(nano, capsys, monkeypatch):
    card = (torch.device("cuda"),)
    monkeypatch.setattr(check, "find_devices", lambda device: (card, "cuda as asked for"))
    monkeypatch.setattr(check, "bytes_free", lambda device: 2**33)
    monkeypatch.setattr(check, "stays_in_4_bits", lambda *_: False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    _, out, _ = run(capsys, nano, "--device", "cpu", "--quantize", "int8")
    assert re.search(r"int8 +[\d.]+ MB  fits; a token takes 2 to 4 times as long as in bfloat16; int4 is faster\n", out)
    assert re.search(r"int4 +[\d.]+ MB  fits\n", out)


def test_an_adapter_is_checked_with_its_base(nano, tmp_path, capsys):
    tensors = factors(load_file(NANO / "model.safetensors"), ["model.layers.0.self_attn.q_proj"])
    adapter = write_adapter(tmp_path / "adapter", tensors, base_model_name_or_path=str(NANO))
    status, out, _ = run(capsys, adapter)
    assert status == 0 and f"LORA adapter of {NANO}" in out and f"Its base is in {NANO}" in out
    assert "an adapter changes 1 of them" in out
    status, out, _ = run(capsys, nano, "--adapter", adapter)
    assert status == 0 and "an adapter changes 1 of them" in out and f"--adapter {adapter}" in out


def test_an_adapter_of_a_base_on_the_hub_is_checked_without_either_s_weights(large, tmp_path_factory, capsys):
    adapter = tmp_path_factory.mktemp("adapter")
    write_adapter(adapter, {}, base_model_name_or_path=large)
    _, out, _ = run(capsys, adapter)
    assert f"LORA adapter of {large}" in out and "in 38 files on the hub, downloaded at the first start" in out


def test_nothing_to_check_and_wrong_flags_are_told(capsys):
    for argv in (["none"], ["nano", "--device", "tpu"], ["./nowhere"]):
        status, _, err = run(capsys, *argv)
        assert status == 2 and err.startswith("error: ")
