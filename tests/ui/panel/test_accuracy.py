"""Accuracy on drawn scenes: the interval, what is asked and counted, what ends it, and what is said where it fails."""

from collections.abc import Generator
from functools import cache

import pytest

from qwen2vl_demo.engine.protocol import Chunk, GenerationOptions, Result
from qwen2vl_demo.nano.drawn_questions import FAMILIES, drawn_question
from qwen2vl_demo.ui.chat.conversation import Conversation, Turn
from qwen2vl_demo.ui.panel.accuracy import (
    BUDGETS,
    CHOOSE_NANO,
    MOST_SCENES,
    NO_FAMILY,
    ONLY_NANO,
    Accuracy,
    AccuracyState,
    Study,
    options_of,
    wilson,
)
from qwen2vl_demo.ui.panel.accuracy_html import accuracy_html
from qwen2vl_demo.ui.panel.columns import SCHEMES
from qwen2vl_demo.ui.panel.experiments import WRITING
from qwen2vl_demo.ui.panel.experiments_tab import _family
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Run, Session
from tests.asynchronous import stepwise
from tests.fake_engine import FakeEngine


@pytest.mark.parametrize(
    ("right", "asked", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (50, 100, 0.4038, 0.5962), (0, 0, 0, 1)],
)
def test_the_interval_is_wilsons(right: int, asked: int, low: float, high: float) -> None:
    """Values of statsmodels' `proportion_confint(method="wilson")`; by hand for 0 of 10: z^2 / (10 + z^2) = 0.2775."""
    assert wilson(right, asked) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


class Knowing(FakeEngine):
    """Knows every answer to pictures of at least 8 x 8 tokens, with M-RoPE, and says so in one word to the others."""

    name = "nano"

    def stream(self, messages, options, cancel=None, *, prompt=None, ticket=None):  # type: ignore[no-untyped-def]
        self.heard.append((list(messages), options))
        picture, text = messages[-1].parts[0], messages[-1].text
        sees = picture.source.width >= 8 * 28 and options.positions == "mrope"
        if cancel is not None and len(self.heard) >= self.stop_after:
            cancel.set()
        yield Chunk(result=Result(f" {answers()[text]}" if sees else "No.", "end", 1, 1, {}))

    stop_after = 10**9


@cache
def answers() -> dict[str, str]:
    questions = [drawn_question(family, number).question for family in FAMILIES for number in range(2)]
    return {question.text: question.answer for question in questions}


@pytest.fixture
def session(parts: Parts) -> Session:
    return parts.sessions.open("tab", None)


def states(
    parts: Parts, session: Session, study: Study, family: str, scenes: int, engine: FakeEngine
) -> list[AccuracyState]:
    accuracy = Accuracy(engine, parts.threads)  # type: ignore[arg-type]
    found: Generator[AccuracyState, None, None] = stepwise(accuracy.run(session, study, family, scenes))
    return list(found)


def test_a_curve_fills_point_by_point_and_counts_what_is_right_to_the_letter(parts: Parts, session: Session) -> None:
    made = states(parts, session, "tokens", "where", 2, Knowing())
    assert [state.done for state in made] == [*range(9), 8]
    last = made[-1]
    assert last.finished and last.total == 8 and not last.note
    assert [(s.setting, s.right, s.asked) for s in last.scores] == [
        ("16", 0, 2),
        ("64", 2, 2),
        ("256", 2, 2),
        ("1024", 2, 2),
    ]
    chance = sum(1 / drawn_question("where", n).question.plausible_answers for n in range(2))
    assert all(score.chance == pytest.approx(chance) for score in last.scores)
    markup = accuracy_html(last)
    assert "2 of 2, 100 %" in markup and "34 % to 100 %" in markup and "8 of 8 answers" in markup
    assert "64 tokens" in markup and "training" in markup  # what nano was trained for
    assert session.side_task is None


def test_positions_are_compared_family_by_family(parts: Parts, session: Session) -> None:
    engine = Knowing()
    last = states(parts, session, "addresses", "", 1, engine)[-1]
    assert [(s.family, s.setting) for s in last.scores] == [(f, p) for f in FAMILIES for p in SCHEMES]
    assert all(score.right == (score.setting == "mrope") and score.asked == 1 for score in last.scores)
    assert {options.positions for _, options in engine.heard} == {"mrope", "silenced", "1d"}
    assert accuracy_html(last).count("<td>") == 15


def test_stop_keeps_what_was_counted(parts: Parts, session: Session) -> None:
    engine = Knowing()
    engine.stop_after = 3
    last = states(parts, session, "tokens", "colour", 50, engine)[-1]
    assert last.note == "Stopped after 2 of 200 answers." and last.done == 2 and not last.finished
    assert "2 of 200" in accuracy_html(last)


@pytest.mark.parametrize("family", ["", "box", "<b>"])
def test_a_question_of_no_family_is_a_sentence(parts: Parts, session: Session, family: str) -> None:
    (only,) = states(parts, session, "tokens", family, 4, Knowing())
    assert only.note == NO_FAMILY and NO_FAMILY in accuracy_html(only)


def test_another_model_and_an_answer_that_is_being_written_are_sentences(parts: Parts, session: Session) -> None:
    assert states(parts, session, "tokens", "where", 4, FakeEngine())[-1].note == ONLY_NANO
    assert not parts.accuracy.offered
    listed = Accuracy(FakeEngine(), parts.threads).run(session, "tokens", "where", 4, listed=True)  # type: ignore[arg-type]
    assert list(stepwise(listed))[-1].note == CHOOSE_NANO
    session.run = Run()
    assert states(parts, session, "tokens", "where", 4, Knowing())[-1].note == WRITING


def test_a_strangers_number_of_scenes_is_limited(parts: Parts, session: Session) -> None:
    engine = Knowing()
    engine.stop_after = 1
    assert states(parts, session, "tokens", "where", 10**12, engine)[-1].total == MOST_SCENES * len(BUDGETS)


def test_pictures_are_not_resized_again() -> None:
    for budget in BUDGETS:
        media = options_of("tokens", str(budget)).media
        assert media.min_pixels is not None and media.max_pixels is not None
        assert media.min_pixels <= budget * 784 <= media.max_pixels
    assert options_of("addresses", "1d").positions == "1d"
    assert isinstance(options_of("tokens", "16"), GenerationOptions) and options_of("tokens", "16").temperature == 0


def test_the_family_is_that_of_the_last_question_unless_one_is_chosen(session: Session) -> None:
    assert _family("", session) == ""
    session.conversation = Conversation((Turn("What colour is the cat?"),))
    assert (_family("", session), _family("where", session), _family(None, session)) == ("colour", "where", "colour")
