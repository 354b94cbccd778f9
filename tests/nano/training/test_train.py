"""Training runs: they resume where they stopped, write checkpoints, and start from the weights of others."""

import json

import torch
from safetensors.torch import load_file

from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.model.weights import NANO
from qwen2vl_demo.nano.training.train import DECAY_FROM, HEADS, WARM_UP, Trainer, rate_at


def test_a_stopped_run_goes_on_and_a_finished_one_writes_a_checkpoint(tmp_path):
    """Two seconds, and two more after a second start: steps add up, the log and the best checkpoint are there."""
    first = Trainer(tmp_path, minutes=2 / 60, dense_share=0.4, device="cpu", seed=0, dialogues_per_check=10)
    first.train(workers=0, check_minutes=10)
    assert first.step >= 1
    again = Trainer(
        tmp_path, minutes=(first.elapsed + 2) / 60, dense_share=0.1, device="cpu", seed=0, dialogues_per_check=10
    )
    assert (again.step, again.elapsed) == (first.step, first.elapsed)
    again.train(workers=0, check_minutes=10)
    assert again.step > first.step
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert records[-1]["step"] == again.step
    assert LocalEngine.load(str(tmp_path / "best"), dtype="float32").processor.config == again.model.config
    later = Trainer(tmp_path / "later", 1, 0.1, "cpu", seed=7, start_from=tmp_path / "best")
    heads = again.objective.heads.state_dict()
    assert all(torch.equal(tensor, heads[name]) for name, tensor in later.objective.heads.state_dict().items())
    (tmp_path / "best" / HEADS).unlink()
    without = Trainer(tmp_path / "without", 1, 0.1, "cpu", seed=7, start_from=tmp_path / "best")
    assert (later.new_heads, without.new_heads) == (False, True)


def test_a_new_run_can_begin_with_the_weights_of_a_checkpoint(tmp_path):
    trainer = Trainer(tmp_path, 1, 0.1, "cpu", seed=0, start_from=NANO)
    shipped = load_file(NANO / "model.safetensors")
    assert all(torch.equal(tensor, shipped[name]) for name, tensor in trainer.model.state_dict().items())
    assert (trainer.step, trainer.raw_tokenizer.get_vocab_size()) == (0, trainer.model.config.text.vocab_size)


def test_the_rate_rises_stays_and_falls():
    assert rate_at(0.0) < rate_at(WARM_UP / 2) < rate_at(WARM_UP) == 1.0 == rate_at(DECAY_FROM - 0.01)
    assert 1.0 > rate_at(DECAY_FROM + 0.1) > rate_at(0.8) > rate_at(1.0) == 0.02
