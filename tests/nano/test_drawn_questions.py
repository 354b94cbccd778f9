"""The scenes on which the page measures accuracy: always the same, of the family that was asked for, and counted as
nano's evaluation counts."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.nano import drawn_questions
from qwen2vl_demo.nano.dialogue.dialogue import Dialogue, DialogueTurn
from qwen2vl_demo.nano.drawn_questions import FAMILIES, SIDE, DrawnQuestion, drawn_question, family_of
from qwen2vl_demo.nano.training import validation
from qwen2vl_demo.nano.training.batches import Batch, collate
from qwen2vl_demo.nano.world.drawing import empty_cells
from qwen2vl_demo.nano.world.scene import LABEL_INDEX
from qwen2vl_demo.ui.panel.accuracy import messages_of, options_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_question_is_of_its_family_and_always_the_same(family: str) -> None:
    first, again = drawn_question(family, 3), drawn_question(family, 3)
    assert first.question == again.question and np.array_equal(first.pixels, again.pixels)
    assert first.question.family == family and first.pixels.shape == (SIDE, SIDE, 3)
    assert not np.array_equal(first.pixels, drawn_question(family, 4).pixels)
    assert family_of(first.question.text) == family


def test_icons_of_a_machine_change_nothing(with_icons: None) -> None:
    with_them = drawn_question("count", 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QWEN2VL_NANO_ICONS", "missing.npz")
        assert np.array_equal(with_them.pixels, drawn_question("count", 0).pixels)


def test_a_budget_is_the_side_of_the_picture_and_takes_the_whole_of_it() -> None:
    drawn = drawn_question("where", 0)
    assert [drawn.at(tokens).shape[0] for tokens in (16, 64, 256, 1024)] == [4 * 28, 8 * 28, 16 * 28, 32 * 28]
    mean = drawn.pixels.mean((0, 1))
    assert all(np.abs(drawn.at(tokens).mean((0, 1)) - mean).max() < 2 for tokens in (16, 64, 256))


def test_seeds_are_those_that_training_never_used() -> None:
    assert drawn_questions.HELD_OUT_SEED == validation.HELD_OUT_SEED
    with pytest.raises(ValueError, match="family must be one of"):
        drawn_question("box", 0)


@pytest.mark.parametrize(
    ("question", "family"),
    [
        ("Where is the lock?", "where"),
        ("What color is the cat", "colour"),
        ("HOW MANY THINGS ARE THERE", "count"),
        ("Is there a cat?", "exists"),
        ("What shape is at the top left?", "shape"),
        ("Is the dog left of the house in the garden?", "where"),
        ("What is the total?", None),
        ("Which bar is the highest?", None),
        ("", None),
        ("where " * 100_000, "where"),
    ],
)
def test_a_learners_question_finds_its_family(question: str, family: str | None) -> None:
    assert family_of(question) == family


def test_nothing_of_it_loads_pytorch() -> None:
    code = "import sys, qwen2vl_demo.nano.drawn_questions; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout == "False\n", done.stderr


@pytest.fixture(scope="module")
def engine() -> LocalEngine:
    return LocalEngine.load("nano", device="cpu", dtype="float32")


def evaluated(engine: LocalEngine, drawn: DrawnQuestion, tokens: int, scheme: str) -> bool:
    """Whether nano's evaluation counts the answer as right: the likeliest token is the right one at every place."""
    turn = DialogueTurn.from_question(drawn.question, (0,))
    side = round(tokens**0.5)
    cells = empty_cells((side, side), LABEL_INDEX["other"])  # what training needs beside the answers
    item = Dialogue((drawn.at(tokens),), (turn,), ((cells,),))
    batch = batch_of(engine, item)
    if scheme == "silenced":
        batch = replace(batch, position_ids=batch.position_ids[:1].expand(3, -1, -1))
    ((_, right, _),) = validation.score_batch(engine.model, batch)
    return right


def batch_of(engine: LocalEngine, item: Dialogue) -> Batch:
    processor = engine.processor
    return collate("scene", [item], processor.tokenizer, processor.template)


@pytest.mark.parametrize(
    ("study", "setting", "tokens"),
    [("tokens", "16", 16), ("tokens", "64", 64), ("addresses", "silenced", 64), ("addresses", "mrope", 64)],
)
def test_the_page_counts_as_nanos_evaluation_does(engine: LocalEngine, study: str, setting: str, tokens: int) -> None:
    """Question by question, among them right and wrong ones."""
    found = []
    for family in ("where", "colour"):
        for number in range(3):
            drawn = drawn_question(family, number)
            *_, last = engine.stream(messages_of(drawn.at(tokens), drawn), options_of(study, setting))  # type: ignore[arg-type]
            assert last.result is not None
            given = last.result.text.strip() == drawn.question.answer
            assert given == evaluated(engine, drawn, tokens, setting), (family, number, last.result.text)
            found.append(given)
    assert any(found)
