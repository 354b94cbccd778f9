"""Visitors with models of their own: what one has chosen answers that one, and nothing of one model meets another's."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import gradio as gr
import pytest

from qwen2vl_demo.config import Qwen2VLConfig
from qwen2vl_demo.resources import NANO
from qwen2vl_demo.ui.chat.answers import BUSY, LOADING
from qwen2vl_demo.ui.chat.export import export_json, import_json
from qwen2vl_demo.ui.model_facts import model_facts
from qwen2vl_demo.ui.models import Models
from qwen2vl_demo.ui.panel.experiments_tab import ExperimentsTab
from qwen2vl_demo.ui.panel.rotation_tab import RotationTab
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Draft, Session
from tests.fake_models import FakeLoader, NamedEngine
from tests.ui.conftest import VALUES, ask, respond

Files = Callable[[str], str]


def choose(models: Models, session: Session, key: str) -> str:
    """As the page does it; the refusal, if there is one."""
    progress = models.begin(session, key)
    if not progress.ended.is_set():
        models.load(session, progress)
    return progress.refusal


def asked(models: Models, session: Session, text: str, *files: str) -> str:
    return ask(models.of(session), session, text, *files)


def heard(models: Models, session: Session) -> int:
    engine = models.of(session).engine
    return len(engine.heard)  # type: ignore[attr-defined]


def test_each_visitor_is_answered_by_the_model_of_their_choice(models: Models, parts: Parts) -> None:
    anna, ben = parts.sessions.open("anna", None), parts.sessions.open("ben", None)
    asked(models, anna, "One")
    assert choose(models, anna, "tiny") == ""
    asked(models, anna, "Two")
    asked(models, ben, "Three")
    assert (models.name(anna), models.name(ben)) == ("tiny", "fake")
    assert [turn.answer.model for turn in anna.conversation.turns if turn.answer] == ["fake", "tiny"]
    assert (heard(models, anna), heard(models, ben)) == (1, 2)
    messages = models.of(anna).engine.heard[-1][0]  # type: ignore[attr-defined]
    assert [message.role for message in messages] == ["user", "assistant", "user"]  # the chat went on
    models.first.prompts.forget(anna.conversation.cache_salt)
    assert choose(models, anna, "") == "" and models.name(anna) == "fake"


def test_prompts_and_maps_belong_to_a_model(models: Models, parts: Parts, files: Files) -> None:
    session = parts.sessions.open("anna", None)
    asked(models, session, "What is it?", files("cat.png"))
    first = models.of(session)
    assert first.attention.words(session)["words"]
    choose(models, session, "tiny")
    assert session.shown is None  # what the panel showed was the other's
    tiny = models.of(session)
    assert tiny.prompts is not first.prompts and len(tiny.prompts._prepared) == 0
    panel = tiny.preview.refresh(session, Draft(), VALUES).panel
    assert panel is not None and panel.model == "tiny"
    said = tiny.attention.words(session)
    assert (
        not said["words"] and said["note"] == "fake wrote this answer. Choose it again to see where its words looked."
    )
    asked(models, session, "And now?")
    assert models.part(lambda own: own.attention).words(session)["words"]


def test_files_that_wait_in_the_composer_are_opened_for_the_new_model(
    models: Models, parts: Parts, files: Files
) -> None:
    session, draft = parts.sessions.open("anna", None), Draft("", (files("cat.png"),))
    parts.preview.refresh(session, draft, VALUES)
    choose(models, session, "tiny")
    update = models.of(session).preview.refresh(session, draft, VALUES)
    assert update.panel is not None and update.panel.trace is not None
    models.of(session).controller.clear(session)  # and so they are in a new chat
    assert "1 picture" in (models.of(session).preview.refresh(session, draft, VALUES).cost or "")


def test_what_was_computed_for_a_chat_is_forgotten_by_all_models(models: Models, parts: Parts) -> None:
    session = parts.sessions.open("anna", None)
    asked(models, session, "One")
    choose(models, session, "tiny")
    asked(models, session, "Two")
    engines = [models.first.engine, models.of(session).engine]
    assert parts.sessions._forgetting is not None
    parts.sessions._forgetting._forget("salt")
    assert [engine.forgotten for engine in engines] == [["salt"], ["salt"]]  # type: ignore[attr-defined]


def test_no_model_is_changed_under_an_answer_and_no_question_is_asked_of_one_that_is_not_there(
    models: Models, parts: Parts, loader: FakeLoader
) -> None:
    session = parts.sessions.open("anna", None)
    parts.controller.begin(session, Draft("One"))
    assert choose(models, session, "tiny") == BUSY
    parts.controller.stop(session)
    loader.step.clear()
    progress = models.begin(session, "tiny")
    loading = threading.Thread(target=models.load, args=(session, progress))
    loading.start()
    assert models.of(session).controller.begin(session, Draft("Two")).notice == LOADING
    assert choose(models, session, "large") == LOADING
    loader.step.set()
    loading.join()
    asked(models, session, "Two")
    assert session.conversation.turns[-1].answer.model == "tiny"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("large", "large takes 99 bytes of memory, and 10 bytes are free"),
        ("tiny", "tiny lacks config.json"),
        ("../../etc", "not offered"),
    ],
)
def test_a_refused_model_leaves_the_old_one_answering(
    models: Models, parts: Parts, loader: FakeLoader, key: str, says: str
) -> None:
    loader.broken.add("tiny")
    session = parts.sessions.open("anna", None)
    assert says in choose(models, session, key)
    asked(models, session, "Still there?")
    assert session.conversation.turns[-1].answer.model == "fake"  # type: ignore[union-attr]


def test_a_bug_while_loading_is_one_sentence(
    models: Models, parts: Parts, loader: FakeLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(*arguments: object) -> NamedEngine:
        raise RuntimeError("/secret/place")

    monkeypatch.setattr(loader, "load", bug)
    session = parts.sessions.open("anna", None)
    assert "Something went wrong" in choose(models, session, "tiny")
    assert not session.loading and models.name(session) == "fake"


def test_an_answer_goes_on_only_with_the_model_that_wrote_it(models: Models, parts: Parts) -> None:
    session = parts.sessions.open("anna", None)
    parts.controller.begin(session, Draft("One"))
    list(respond(parts, session, {"max_new_tokens": 2}))
    parts.controller.answers.finish(session)
    choose(models, session, "tiny")
    own = models.of(session).controller
    row = json.loads(own.answers.settled(session).rows or "")[-1]
    assert row["note"] == "Answered by fake. Cut off at the length limit." and not row["continue"] and row["retry"]
    refused = own.act(session, {"do": "continue", "turn": 1}, Draft())
    assert refused.notice == "fake wrote this answer; choose it again to go on with it."
    own.act(session, {"do": "retry", "turn": 1}, Draft())
    list(respond(models.of(session), session))
    turns = session.conversation.all_turns
    assert sorted(turn.answer.model for turn in turns if turn.answer) == ["fake", "tiny"]


def test_a_saved_chat_says_who_answered(models: Models, parts: Parts) -> None:
    session = parts.sessions.open("anna", None)
    choose(models, session, "tiny")
    asked(models, session, "One")
    again = import_json(export_json(session.conversation, parts.store, "tiny"), parts.store)
    assert again.turns[0].answer is not None and again.turns[0].answer.model == "tiny"


def test_settings_follow_the_models_defaults_and_keep_what_was_chosen(models: Models, parts: Parts) -> None:
    session = parts.sessions.open("anna", None)
    old = models.of(session).form
    choose(models, session, "tiny")
    new = models.of(session).form
    values = {**old.shown_at_first(), "max_frames": 12}
    updates = new.in_place_of(old, values)
    assert updates["max_frames"].value == 12
    assert updates["max_tokens"].value == new.shown_at_first()["max_tokens"]


def test_a_page_that_is_loaded_again_gets_the_limits_of_its_model(models: Models, parts: Parts) -> None:
    """Gradio draws it with those of the first model; what was chosen comes from the browser."""
    session = parts.sessions.open("anna", None)
    choose(models, session, "plain")
    form = models.of(session).form
    shown = form.within_limits(form.restored('{"max_frames": 6, "temperature": 0.5}'))
    frames, tokens = shown["max_frames"], shown["max_tokens"]
    assert (frames.value, tokens.value, shown["temperature"]) == (6, 64, 0.5)
    assert "trained for at most 8" in frames.info


def test_a_model_that_can_do_less_is_offered_for_less(models: Models, parts: Parts) -> None:
    session = parts.sessions.open("anna", None)
    tab = ExperimentsTab(parts.experiments, parts.accuracy, models)
    with gr.Blocks():
        tab.draw()

    def offered() -> set[str]:
        updates = tab.show_model(models.of(session))
        assert set(updates) == set(tab.model_outputs())
        return {key for key, drawn in tab.components.experiments.items() if updates[drawn.section].visible}

    assert offered() == {"budget", "positions", "compare"}
    choose(models, session, "plain")
    assert offered() == {"budget", "compare"}
    assert model_facts(models.of(session), chosen=True) == {
        "name": "plain",
        "chosen": True,
        "positions": False,
        "regions": False,
        "laboratory": "Nobody can look into this model.",
    }


def test_the_rotation_of_an_empty_chat_is_that_of_its_model(parts: Parts) -> None:
    """nano has other pairs in a head than the released ones, which have 64."""
    nano = Qwen2VLConfig.from_file(NANO / "config.json")
    mine = {None: None, "": None, "nano": nano}
    tab = RotationTab(lambda session: mine[session and session.model])
    with gr.Blocks():
        tab.draw()
    session = parts.sessions.open("anna", None)
    before = tab._draw_shown(None, session)
    session.use_model("nano")
    after = tab._draw_shown(None, session)
    pairs = sum(nano.text.mrope_section)
    assert pairs != 64 and "64 frequency pairs" in before[tab.components.waves]
    assert f"{pairs} frequency pairs" in after[tab.components.waves]


def test_a_page_whose_session_was_lost_gets_its_model_back_or_is_told(
    models: Models, parts: Parts, loader: FakeLoader
) -> None:
    choose(models, parts.sessions.open("anna", None), "tiny")
    assert models.take(parts.sessions.open("a tab again", None), "tiny") == ""
    assert models.name(parts.sessions.open("a tab again", None)) == "tiny"
    lost = parts.sessions.open("after a restart", None)
    assert models.take(lost, "large") == (
        "large is no longer loaded here, and fake would answer now. Send it again, or choose a model above."
    )
    assert models.take(lost, "large") == ""  # told once


def test_the_menu_names_no_place_and_says_what_fits(models: Models, parts: Parts, loader: FakeLoader) -> None:
    session = parts.sessions.open("anna", None)
    loader.sizes["broken"] = 1
    loader.broken.add("broken")
    state = models.state(session, rows=True)
    assert "/secret" not in state
    rows = {row["key"]: row for row in json.loads(state)["rows"]}
    assert list(rows) == ["", "tiny", "plain", "large", "broken"]
    assert rows["tiny"]["facts"] == "takes 4 bytes"
    assert rows["large"]["facts"] == "takes 99 bytes, more than is free"
    assert rows["broken"]["problem"] == "broken lacks config.json; take it again."
