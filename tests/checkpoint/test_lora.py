"""LoRA: merged as PEFT merges it, found beside or without its base, and refused by name where it is another method."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from qwen2vl_demo.checkpoint.load import load_model
from qwen2vl_demo.checkpoint.lora import base_key, find_base, read_adapter, read_unmerged
from qwen2vl_demo.errors import UserError
from tests.checkpoint.adapters import (
    GOLDEN_MODULES,
    factors,
    golden_adapter,
    in_new_layout,
    numbers,
    probe,
    write_adapter,
)
from tests.checkpoint.greedy import our_tokens, their_tokens
from tests.checkpoint.tiny import CONFIG, write
from tests.engine.broken_checkpoints import copy_of_nano

TIED = dataclasses.replace(CONFIG, text=dataclasses.replace(CONFIG.text, tie_word_embeddings=True))

# `probe` of each weight that PEFT 0.21.2 changed when it merged `golden_adapter` into transformers 5.23's model.
PEFT_MERGED = {
    "lm_head.weight": 38.111434,
    "model.embed_tokens.weight": 13.448121,
    "model.layers.0.self_attn.q_proj.weight": 9.670268,
    "model.layers.0.self_attn.v_proj.weight": 3.185825,
    "model.layers.1.mlp.down_proj.weight": 21.110858,
    "model.layers.1.self_attn.q_proj.weight": 4.165798,
    "visual.blocks.0.attn.qkv.weight": 12.620589,
    "visual.blocks.0.mlp.fc1.weight": 10.566012,
    "visual.merger.ln_q.bias": 0.868890,
    "visual.merger.ln_q.weight": 0.467996,
    "visual.merger.mlp.0.weight": 15.452893,
    "visual.patch_embed.proj.weight": 514.699290,
}


def base(directory, config=CONFIG):
    """A base whose numbers follow from their names."""
    directory.mkdir(exist_ok=True)
    write(directory, config, change=lambda state: {name: numbers(name, *t.shape) for name, t in state.items()})
    return load_file(directory / "model.safetensors")


def merged(directory, adapter, dtype=torch.float32):
    model = load_model(directory, device=torch.device("cpu"), dtype=dtype, adapter=adapter)
    return dict(model.state_dict())


def test_a_lora_on_both_towers_is_merged_as_peft_merges_it(tmp_path):
    """Linear layers, a convolution, an embedding, whole modules; ranks, strengths and targets given by patterns."""
    state = base(tmp_path / "base")
    found = merged(tmp_path / "base", golden_adapter(tmp_path / "lora", state))
    changed = {name: probe(name, t) for name, t in found.items() if not torch.equal(t, state[name])}
    assert changed == pytest.approx(PEFT_MERGED, abs=2e-5)


@pytest.mark.parametrize("rslora", [False, True])
def test_the_sum_is_that_of_the_formula_and_rounded_once(tmp_path, rslora):
    """W + alpha / r B A, or alpha / sqrt(r) with rank stabilisation, worked in float64."""
    state = base(tmp_path)
    module = "model.layers.1.mlp.up_proj"
    tensors = factors(state, [module], lambda _: 8, rename=lambda name: name)  # names as transformers 4.51 had them
    adapter = write_adapter(tmp_path / "lora", tensors, r=8, lora_alpha=12, use_rslora=rslora)
    a, b = (tensors[f"base_model.model.{module}.lora_{factor}.weight"].double() for factor in "AB")
    wanted = state[f"{module}.weight"].double() + 12 / (8**0.5 if rslora else 8) * b @ a
    found = merged(tmp_path, adapter)[f"{module}.weight"]
    torch.testing.assert_close(found, wanted.float(), rtol=1e-6, atol=1e-6)
    narrow = merged(tmp_path, adapter, torch.bfloat16)[f"{module}.weight"]
    assert torch.equal(narrow, found.bfloat16())


@pytest.mark.slow
def test_a_merged_lora_writes_what_transformers_writes_with_the_sum(tmp_path):
    """transformers gets the sum, worked in float64, as a whole checkpoint; the adapter reaches both towers."""
    nano, whole = copy_of_nano(tmp_path / "nano"), copy_of_nano(tmp_path / "whole")
    state = load_file(nano / "model.safetensors")
    modules = [f"visual.blocks.{i}.{part}" for i in range(3) for part in ("attn.qkv", "mlp.fc2")]
    modules += [f"model.layers.{i}.{part}" for i in range(3) for part in ("self_attn.q_proj", "mlp.down_proj")]
    tensors = factors(state, modules)
    adapter = write_adapter(tmp_path / "lora", tensors, lora_alpha=0.5)
    summed = dict(state)
    for module in modules:
        a, b = (tensors[f"base_model.model.{in_new_layout(module)}.lora_{factor}.weight"].double() for factor in "AB")
        summed[f"{module}.weight"] = (state[f"{module}.weight"].double() + 0.5 / 4 * b @ a).float()
    (whole / "model.safetensors").unlink()
    save_file(summed, whole / "model.safetensors", {"format": "pt"})
    assert our_tokens(nano, adapter) == their_tokens(whole) != our_tokens(nano)


@pytest.mark.parametrize("module", ["model.embed_tokens", "lm_head"])
def test_an_adapter_of_one_end_of_a_tied_model_unties_it(tmp_path, module):
    """PEFT changes the embedding or the output layer; the other one stays what it was."""
    state = base(tmp_path, TIED)
    shape = {**state, "lm_head.weight": state["model.embed_tokens.weight"]}
    adapter = write_adapter(tmp_path / "lora", factors(shape, [module]))
    found = merged(tmp_path, adapter)
    other = {"model.embed_tokens": "lm_head", "lm_head": "model.embed_tokens"}[module]
    assert torch.equal(found[f"{other}.weight"], state["model.embed_tokens.weight"])
    assert not torch.equal(found[f"{module}.weight"], state["model.embed_tokens.weight"])


def test_an_adapter_of_the_layers_leaves_a_tied_model_tied(tmp_path):
    state = base(tmp_path, TIED)
    adapter = write_adapter(tmp_path / "lora", factors(state, ["model.layers.0.mlp.up_proj"]))
    assert "lm_head.weight" not in merged(tmp_path, adapter)


def test_biases_are_replaced_or_added_to(tmp_path):
    state, key = base(tmp_path), "model.layers.0.self_attn.q_proj"
    tensors = factors(state, [key], rename=lambda name: name)
    tensors[f"base_model.model.{key}.base_layer.bias"] = numbers("bias", 16)
    tensors[f"base_model.model.{key}.lora_B.bias"] = numbers("more", 16)
    found = merged(tmp_path, write_adapter(tmp_path / "lora", tensors))[f"{key}.bias"]
    torch.testing.assert_close(found, numbers("bias", 16) + 1.5 * numbers("more", 16))


def unmerged(state, name="default"):
    """The state of a PEFT model that was saved as it was: wrapped layers, and factors with the adapter's name."""
    saved = {}
    for key, tensor in state.items():
        module, _, kind = key.rpartition(".")
        inner = ".base_layer" if module in GOLDEN_MODULES else ""
        if module == "visual.merger.ln_q":
            saved[f"base_model.model.{module}.modules_to_save.{name}.{kind}"] = tensor + 1
            inner = ".original_module"
        saved[f"base_model.model.{module}{inner}.{kind}"] = tensor
    for key, tensor in factors(state, GOLDEN_MODULES, rename=lambda module: module).items():
        saved[key.removesuffix(".weight") + f".{name}" + (".weight" if key.endswith(".weight") else "")] = tensor
    return saved


def test_keys_of_peft_that_were_left_in_a_checkpoint_are_merged(tmp_path):
    state = base(tmp_path / "base")
    adapter = write_adapter(tmp_path / "lora", factors(state, GOLDEN_MODULES))
    wanted = merged(tmp_path / "base", adapter)
    directory = tmp_path / "whole"
    directory.mkdir()
    for file in (tmp_path / "base" / "config.json", adapter / "adapter_config.json"):
        (directory / file.name).write_text(file.read_text())
    save_file(unmerged(state), directory / "model.safetensors")
    found = merged(directory, None)
    for name in ("weight", "bias"):
        wanted[f"visual.merger.ln_q.{name}"] = state[f"visual.merger.ln_q.{name}"] + 1
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)
    with pytest.raises(UserError, match="holds an adapter already"):
        merged(directory, adapter)
    (directory / "adapter_config.json").unlink()
    with pytest.raises(UserError, match=r"not merged .*lora_alpha.* merge_and_unload"):
        merged(directory, None)


def test_wrapped_keys_without_a_lora_load_as_they_are(tmp_path):
    wrapped = lambda s: {f"base_model.model.{n.replace('.q_proj.', '.q_proj.base_layer.')}": t for n, t in s.items()}  # noqa: E731
    state = write(tmp_path, change=wrapped)
    assert read_unmerged(tmp_path) is None
    found = merged(tmp_path, None)
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("model.norm.weight", "model.norm.weight"),
        ("base_model.model.model.visual.blocks.0.attn.qkv.base_layer.bias", "model.visual.blocks.0.attn.qkv.bias"),
        ("base_model.model.lm_head.original_module.weight", "lm_head.weight"),
        ("base_model.model.lm_head.modules_to_save.default.weight", None),
        ("visual.merger.modules_to_save.default.mlp.0.weight", None),
        ("model.layers.0.mlp.up_proj.lora_A.weight", None),
        ("model.layers.0.mlp.up_proj.lora_B.default.weight", None),
        ("model.embed_tokens.lora_embedding_A", None),
        ("model.embed_tokens.lora_embedding_B.default", None),
        ("model.layers.0.mlp.up_proj.lora_magnitude_vector.default.weight", None),
    ],
)
def test_what_belongs_to_the_base_and_what_to_the_adapter(key, name):
    assert base_key(key) == name


def test_the_base_is_found_by_the_name_in_the_adapter_or_given(tmp_path):
    state = base(tmp_path / "base")
    tensors = factors(state, ["lm_head"])
    adapter = write_adapter(tmp_path / "lora", tensors, base_model_name_or_path=str(tmp_path / "base"))
    assert find_base(str(adapter)) == (tmp_path / "base", adapter)
    assert find_base(str(tmp_path / "base")) == (tmp_path / "base", None)
    write_adapter(adapter, tensors, base_model_name_or_path="/home/trainer/Qwen2-VL-2B")
    with pytest.raises(UserError, match=r"adapter of '/home/trainer/Qwen2-VL-2B', which was not found .*--model BASE"):
        find_base(str(adapter))
    assert find_base(str(tmp_path / "base"), str(adapter)) == (tmp_path / "base", adapter)
    write_adapter(adapter, tensors)
    with pytest.raises(UserError, match="does not name its base; give --model BASE --adapter"):
        find_base(str(adapter))
    write_adapter(adapter, tensors, base_model_name_or_path=str(adapter))
    with pytest.raises(UserError, match="is an adapter too"):
        find_base(str(adapter))
    with pytest.raises(UserError, match=r"is an adapter itself"):
        find_base(str(adapter), str(adapter))
    with pytest.raises(UserError, match=r"There is no adapter_config\.json"):
        find_base(str(tmp_path / "base"), str(tmp_path / "base"))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"use_dora": True}, "is DoRA"),
        ({"peft_type": "LOHA"}, "is LOHA"),
        ({"peft_type": "IA3"}, "is IA3"),
        ({"peft_type": 3}, "is 3"),
        ({"alora_invocation_tokens": [1]}, "aLoRA"),
        ({"trainable_token_indices": [1]}, "trainable tokens"),
        ({"init_lora_weights": "pissa_niter_16"}, "changed base .*path_initial_model_for_weight_conversion"),
        ({"r": 3}, "gives the rank 3"),
        ({"r": 0}, "the rank in adapter_config.json is 0"),
        ({"r": "4"}, "r in adapter_config.json is '4' and no number"),
        ({"rank_pattern": {"(": 3}}, "no regular expression"),
        ({"alpha_pattern": [3]}, "is no object|and no object"),
    ],
)
def test_other_methods_and_broken_configs_are_refused_by_name(tmp_path, config, words):
    state = base(tmp_path)
    adapter = write_adapter(tmp_path / "lora", factors(state, ["lm_head"]), **config)
    with pytest.raises(UserError, match=words):
        read_adapter(adapter)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"lm_head.lora_A.weight": (4, 16)}, "one of two factors of lm_head"),
        ({"lm_head.lora_A.weight": (4, 16), "lm_head.lora_B.weight": (40, 5)}, r"\[4, 16\] and \[40, 5\]"),
        ({"lm_head.lora_A.weight": (4, 16), "lm_head.lora_magnitude_vector": (40,)}, "is DoRA"),
        ({"lm_head.lora_A.weight": (4, 16), "lm_head.lora_B.weight": (44, 4)}, r"of the shape \[44, 16\] .* resized"),
        ({"lm_head.weight": (44, 16)}, r"of the shape \[44, 16\]"),
        ({"model.layers.7.mlp.up_proj.weight": (4, 4)}, "changes model.layers.7.* base does not have"),
        ({"custom_text_proj.weight": (4, 4)}, "a retriever .*does not chat"),
        ({"a.lora_A.x.weight": (4, 4), "b.lora_A.y.weight": (4, 4)}, "holds 2 adapters, x, y"),
    ],
)
def test_an_adapter_that_does_not_fit_is_named(tmp_path, tensors, words):
    base(tmp_path)
    adapter = write_adapter(tmp_path / "lora", {f"base_model.model.{n}": numbers(n, *s) for n, s in tensors.items()})
    with pytest.raises(UserError, match=words):
        merged(tmp_path, adapter)


def test_a_pickle_and_an_empty_adapter_are_refused_with_the_reason(tmp_path):
    write_adapter(tmp_path, {})
    with pytest.raises(UserError, match="no tensor of an adapter"):
        read_adapter(tmp_path)
    (tmp_path / "adapter_model.safetensors").unlink()
    with pytest.raises(UserError, match=r"There is no adapter_model\.safetensors"):
        read_adapter(tmp_path)
    (tmp_path / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(UserError, match=r"a pickle, .* never loaded"):
        read_adapter(tmp_path)
    (tmp_path / "adapter_config.json").write_text(json.dumps([]))
    with pytest.raises(UserError, match="not a JSON object"):
        read_adapter(tmp_path)
