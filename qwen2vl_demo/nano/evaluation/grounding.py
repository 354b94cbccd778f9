"""Whether a word looks where it should: the attention behind a colour's name, against the cells of the named object.

    python -m qwen2vl_demo.nano.evaluation.grounding [--model assets/nano] [--questions 400] [--seed 0] [--json OUT]

Drawn scenes that training never sees, each with a question like "What colour is the star?". The right answer is put
into the model's mouth, and the attention of the query that produces the colour's name is looked at. A hit: of all
cells of the picture, the most attended one lies on the named object. Beside it stands chance: the share of the cells
that lie on it (a blind guess), and the share of the cells of any object that do (a guess that only knows drawn from
background). One head of all is chosen where it does best, so it is chosen on scenes from another seed than those that
it is then counted on.

Training shows one head of nano where to look (focus.py). A high number for that head says that the teaching holds on
new scenes and that the maps are read off the right cells, not that heads like it arise by themselves.

Knows the engine and the drawn world; asks only for the labels of cells and the turns of a conversation.
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
from qwen2vl_demo.nano.dialogue.generator import CELL_LABELS, sample
from qwen2vl_demo.processing.messages import Image, Message, Text
from qwen2vl_demo.viz.attention_maps import cells, selection_name, selections, shares

HELD_OUT_SEED = 8_000_000  # neither training nor the table of right answers draws from here
ANSWER = re.compile(r"The (?P<shape>[a-z]+) is (?P<colour>[a-z]+)\.")
COLOURS = {label.split()[0] for label in CELL_LABELS if len(label.split()) == 2} - {"word", "digit", "letter", "symbol"}
BACKGROUND = CELL_LABELS.index("background")


@dataclass(frozen=True, eq=False)
class Question:
    """One picture, one question, and what is asked for."""

    pixels: np.ndarray  # (H, W, 3) uint8
    text: str
    answer: str
    colour: str
    target: np.ndarray  # (h, w) bool: the cells of the named object
    objects: np.ndarray  # (h, w) bool: the cells of any object


@dataclass(frozen=True)
class Row:
    """How often one way of looking finds the object."""

    choice: str  # "all", "3" (layer 3) or "3.5" (its head 5)
    hits: float
    hits_when_right: float  # of the questions that the model answers rightly when it is asked freely
    mass: float  # of the attention on the picture, the part on the object
    picture: float  # of all attention, the part on the picture


@dataclass(frozen=True)
class Report:
    questions: int
    chance: float  # the mean share of a picture's cells that lie on the object
    chance_of_objects: float  # ... of the cells that lie on any object
    average: Row  # the mean over all layers and heads
    best_layer: Row  # chosen on other scenes, as is the head
    best_head: Row
    right_answers: float  # how often the model, asked freely, gives the right answer


def questions(rng: np.random.Generator, count: int) -> Iterator[Question]:
    """Questions for the colour of a shape that a picture holds beside at least one other object."""
    while count:
        scene = sample(rng, "scene", turns=6)
        labels = scene.labels(0)[0]
        for turn in scene.turns:
            found = ANSWER.fullmatch(turn.answer)
            if turn.family != "colour" or not found or found["colour"] not in COLOURS:
                continue
            asked = turn.question.lower()
            if found["shape"] not in asked or any(colour in asked for colour in COLOURS):
                continue  # "What about the other one?", "Is the star red?"
            target = labels == CELL_LABELS.index(f"{found['colour']} {found['shape']}")
            objects = labels != BACKGROUND
            if target.any() and not (target == objects).all():
                yield Question(scene.media[0], turn.question, turn.answer, found["colour"], target, objects)
                count -= 1
                break


def look(engine: LocalEngine, question: Question, options: GenerationOptions) -> AttentionTrace:
    """The attention behind the colour's name in the right answer."""
    messages = _messages(question)
    words = [word.text for word in engine.words(engine.prepare(messages, options), question.answer)]
    found = engine.attend(messages, options, question.answer, words.index(question.colour))
    assert found is not None  # nothing cancels it
    return found


def measure(engine: LocalEngine, asked: list[Question]) -> dict[str, np.ndarray]:
    """For each choice of layer and head, by its name, (questions, 3): hit (0 or 1), mass on the object, on the picture.

    `mass` is the part of the picture's attention that lies on the object, the last the part of all that lies on the
    picture.
    """
    options = GenerationOptions(max_new_tokens=24)
    found: dict[str, list[tuple[float, float, float]]] = {}
    for question in asked:
        trace = look(engine, question, options)
        for choice in selections(trace):
            grid = cells(trace, 0, choice)[0]
            hit = bool(question.target[np.unravel_index(grid.argmax(), grid.shape)])
            mass = float(grid[question.target].sum()) / max(float(grid.sum()), 1e-12)
            found.setdefault(selection_name(choice), []).append((hit, mass, shares(trace, choice).pictures))
    return {name: np.array(rows) for name, rows in found.items()}


def evaluate(engine: LocalEngine, count: int = 400, seed: int = 0) -> Report:
    """Chooses a layer and a head on one seed and counts on another."""
    chosen_on = list(questions(np.random.default_rng([HELD_OUT_SEED, seed, 0]), count))
    counted_on = list(questions(np.random.default_rng([HELD_OUT_SEED, seed, 1]), count))
    first, second = measure(engine, chosen_on), measure(engine, counted_on)
    right = np.array([_asked_freely(engine, question) == question.answer for question in counted_on])

    def best(names: list[str]) -> Row:
        name = max(names, key=lambda name: first[name][:, 0].mean())
        return _row(name, second[name], right)

    return Report(
        questions=count,
        chance=float(np.mean([q.target.mean() for q in counted_on])),
        chance_of_objects=float(np.mean([q.target.sum() / q.objects.sum() for q in counted_on])),
        average=_row("all", second["all"], right),
        best_layer=best([name for name in first if name.isdecimal()]),
        best_head=best([name for name in first if "." in name]),
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


def _messages(question: Question) -> list[Message]:
    return [Message("user", [Image(PIL.Image.fromarray(question.pixels)), Text(question.text)])]


def _asked_freely(engine: LocalEngine, question: Question) -> str:
    result = list(engine.stream(_messages(question), GenerationOptions(max_new_tokens=24)))[-1].result
    return result.text if result else ""


def _row(name: str, found: np.ndarray, right: np.ndarray) -> Row:
    hits, mass, picture = (float(mean) for mean in found.mean(axis=0))
    return Row(name, hits, float(found[right, 0].mean()) if right.any() else 0.0, mass, picture)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help='"nano" or a checkpoint directory')
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the numbers there too")
    given = parser.parse_args()
    engine = LocalEngine.load(given.model, device="cpu", dtype="float32")
    report = evaluate(engine, given.questions, given.seed)
    print(format_report(report))
    if given.json:
        given.json.write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
