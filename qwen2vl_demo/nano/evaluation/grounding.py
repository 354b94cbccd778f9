"""Whether attention points at the right object: the attention behind a colour's name, against the object's cells.

    python -m qwen2vl_demo.nano.evaluation.grounding [--model assets/nano] [--questions 400] [--seed 0] [--json OUT]

Uses held-out drawn scenes, each with a question like "What colour is the star?". The right answer is teacher-forced,
and the attention of the query that predicts the colour's name is examined. It is a hit if the most attended cell of
the picture lies on the object in question. Two chance levels are reported: the share of all cells that lie on the
object (a blind guess), and its share of the cells of all objects (a guess that can tell objects from the background).
The best layer and head are selected on scenes from one seed and evaluated on scenes from another.

Training supervises one head of nano (`dialogue/attention_targets.py`). A high score for that head shows that the
supervision generalises to new scenes and that the attention maps are read off the right cells, not that such heads
emerge by themselves.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import PIL.Image

from qwen2vl_demo.attention_trace import AttentionTrace
from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.nano.dialogue.generator import random_dialogue
from qwen2vl_demo.nano.world.scene import CELL_LABELS
from qwen2vl_demo.processing.messages import Image, Message, Text
from qwen2vl_demo.viz.attention_maps import cells, selection_name, selections, shares

HELD_OUT_SEED = 8_000_000  # used neither by training nor by validation
ANSWER = re.compile(r"The (?P<shape>[a-z]+) is (?P<colour>[a-z]+)\.")
COLOURS = {label.split()[0] for label in CELL_LABELS if len(label.split()) == 2} - {"word", "digit", "letter", "symbol"}
BACKGROUND = CELL_LABELS.index("background")


@dataclass(frozen=True, eq=False)
class GroundingQuestion:
    """One picture and a question about the colour of one of its objects."""

    pixels: np.ndarray  # (H, W, 3) uint8
    text: str
    answer: str
    colour: str
    target: np.ndarray  # (h, w) bool: the cells of the named object
    objects: np.ndarray  # (h, w) bool: the cells of any object


@dataclass(frozen=True)
class GroundingScore:
    """How well the attention of one layer, one head or their average finds the object."""

    choice: str  # "all", "3" (layer 3) or "3.5" (its head 5)
    hits: float
    hits_when_right: float  # of the questions that the model, decoding freely, answers rightly
    mass: float  # the share of the attention on the picture that lies on the object
    picture: float  # the share of all attention that lies on the picture


@dataclass(frozen=True)
class Report:
    questions: int
    chance: float  # the mean share of a picture's cells that lie on the object
    chance_of_objects: float  # ... of the cells that lie on any object
    average: GroundingScore  # the mean over all layers and heads
    best_layer: GroundingScore  # chosen on other scenes, as is the head
    best_head: GroundingScore
    right_answers: float  # accuracy of the model when decoding freely


def questions(rng: np.random.Generator, count: int) -> Iterator[GroundingQuestion]:
    """Questions about the colour of a shape, on pictures that hold at least one other object."""
    while count:
        scene = random_dialogue(rng, "scene", turns=6)
        labels = scene.labels(0)[0]
        for turn in scene.turns:
            found = ANSWER.fullmatch(turn.answer)
            if turn.family != "colour" or not found or found["colour"] not in COLOURS:
                continue
            text = turn.question.lower()
            if found["shape"] not in text or any(colour in text for colour in COLOURS):
                continue  # "What about the other one?", "Is the star red?"
            target = labels == CELL_LABELS.index(f"{found['colour']} {found['shape']}")
            objects = labels != BACKGROUND
            if target.any() and not (target == objects).all():
                yield GroundingQuestion(scene.media[0], turn.question, turn.answer, found["colour"], target, objects)
                count -= 1
                break


def colour_attention(engine: LocalEngine, question: GroundingQuestion, options: GenerationOptions) -> AttentionTrace:
    """The attention of the query that predicts the colour's name in the teacher-forced right answer."""
    messages = _messages(question)
    prompt = engine.prompt(messages, options)
    words = [word.text for word in engine.answer_words(prompt.trace, question.answer)]
    found = engine.word_attention(prompt, question.answer, words.index(question.colour))
    assert found is not None  # None only if cancelled
    return found


def measure(engine: LocalEngine, items: list[GroundingQuestion]) -> dict[str, np.ndarray]:
    """For each layer and head by name, (questions, 3): hit (0 or 1), `mass` and `picture` as in `GroundingScore`."""
    options = GenerationOptions(max_new_tokens=24)
    found: dict[str, list[tuple[float, float, float]]] = {}
    for question in items:
        trace = colour_attention(engine, question, options)
        for choice in selections(trace):
            grid = cells(trace, 0, choice)[0]
            hit = bool(question.target[np.unravel_index(grid.argmax(), grid.shape)])
            mass = float(grid[question.target].sum()) / max(float(grid.sum()), 1e-12)
            found.setdefault(selection_name(choice), []).append((hit, mass, shares(trace, choice).pictures))
    return {name: np.array(rows) for name, rows in found.items()}


def evaluate(engine: LocalEngine, count: int = 400, seed: int = 0) -> Report:
    """Select the best layer and head on scenes from one seed, and evaluate them on scenes from another."""
    selection = list(questions(np.random.default_rng([HELD_OUT_SEED, seed, 0]), count))
    test = list(questions(np.random.default_rng([HELD_OUT_SEED, seed, 1]), count))
    selected, tested = measure(engine, selection), measure(engine, test)
    right = np.array([_free_answer(engine, question) == question.answer for question in test])

    def best(names: list[str]) -> GroundingScore:
        name = max(names, key=lambda name: selected[name][:, 0].mean())
        return _score(name, tested[name], right)

    return Report(
        questions=count,
        chance=float(np.mean([q.target.mean() for q in test])),
        chance_of_objects=float(np.mean([q.target.sum() / q.objects.sum() for q in test])),
        average=_score("all", tested["all"], right),
        best_layer=best([name for name in selected if name.isdecimal()]),
        best_head=best([name for name in selected if "." in name]),
        right_answers=float(right.mean()),
    )


def format_report(report: Report) -> str:
    rows = (
        ("all layers and heads, averaged", report.average),
        (f"layer {report.best_layer.choice}, chosen on other scenes", report.best_layer),
        (f"head {report.best_head.choice} (layer.head), chosen on other scenes", report.best_head),
    )
    lines = [f"{report.questions} questions for the colour of one of several objects, on scenes never trained on"]
    lines += [f"{'':<46} {'on the object':>13} {'if answered right':>17} {'mass':>6} {'on picture':>10}"]
    lines += [
        f"{name:<46} {row.hits:>13.1%} {row.hits_when_right:>17.1%} {row.mass:>6.1%} {row.picture:>10.1%}"
        for name, row in rows
    ]
    lines += [f"{'chance: any cell':<46} {report.chance:>13.1%}"]
    lines += [f"{'chance: any cell of an object':<46} {report.chance_of_objects:>13.1%}"]
    lines += [f"asked freely, the answer is right to the letter in {report.right_answers:.1%}"]
    return "\n".join(lines)


def _messages(question: GroundingQuestion) -> list[Message]:
    return [Message("user", [Image(PIL.Image.fromarray(question.pixels)), Text(question.text)])]


def _free_answer(engine: LocalEngine, question: GroundingQuestion) -> str:
    result = list(engine.stream(_messages(question), GenerationOptions(max_new_tokens=24)))[-1].result
    return result.text if result else ""


def _score(name: str, found: np.ndarray, right: np.ndarray) -> GroundingScore:
    hits, mass, picture = (float(mean) for mean in found.mean(axis=0))
    return GroundingScore(name, hits, float(found[right, 0].mean()) if right.any() else 0.0, mass, picture)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help='"nano" or a checkpoint directory')
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the report to this file")
    options = parser.parse_args()
    engine = LocalEngine.load(options.model, device="cpu", dtype="float32")
    report = evaluate(engine, options.questions, options.seed)
    print(format_report(report))
    if options.json:
        options.json.write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
