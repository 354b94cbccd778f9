"""Loading: strict, in both key layouts, from one file or shards, tied or not; every defect named in words."""

import dataclasses
import json
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

from qwen2vl_demo.config import Qwen2VLConfig, TextConfig, VisionConfig
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.model import weights
from qwen2vl_demo.model.qwen2vl import Qwen2VL

CPU = torch.device("cpu")
CONFIG = Qwen2VLConfig(
    VisionConfig(depth=1, embed_dim=16, num_heads=2, mlp_ratio=2, out_dim=16),
    TextConfig(
        hidden_size=16,
        num_layers=2,
        num_heads=2,
        num_kv_heads=1,
        intermediate_size=32,
        vocab_size=40,
        mrope_section=(1, 1, 2),
    ),
)


def write(directory, config=CONFIG, change=lambda state: state, shards=1):
    """A checkpoint with random weights; `change` may spoil its tensors. Returns the state that was meant."""
    torch.manual_seed(0)
    state = dict(Qwen2VL(config).state_dict())
    (directory / "config.json").write_text(json.dumps(config.to_dict()))
    tensors = change(dict(state))
    if shards == 1:
        save_file(tensors, directory / "model.safetensors")
        return state
    names = sorted(tensors)
    files = [f"model-{i + 1:05d}-of-{shards:05d}.safetensors" for i in range(shards)]
    for i, file in enumerate(files):
        save_file({n: tensors[n] for n in names[i::shards]}, directory / file)
    index = {n: files[i % shards] for i, n in enumerate(names)}
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return state


def load(directory, dtype=torch.float32):
    return weights.load_model(directory, device=CPU, dtype=dtype)


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


def test_a_directory_is_taken_as_it_is_and_a_missing_one_says_what_model_may_be(tmp_path):
    assert weights.find_checkpoint(str(tmp_path)) == tmp_path
    for wrong in (str(tmp_path / "nowhere"), "./nowhere", "nowhere"):
        with pytest.raises(UserError, match='takes "nano", a checkpoint directory'):
            weights.find_checkpoint(wrong)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UserError, match="is a file"):
        weights.find_checkpoint(str(file))


@pytest.mark.parametrize("content", ["[]", "null", '{"weight_map": []}', '{"weight_map": {"a": 1}}', "{"])
def test_a_broken_index_is_named(tmp_path, content):
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(UserError, match=r"model\.safetensors\.index\.json"):
        weights.weight_files(tmp_path)


def test_a_hub_model_without_a_network_gets_one_clear_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"cannot be reached .* or use --model nano"):
        weights.find_checkpoint("Qwen/Qwen2-VL-2B-Instruct")


def test_placement_gives_its_reason(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setattr(weights, "bfloat16_gain", lambda: 6.0)
    assert weights.place(tmp_path, "cpu").dtype is torch.bfloat16
    monkeypatch.setattr(weights, "bfloat16_gain", lambda: 0.1)
    placed = weights.place(tmp_path, "cpu")
    assert (placed.dtype, placed.reason) == (
        torch.float32,
        "cpu as asked for; float32, 10 times as fast as bfloat16 here",
    )
    monkeypatch.setattr(weights, "free_memory", lambda: 1000)
    placed = weights.place(tmp_path, "cpu")
    assert placed.dtype is torch.bfloat16
    assert "float32 would need" in placed.reason
    assert weights.place(tmp_path, "cpu", "bfloat16").reason.endswith("bfloat16 as asked for")


@pytest.mark.parametrize("sysconf", [None, lambda name: 4096])
def test_free_memory_needs_neither_proc_nor_sysconf(tmp_path, monkeypatch, sysconf):
    """Windows has no /proc and no os.sysconf: loading on a CPU ended in an AttributeError there."""

    def no_proc(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", no_proc)
    if sysconf is None:
        monkeypatch.delattr(weights.os, "sysconf")
    else:
        monkeypatch.setattr(weights.os, "sysconf", sysconf)
    assert weights.free_memory() == (None if sysconf is None else 4096 * 4096)


def test_where_the_free_memory_is_unknown_the_faster_dtype_is_chosen(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setattr(weights, "bfloat16_gain", lambda: 0.1)
    monkeypatch.setattr(weights, "bfloat16_row_gain", lambda: 2.0)
    monkeypatch.setattr(weights, "MIN_DECODE_BYTES", 1)
    monkeypatch.setattr(weights, "free_memory", lambda: None)
    placed = weights.place(tmp_path, "cpu")
    assert (placed.dtype, placed.decode) == (torch.float32, "bfloat16")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_device_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="no device cuda here"):
        weights.place(tmp_path, "cuda")


def test_what_we_write_is_what_we_read(tmp_path):
    state = write(tmp_path)
    assert load_file(tmp_path / "model.safetensors").keys() == state.keys()


def test_a_large_model_on_a_cpu_writes_in_bfloat16_only_where_that_is_faster_and_was_left_open(tmp_path, monkeypatch):
    """A row is multiplied twice as fast here, a matrix at a tenth: prompts are read in one dtype, answers written in
    the other."""
    write(tmp_path)
    monkeypatch.setattr(weights, "bfloat16_gain", lambda: 0.1)
    monkeypatch.setattr(weights, "bfloat16_row_gain", lambda: 2.0)
    assert weights.place(tmp_path, "cpu").decode == "same", "a small model gains nothing"
    monkeypatch.setattr(weights, "MIN_DECODE_BYTES", 1)
    placed = weights.place(tmp_path, "cpu")
    assert (placed.dtype, placed.decode) == (torch.float32, "bfloat16")
    assert "2.0 times as fast for a single token" in placed.reason
    assert weights.place(tmp_path, "cpu", "float32").decode == "same"
    assert weights.place(tmp_path, "cpu", "auto", "int8").decode == "int8"
    monkeypatch.setattr(weights, "bfloat16_row_gain", lambda: 1.1)
    assert weights.place(tmp_path, "cpu").decode == "same"


def test_the_numbers_read_for_a_token_are_the_matrices_of_the_language_model():
    """CONFIG is not tied: the embedding gives one row, the head is read whole."""
    names = dict(Qwen2VL(CONFIG).named_parameters())
    read = sum(p.numel() for name, p in names.items() if p.ndim == 2 and name.startswith(("model.layers", "lm_head")))
    assert weights.decode_parameters(CONFIG.text) == read


def test_what_decides_the_number_format_is_what_a_larger_product_finds_too():
    """`bfloat16_gain` takes a few milliseconds; three vision-sized products in both formats must not contradict it.

    Only a clear answer counts (twice as fast or half as fast), since tests run on busy machines.
    """

    def seconds(dtype):
        x, matrix = torch.ones(784, 1280, dtype=dtype), torch.ones(1280, 1280, dtype=dtype)
        times = []
        for _ in range(3):
            begin = time.perf_counter()
            torch.nn.functional.linear(x, matrix)
            times.append(time.perf_counter() - begin)
        return min(times)

    found, quick = seconds(torch.float32) / seconds(torch.bfloat16), weights.bfloat16_gain()
    if max(found, 1 / found) > 2:
        assert (quick > 1) == (found > 1), (quick, found)
