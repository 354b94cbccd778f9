"""Training runs: they resume where they stopped, write checkpoints, and start from the weights of others."""

import json

import pytest
import torch
from safetensors.torch import load_file

from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.nano.checkpoint import write_checkpoint
from qwen2vl_demo.nano.training.schedule import (
    DECAY_FROM,
    FROZEN,
    LANGUAGE_RATE,
    VISION_RATE,
    WARM_UP,
    rate_at,
    rates_at,
)
from qwen2vl_demo.nano.training.train import HEADS, Trainer
from qwen2vl_demo.resources import NANO


def assert_same(tensors, others):
    assert all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())


def assert_trains_and_resumes(folder, seconds, **options):
    """A run of a few seconds, resumed for a few more: steps add up, and the log and the best checkpoint are written."""
    first = Trainer(folder, seconds / 60, 0.4, "cpu", 0, **options)
    first.train(workers=0, check_minutes=10)
    assert first.step >= 1
    resumed = Trainer(folder, (first.elapsed + seconds) / 60, 0.1, "cpu", 0, **options)
    assert (resumed.step, resumed.elapsed, resumed.best) == (first.step, first.elapsed, first.best)
    assert_same(resumed.model.state_dict(), first.model.state_dict())
    assert_same(resumed.objective.heads.state_dict(), first.objective.heads.state_dict())
    for ours, theirs in zip(resumed.optimizers, first.optimizers, strict=True):
        for parameter, state in theirs.state_dict()["state"].items():
            assert_same(state, ours.state_dict()["state"][parameter])
    resumed.train(workers=0, check_minutes=10)
    assert resumed.step > first.step
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert records[-1]["step"] == resumed.step
    assert LocalEngine.load(str(folder / "best"), dtype="float32").processor.config == resumed.model.config


@pytest.mark.slow
def test_a_stopped_run_resumes_and_a_finished_one_writes_a_checkpoint(tmp_path):
    assert_trains_and_resumes(tmp_path, 0.1, start_from=NANO, dialogues_per_check=1)


@pytest.mark.slow
def test_a_run_from_scratch_makes_its_own_tokenizer(tmp_path):
    assert_trains_and_resumes(tmp_path, 2, dialogues_per_check=10)
    assert (tmp_path / "best" / "tokenizer.json").read_bytes() == (tmp_path / "tokenizer/tokenizer.json").read_bytes()


def test_a_new_run_can_start_from_the_weights_of_a_checkpoint(tmp_path):
    first = Trainer(tmp_path / "first", 1, 0.1, "cpu", seed=0, start_from=NANO)
    write_checkpoint(first.model, first.raw_tokenizer, tmp_path / "written")
    trainer = Trainer(tmp_path / "second", 1, 0.1, "cpu", seed=1, start_from=tmp_path / "written")
    written = load_file(tmp_path / "written" / "model.safetensors")
    assert_same(trainer.model.state_dict(), {name: weight.float() for name, weight in written.items()})
    assert (trainer.step, trainer.raw_tokenizer.get_vocab_size()) == (0, trainer.model.config.text.vocab_size)


def test_a_new_run_takes_the_heads_of_the_checkpoint_if_it_has_them(tmp_path):
    shipped = load_file(NANO / HEADS)
    found = Trainer(tmp_path / "shipped", 1, 0.1, "cpu", 0, start_from=NANO).objective.heads.state_dict()
    assert_same({name: value for name, value in shipped.items() if value.shape == found[name].shape}, found)
    assert len(found) - 2 <= sum(shipped[name].shape == value.shape for name, value in found.items())
    trainer = Trainer(tmp_path, 1, 0.1, "cpu", 0, start_from=NANO, dialogues_per_check=1)
    torch.nn.init.ones_(trainer.objective.box.box.bias)
    trainer.check()
    later = Trainer(tmp_path / "later", 1, 0.1, "cpu", seed=7, start_from=tmp_path / "best")
    assert_same(later.objective.heads.state_dict(), trainer.objective.heads.state_dict())
    (tmp_path / "best" / HEADS).unlink()
    without = Trainer(tmp_path / "without", 1, 0.1, "cpu", seed=7, start_from=tmp_path / "best")
    assert (later.new_heads, without.new_heads) == (False, True)


def test_the_rate_rises_stays_and_falls():
    assert rate_at(0.0) < rate_at(WARM_UP / 2) < rate_at(WARM_UP) == 1.0 == rate_at(DECAY_FROM - 0.01)
    assert 1.0 > rate_at(DECAY_FROM + 0.1) > rate_at(0.8) > rate_at(1.0) == 0.02


def test_the_vision_transformer_is_frozen_where_the_answer_stage_begins():
    for optimizer in (0, 1):
        assert rates_at(FROZEN * 0.9, dense=False)[optimizer][0] == 0 < rates_at(FROZEN, dense=False)[optimizer][0]
        assert rates_at(WARM_UP, dense=True)[optimizer] == (VISION_RATE, LANGUAGE_RATE)
