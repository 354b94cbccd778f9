"""What is no Qwen2-VL that chats is named, and the sentence says what answers instead."""

import json
import re
import shlex
import sys
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file

from qwen2vl_demo import cli
from qwen2vl_demo.checkpoint.find import find_checkpoint
from qwen2vl_demo.checkpoint.kinds import kind_of
from qwen2vl_demo.checkpoint.load import load_model
from qwen2vl_demo.errors import UserError
from tests.checkpoint.greedy import edit
from tests.checkpoint.tiny import write
from tests.engine.broken_checkpoints import copy_of_nano


def load(directory):
    return load_model(find_checkpoint(str(directory)), device=torch.device("cpu"), dtype=torch.float32)


def refusal(directory):
    with pytest.raises(UserError) as refused:
        load(directory)
    return str(refused.value)


def pickled(directory, shards=1):
    """The tiny checkpoint with its weights as pickle."""
    write(directory, shards=shards)
    for file in directory.glob("*.safetensors"):
        target = "pytorch_model.bin" if shards == 1 else f"pytorch_{file.stem}.bin"
        torch.save(load_file(file), directory / target)
        file.unlink()
    index = directory / "model.safetensors.index.json"
    if shards > 1:
        text = index.read_text().replace("model-", "pytorch_model-").replace(".safetensors", ".bin")
        (directory / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}} | json.loads(text)))
        index.unlink()


@pytest.mark.parametrize("shards", [1, 2])
def test_pickles_are_never_loaded_and_the_command_that_converts_them_does(tmp_path, shards, monkeypatch):
    """The command is run in this process, since importing transformers in another takes seconds."""
    directory = tmp_path / "fine tune"
    directory.mkdir()
    pickled(directory, shards)
    sentence = refusal(directory)
    assert "keeps its weights as pickle (pytorch_model" in sentence and "can run any program" in sentence
    _, flag, code, *arguments = shlex.split(re.search(r"python -c .*(?=\.$)", sentence)[0])
    monkeypatch.setattr(sys, "argv", [flag, *arguments])
    exec(code, {})
    assert load(directory).config.text.vocab_size == 40


@pytest.mark.parametrize("model_type", ["qwen2_5_vl", "qwen3_vl"])
def test_relatives_are_named_with_the_server_that_answers(tmp_path, model_type):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type, "vision_config": {}}))
    sentence = refusal(tmp_path)
    assert ("Qwen2.5-VL" if model_type == "qwen2_5_vl" else "Qwen3-VL") in sentence
    assert f"vllm serve {tmp_path}, and then python app.py --engine-url http://localhost:8000." in sentence


def test_a_gguf_file_and_its_directory_are_named_with_the_server_that_answers(tmp_path):
    model, projector = tmp_path / "Qwen2-VL-Q4.gguf", tmp_path / "mmproj-f16.gguf"
    for file in (model, projector):
        file.write_bytes(b"GGUF" + bytes(20))
    command = f"llama-server -m {model} --mmproj {projector} -c 32768"
    for path in (model, tmp_path):
        assert command in refusal(path) and "--engine-url http://localhost:8080" in refusal(path)
    model.rename(tmp_path / "named otherwise")
    assert "llama-server" in refusal(tmp_path / "named otherwise")
    projector.unlink()
    assert "MMPROJ_OF_THE_SAME_MODEL" in refusal(tmp_path / "named otherwise")


@pytest.mark.parametrize(
    ("changes", "tensor", "words"),
    [
        ({"architectures": ["ColQwen2"]}, None, "is a retriever, it does not chat"),
        ({"model_type": "colqwen2"}, None, "is a retriever, it does not chat"),
        ({}, "custom_text_proj.weight", r"is a retriever \(it has custom_text_proj.weight\), it does not chat"),
        ({}, "vlm.model.visual.x", "is a retriever"),
        ({"architectures": ["Qwen2VLForSequenceClassification"]}, None, "classifies or grades, it does not chat"),
        ({"architectures": ["JinaVLForRanking"]}, None, "classifies or grades"),
        ({}, "score.weight", r"classifies or grades \(it has score.weight\), it does not chat"),
        ({}, "v_head.summary.bias", "classifies or grades"),
    ],
)
def test_heads_of_another_purpose_are_named(tmp_path, changes, tensor, words):
    write(tmp_path, change=lambda state: state if tensor is None else {**state, tensor: torch.ones(2)})
    edit(tmp_path, **changes)
    assert re.search(words, refusal(tmp_path))


@pytest.mark.parametrize(
    ("quantization", "name"),
    [
        ({"quant_method": "awq", "bits": 4}, "AWQ, 4 bits"),
        ({"quant_method": "gptq", "bits": 8}, "GPTQ, 8 bits"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes, 4 bits"),
        ({"quant_method": "compressed-tensors"}, "compressed-tensors"),
        ({"quant_method": "new"}, "new"),
        ({}, "of an unknown kind"),
    ],
)
def test_quantised_weights_are_named(tmp_path, quantization, name):
    write(tmp_path)
    edit(tmp_path, quantization_config=quantization)
    assert kind_of(tmp_path).name == f"Qwen2-VL with quantised weights ({name})"


def test_an_adapter_is_named_with_its_base(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "a/b"}))
    assert kind_of(tmp_path).name == "LORA adapter of a/b"


class Hub:
    """A repository of the hub, as its client would give it."""

    def __init__(self, monkeypatch, folder, files):
        self.folder, self.files, self.asked = folder, files, []
        monkeypatch.setattr(huggingface_hub, "snapshot_download", self.download)
        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", self.info)

    def download(self, hub_id, allow_patterns):
        self.asked.append(allow_patterns)
        return str(self.folder)

    def info(self, hub_id, **_):
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name, size=5) for name in self.files])


def test_a_repository_of_another_kind_is_refused_before_its_weights_are_fetched(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2_5_vl"}))
    hub = Hub(monkeypatch, tmp_path, ["config.json", "model.safetensors"])
    with pytest.raises(UserError, match="vllm serve some/model"):
        find_checkpoint("some/model")
    assert hub.asked == [["*.json", "*.jinja"]]


def test_a_repository_of_gguf_or_pickles_is_named(tmp_path, monkeypatch):
    Hub(monkeypatch, tmp_path, ["model-q4.gguf"])
    with pytest.raises(UserError, match="llama-server -hf some/model "):
        find_checkpoint("some/model")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2_vl"}))
    Hub(monkeypatch, tmp_path, ["config.json", "pytorch_model.bin"])
    with pytest.raises(UserError, match=r"some/model model, and then --model model --processor some/model\.$"):
        find_checkpoint("some/model")


def test_the_sentences_fit_on_the_command_line(tmp_path, capsys):
    """One line on standard error, whole."""
    directory = copy_of_nano(tmp_path / "nano")
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    assert cli.main(["ask", "--model", str(directory), "Hi"]) == 2
    error = capsys.readouterr().err
    assert "convert it" in error and " ... " not in error
