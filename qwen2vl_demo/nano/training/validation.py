"""How often nano's answers are right, by family, on held-out dialogues.

An answer counts as right if it is right to the letter. Greedy decoding writes exactly the expected answer if and only
if the expected token is the likeliest at each of its positions, so one forward pass over a dialogue scores all of its
answers. Each question follows the right answers to the questions before it (teacher forcing).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.nano.dialogue.generator import FAMILIES, random_dialogue
from qwen2vl_demo.nano.training.batches import IGNORED, Batch, collate
from qwen2vl_demo.nano.training.stream import MIX, random_frames, random_size
from qwen2vl_demo.processing.chat import ChatTemplate
from qwen2vl_demo.processing.tokenizer import Tokenizer

HELD_OUT_SEED = 7_000_000  # training uses other seeds


@dataclass(frozen=True)
class FamilyScore:
    """How many of a family's questions were answered rightly. The fields are the keys of the evaluation's JSON."""

    family: str
    questions: int
    accuracy: float
    chance: float  # the accuracy of guessing among the plausible answers


@torch.inference_mode()
def score_batch(model: Qwen2VL, batch: Batch) -> Iterable[tuple[str, bool, float]]:
    """(family, whether the answer is right, accuracy of a guess) for every turn of a batch."""
    vision = model.encode(batch.patches(model.config.vision, model.device), batch.grids) if batch.grids else None
    hidden = model(model.embed(batch.input_ids.to(model.device), vision), batch.position_ids.to(model.device))
    targets = batch.targets.to(model.device)
    learnt = targets != IGNORED
    right = torch.ones_like(targets, dtype=torch.bool)
    right[learnt] = model.logits(hidden[learnt]).argmax(-1) == targets[learnt]
    for row, item in enumerate(batch.dialogues):
        for index, turn in enumerate(item.turns):
            of_turn = batch.turn_ids[row].to(model.device) == index
            yield turn.family, bool(right[row][of_turn].all()), 1 / turn.plausible_answers


def validate(
    model: Qwen2VL,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    *,
    seed: int = 0,
    dialogues_per_kind: int = 60,
    split: str = "all",
) -> list[FamilyScore]:
    """The scores of a model on random dialogues of every kind from held-out seeds; `split` selects the wordings.

    The number of dialogues is rounded down to whole batches.
    """
    training = model.training
    model.eval()
    rng = np.random.default_rng([HELD_OUT_SEED, seed])

    def batches() -> Iterator[Batch]:
        for kind, (_, batch_size, _) in MIX.items():
            count = min(batch_size, dialogues_per_kind)
            for _ in range(dialogues_per_kind // count):
                size = random_size(rng, kind)
                frames = random_frames(rng, size)
                items = [
                    random_dialogue(rng, kind, size=size, frames=frames, turns=7, split=split) for _ in range(count)
                ]
                yield collate(kind, items, tokenizer, template)

    scores = score_batches(model, batches())
    model.train(training)
    return scores


def score_batches(model: Qwen2VL, batches: Iterable[Batch]) -> list[FamilyScore]:
    """The scores over all turns of the batches by family, in the order of `FAMILIES`."""
    results: dict[str, list[tuple[bool, float]]] = defaultdict(list)
    for batch in batches:
        for family, right, chance in score_batch(model, batch):
            results[family].append((right, chance))
    scores = []
    for family in FAMILIES:
        if answers := results.get(family):
            accuracy, chance = (float(mean) for mean in np.mean(answers, axis=0))
            scores.append(FamilyScore(family, len(answers), accuracy, chance))
    return scores


def format_table(scores: list[FamilyScore]) -> str:
    lines = [f"{'family':<12} {'right':>7} {'chance':>7} {'questions':>9}"]
    lines += [f"{s.family:<12} {s.accuracy:>7.1%} {s.chance:>7.1%} {s.questions:>9}" for s in scores]
    return "\n".join(lines)
