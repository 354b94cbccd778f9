"""Scoring a dialogue in one forward pass agrees with generating its answers."""

import PIL.Image
import pytest
import torch
import torch.nn.functional as F

from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.nano.checkpoint import write_checkpoint
from qwen2vl_demo.nano.dialogue.generator import FAMILIES
from qwen2vl_demo.nano.training.batches import IGNORED
from qwen2vl_demo.nano.training.validation import score_batch, validate
from qwen2vl_demo.processing.messages import Image, Message, Text


@pytest.mark.slow
def test_scoring_a_dialogue_in_one_pass_equals_generating_each_answer(raw_tokenizer, config, make_batch, tmp_path):
    """A model is overfitted to one dialogue until some of its answers are right and others wrong. The engine, asked
    turn by turn after the right answers to the earlier turns, must agree with the score about which are right."""
    torch.manual_seed(0)
    model = Qwen2VL(config)
    batch = make_batch("scene", seed=3, count=1, turns=6)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    verdicts: list[bool] = []
    for _ in range(300):
        hidden = model(
            model.embed(batch.input_ids, model.encode(batch.patches(model.config.vision), batch.grids)),
            batch.position_ids,
        )
        learnt = batch.targets != IGNORED
        loss = F.cross_entropy(model.logits(hidden[learnt]), batch.targets[learnt])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        verdicts = [right for _, right, _ in score_batch(model, batch)]
        if 2 <= sum(verdicts) < len(verdicts):
            break
    assert 0 < sum(verdicts) < len(verdicts)
    write_checkpoint(model, raw_tokenizer, tmp_path)
    engine = LocalEngine.load(str(tmp_path), device="cpu", dtype="float32")
    picture, turns = PIL.Image.fromarray(batch.dialogues[0].media[0]), batch.dialogues[0].turns
    messages: list[Message] = []
    for turn, verdict in zip(turns, verdicts, strict=True):
        media = [Image(picture)] if not messages else []
        messages.append(Message("user", [*media, Text(turn.question)]))
        chunks = list(engine.stream(messages, GenerationOptions(max_new_tokens=60)))
        assert (chunks[-1].result.text == turn.answer) is verdict
        messages.append(Message("assistant", turn.answer))


def test_a_random_model_scores_nothing_and_every_family_is_scored(tokenizer, template, config):
    torch.manual_seed(0)
    scores = validate(Qwen2VL(config), tokenizer, template, dialogues_per_kind=6)
    assert {score.family for score in scores} == set(FAMILIES) - {"name"}  # which needs icons
    assert all(score.accuracy < 0.05 and score.questions > 2 for score in scores)
    assert all(0 < score.chance <= 0.5 for score in scores)
