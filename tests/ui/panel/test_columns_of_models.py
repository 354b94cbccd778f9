"""A question asked of several models side by side: loaded for it, each with its own processor, budget and prompts, and
given back; what one cannot do is said in its column."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from unittest.mock import Mock

import pytest

from qwen2vl_demo.engine.models.offers import Offer
from qwen2vl_demo.engine.models.pool import FIRST, ModelPool, Say
from qwen2vl_demo.engine.protocol import Abilities
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.models import Models
from qwen2vl_demo.ui.panel.columns import AS_ASKED, MODEL, TWO_COLUMNS, columns_chosen
from qwen2vl_demo.ui.panel.experiment_html import trials_html
from qwen2vl_demo.ui.panel.experiments import STOPPED, ExperimentState
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Session
from tests.asynchronous import stepwise
from tests.fake_engine import FakeEngine
from tests.fake_models import FakeLoader, NamedEngine
from tests.ui.conftest import ask
from tests.waiting import wait_until

Files = Callable[[str], str]
FAKE, TINY, SMALL, LARGE = (MODEL + key for key in (FIRST, "tiny", "small", "large"))
SHOWN = {"max_tokens": 1280}  # what the settings show: the budget of the first model


@pytest.fixture
def loader() -> FakeLoader:
    return FakeLoader({"tiny": 4, "small": 5, "large": 99})


@pytest.fixture
def anna(parts: Parts, files: Files) -> Session:
    """A visitor who has asked two questions about a picture."""
    session = parts.sessions.open("anna", None)
    ask(parts, session, "What is here?", files("cat.png"))
    ask(parts, session, "And what else?")
    return session


def comparing(models: Models, session: Session, *chosen: str) -> Generator[ExperimentState, None, None]:
    experiments = models.of(session).experiments
    return stepwise(experiments.run(session, SHOWN, "compare", chosen=chosen, lender=models))


def compare(models: Models, session: Session, *chosen: str) -> ExperimentState:
    return list(comparing(models, session, *chosen))[-1]


def choose(models: Models, session: Session, key: str) -> None:
    progress = models.begin(session, key)
    models.load(session, progress)
    assert progress.refusal == ""


def pool_of(models: Models) -> ModelPool[Parts]:
    assert models._pool is not None
    return models._pool


def test_models_answer_the_same_chat_beside_each_other_each_in_its_own_way(
    models: Models, parts: Parts, anna: Session, loader: FakeLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NamedEngine, "pixel_limits", (4 * 784, 50 * 784))
    before, load = anna.conversation, loader.load
    heard: list[int] = []

    def noting(offer: Offer, say: Say) -> NamedEngine:
        heard.append(len(parts.engine.heard))  # type: ignore[attr-defined]
        return load(offer, say)

    monkeypatch.setattr(loader, "load", noting)
    last = compare(models, anna, AS_ASKED, TINY, SMALL)
    assert [trial.variation.name for trial in last.trials] == [AS_ASKED, "answered by tiny", "answered by small"]
    assert last.trials[0].variation.change == "fake, with the budget of the settings"
    assert last.finished and all(trial.answer and trial.ended and not trial.problem for trial in last.trials)
    assert loader.loads == ["tiny", "small"]
    assert heard == [2, 2]  # while models are loaded, nothing is asked that would hold up other visitors
    for key in ("tiny", "small"):
        lent = pool_of(models).get(key)
        assert lent is not None and lent.prompts is not parts.prompts
        messages, options = lent.engine.heard[-1]  # type: ignore[attr-defined]
        assert [message.text for message in messages if message.role == "user"] == ["What is here?", "And what else?"]
        assert options.temperature == 0 and options.media.max_pixels is None  # the first model's 1,280 are not its own
    assert anna.conversation is before and anna.model == FIRST and anna.side_task is None


def test_nothing_goes_for_a_column_that_anybody_uses_and_what_it_borrowed_is_given_back(
    models: Models, parts: Parts, anna: Session, loader: FakeLoader
) -> None:
    """Of 10 bytes ben's tiny takes 4 and the second column 5, so that 1 is left for the third."""
    ben = parts.sessions.open("ben", None)
    choose(models, ben, "tiny")
    last = compare(models, anna, AS_ASKED, SMALL, LARGE)
    assert [trial.problem for trial in last.trials] == [
        "",
        "",
        "large takes 99 bytes of memory, and 1 bytes are free. Models that are in use take 9 bytes; try again later, "
        "or choose a smaller one.",
    ]
    assert last.finished and last.trials[0].answer and last.trials[1].answer
    shown = trials_html(last.question, last.trials, ended=last.finished, columns=True)
    assert shown.count("<img") == 2 and shown.count('role="alert"') == 1 and "The answer is the same" in shown
    assert pool_of(models)._users() == {FIRST: 1, "tiny": 1}
    loader.sizes["large"] = 6  # small's 5 bytes and the one that is left
    assert compare(models, anna, AS_ASKED, LARGE).trials[1].answer
    assert set(pool_of(models).loaded()) == {FIRST, "tiny", "large"}


def test_the_model_of_the_chat_is_the_column_as_asked_whatever_a_browser_calls_it(
    models: Models, anna: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert compare(models, anna, AS_ASKED, FAKE).note == TWO_COLUMNS
    choose(models, anna, "tiny")
    last = compare(models, anna, AS_ASKED, TINY, FAKE)
    assert [trial.variation.model for trial in last.trials] == [None, FIRST]
    assert last.trials[0].variation.change == "tiny, with the budget of the settings"
    assert columns_chosen(["x", MODEL + "y" * 300, TINY, "16"]) == ["16"]  # of a page without a menu of models
    gone = compare(models, anna, AS_ASKED, MODEL + "../../etc").trials[1]
    assert list(models.names()) == [FIRST, "tiny", "small", "large"]
    monkeypatch.setattr(FakeEngine, "abilities", Abilities(answers=False))
    assert list(models.names()) == ["tiny", "small", "large"]
    assert gone.problem == "This model is not offered any more; choose another one." and gone.medium is None


@pytest.mark.parametrize(
    "wrong", ["it cannot be loaded", "loading it has a bug", "it refuses the question", "it has a bug"]
)
def test_what_one_model_cannot_do_stands_in_its_column(
    models: Models, anna: Session, loader: FakeLoader, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = "tiny is damaged; take it again."
    if wrong == "it cannot be loaded":
        loader.failing.add("tiny")
    elif wrong == "loading it has a bug":
        monkeypatch.setattr(loader, "load", lambda *_: 1 / 0)
        says = "Something went wrong"
    else:
        problem = UserError("Not here.") if wrong == "it refuses the question" else RuntimeError("/secret/place")
        monkeypatch.setattr(NamedEngine, "stream", Mock(side_effect=problem))
        says = "Not here." if wrong == "it refuses the question" else "Something went wrong"
    last = compare(models, anna, AS_ASKED, TINY)
    assert last.trials[0].answer and says in last.trials[1].problem and last.finished
    assert "secret" not in trials_html(last.question, last.trials)
    assert not pool_of(models)._borrowed.total()


def test_a_comparison_that_is_left_while_a_model_is_loaded_gives_it_back_when_it_is_there(
    models: Models, anna: Session, loader: FakeLoader
) -> None:
    loader.step.clear()
    states = comparing(models, anna, AS_ASKED, TINY)
    assert any(state.trials[1].status == "Loading, 25 %" for state in states)
    anna.cancel_run()  # another question, for instance
    threading.Timer(0.3, loader.step.set).start()
    assert list(states)[-1].note == STOPPED
    assert loader.step.wait(10)
    wait_until(lambda: "tiny" in pool_of(models).loaded() and not pool_of(models)._borrowed.total())
    assert models.needs(["tiny", "large"]) == "large takes 99 bytes; 6 bytes of memory are free."
