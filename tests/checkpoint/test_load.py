"""Loading: strict, in both key layouts, from one file or shards, tied or not; every defect named in words."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from qwen2vl_demo.checkpoint.load import load_model
from qwen2vl_demo.errors import UserError
from tests.checkpoint.tiny import CONFIG, write

CPU = torch.device("cpu")


def load(directory, dtype=torch.float32):
    return load_model(directory, device=CPU, dtype=dtype)


def assert_loaded(directory, state):
    loaded = load(directory).state_dict()
    assert loaded.keys() == state.keys()
    for name, tensor in state.items():
        torch.testing.assert_close(loaded[name], tensor, rtol=0, atol=0)


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("tied", [False, True])
def test_loads_single_and_sharded_tied_and_untied(tmp_path, shards, tied):
    config = dataclasses.replace(CONFIG, text=dataclasses.replace(CONFIG.text, tie_word_embeddings=tied))
    state = write(tmp_path, config, shards=shards)
    assert ("lm_head.weight" in state) is not tied
    assert_loaded(tmp_path, state)


def test_loads_the_newer_key_layout(tmp_path):
    def newer(state):
        renamed = {}
        for name, tensor in state.items():
            if name.startswith("visual."):
                name = "model." + name
            elif name.startswith("model."):
                name = "model.language_model." + name.removeprefix("model.")
            renamed[name] = tensor
        return renamed

    assert_loaded(tmp_path, write(tmp_path, change=newer))


def test_a_tied_checkpoint_that_repeats_its_embedding_loads(tmp_path):
    config = dataclasses.replace(CONFIG, text=dataclasses.replace(CONFIG.text, tie_word_embeddings=True))
    repeat = lambda s: {**s, "lm_head.weight": s["model.embed_tokens.weight"].clone()}  # noqa: E731
    assert_loaded(tmp_path, write(tmp_path, config, change=repeat))


def test_the_dtype_asked_for_is_the_dtype_loaded(tmp_path):
    write(tmp_path)
    assert {t.dtype for t in load(tmp_path, torch.bfloat16).state_dict().values()} == {torch.bfloat16}


def without(name):
    return lambda state: {n: t for n, t in state.items() if n != name}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("model.norm.weight"), r"lacks 1 of \d+ tensors, the first is model.norm.weight"),
        (lambda s: {**s, "model.extra": torch.ones(2)}, "holds a tensor model.extra"),
        (
            lambda s: {**s, "model.norm.weight": torch.ones(17)},
            r"model.norm.weight has the shape \[17\] but config.json asks for \[16\]",
        ),
    ],
)
def test_a_tensor_that_is_missing_extra_or_misshapen_is_named(tmp_path, change, words):
    write(tmp_path, change=change)
    with pytest.raises(UserError, match=words):
        load(tmp_path)


def test_a_missing_shard_is_named(tmp_path):
    write(tmp_path, shards=3)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(UserError, match=r"lacks 1 of its 3 weight files, the first is model-00002"):
        load(tmp_path)


def test_a_cut_off_weight_file_says_to_download_it_again(tmp_path):
    write(tmp_path)
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="damaged"):
        load(tmp_path)


def test_a_directory_without_weights_and_a_config_of_another_model_say_so(tmp_path):
    state = write(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"holds no model\.safetensors"):
        load(tmp_path)
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(UserError, match='model_type is "llama"'):
        load(tmp_path)


def test_what_we_write_is_what_we_read(tmp_path):
    state = write(tmp_path)
    assert load_file(tmp_path / "model.safetensors").keys() == state.keys()


def test_changes_see_one_tensor_at_a_time_and_what_they_return_is_loaded(tmp_path):
    state = write(tmp_path, shards=2)
    seen = []

    def doubled(tensors):
        for name, tensor in tensors:
            seen.append(name)
            yield name, tensor * 2

    def negative(tensors):
        return ((name, -tensor) for name, tensor in tensors)

    loaded = load_model(tmp_path, device=CPU, dtype=torch.float32, changes=[doubled, negative]).state_dict()
    assert sorted(seen) == sorted(state)
    assert all(torch.equal(loaded[name], -2 * tensor) for name, tensor in state.items())


def test_each_tensor_goes_to_its_own_device(tmp_path):
    write(tmp_path)
    split = lambda name: torch.device("meta" if ".layers.1." in name else "cpu")  # noqa: E731
    for name, tensor in load_model(tmp_path, device=split, dtype=torch.float32).state_dict().items():
        assert tensor.device == split(name)


def test_no_file_stays_mapped_after_loading(tmp_path):
    """Mapped pages count as memory in use, beside the copies of them that are made."""
    write(tmp_path)
    held = load(tmp_path)
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()
    assert held.dtype == torch.float32
