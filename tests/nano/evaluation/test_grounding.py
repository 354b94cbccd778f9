"""The grounding evaluation: its questions, its counting, and that shipped nano is far above chance."""

from types import SimpleNamespace

import numpy as np
import pytest

from qwen2vl_demo.attention_trace import AttentionTrace, Word
from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.protocol import Chunk, Result
from qwen2vl_demo.geometry import grid_thw, merged_tokens
from qwen2vl_demo.nano.evaluation.grounding import evaluate, format_report, questions
from qwen2vl_demo.trace import MediaTrace, PromptTrace


@pytest.fixture(scope="module")
def drawn_questions():
    return list(questions(np.random.default_rng(3), 60))


def test_questions_name_one_object_among_others_and_not_its_colour(drawn_questions):
    for question in drawn_questions:
        assert question.text.strip() and question.colour not in question.text.lower()
        assert question.answer.endswith(f"is {question.colour}.")
        shape = question.answer.split()[1]
        assert shape in question.text.lower()
        assert question.pixels.shape[:2] == tuple(28 * side for side in question.target.shape)
        assert question.target.any() and (question.objects & ~question.target).any()
        assert (question.objects | ~question.target).all()  # its cells are cells of an object


def test_the_cells_of_the_object_have_its_colour(drawn_questions):
    """Independent of the labels: the cells of a red star lean towards red, against the picture as a whole."""
    leans = []
    for question in drawn_questions:
        if question.colour in ("red", "green", "blue"):
            channel = ["red", "green", "blue"].index(question.colour)
            mask = question.target.repeat(28, axis=0).repeat(28, axis=1)
            lean = question.pixels[mask].mean(axis=0) - question.pixels.mean(axis=(0, 1))
            leans.append(lean.argmax() == channel)
    assert len(leans) > 10
    assert np.mean(leans) > 0.9


class AttendingEngine:
    """An engine whose layer 1, head 0 attends to cell `place(question)` alone; all other heads to the first token."""

    def __init__(self, place, questions):
        self.place, self.questions = place, questions

    def prepare(self, messages, options):
        pixels = np.asarray(messages[0].parts[0].source)
        grid = grid_thw(1, *pixels.shape[:2])
        length = merged_tokens(grid) + 5
        medium = MediaTrace(
            "image", "p", 0, 0, pixels.shape[:2], pixels.shape[:2], grid, (3, length - 2), 3136, 10**6, digest="d"
        )
        ids = np.arange(length)
        return PromptTrace(ids, np.tile(ids, (3, 1)), 0, tuple(map(str, ids)), (medium,), 4096)

    def prompt(self, messages, options):
        question = self.questions[np.asarray(messages[0].parts[0].source).tobytes(), messages[0].text]
        return SimpleNamespace(trace=self.prepare(messages, options), question=question)

    def answer_words(self, trace, answer):
        return tuple(Word(text, i, i + 1) for i, text in enumerate(answer.replace(".", " .").split()))

    def word_attention(self, prompt, answer, word, cancel=None):
        found = self.answer_words(prompt.trace, answer)[word]
        weights = np.zeros((2, 2, len(prompt.trace) + found.start), np.float32)
        weights[..., 0] = 1
        weights[1, 0] = 0
        assert found.text == prompt.question.colour
        weights[1, 0, 3 + self.place(prompt.question)] = 1
        return AttentionTrace(prompt.trace, np.arange(found.end), tuple("x" * found.end), found, weights)

    def stream(self, messages, options, cancel=None):
        question = self.questions[np.asarray(messages[0].parts[0].source).tobytes(), messages[0].text]
        text = question.answer if question.colour == "red" else "No."
        yield Chunk(result=Result(text, "end", 1, 1, {}))


@pytest.mark.parametrize("where", ["object", "elsewhere"])
def test_a_head_that_attends_to_the_object_is_found_and_one_that_does_not_is_not(where, monkeypatch):
    known = {}
    original = questions

    def remember(rng, count):
        for question in original(rng, count):
            known[question.pixels.tobytes(), question.text] = question
            yield question

    monkeypatch.setattr("qwen2vl_demo.nano.evaluation.grounding.questions", remember)
    place = (lambda q: q.target.argmax()) if where == "object" else (lambda q: (~q.target).argmax())
    report = evaluate(AttendingEngine(place, known), count=12)
    assert report.questions == 12
    hit = 1.0 if where == "object" else 0.0
    if where == "object":
        assert (report.best_head.choice, report.best_head.hits, report.best_head.mass) == ("1.0", 1.0, 1.0)
        assert report.best_layer.choice == "1"
        assert report.best_layer.picture == pytest.approx(0.5)
        assert report.average.picture == pytest.approx(0.25)
    assert report.average.hits == hit
    assert 0 < report.chance < report.chance_of_objects < 1
    assert 0 <= report.right_answers < 1
    assert f"{hit:.1%}" in format_report(report)


@pytest.mark.slow
def test_behind_a_colours_name_shipped_nano_attends_to_the_object_far_more_often_than_by_chance():
    """The most attended cell lies on the object at least three times as often as a random one."""
    report = evaluate(LocalEngine.load("nano", device="cpu", dtype="float32"), count=20)
    assert report.average.hits > 3 * report.chance
    assert report.best_head.hits > 3 * report.chance
