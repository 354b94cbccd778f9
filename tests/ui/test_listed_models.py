"""Models of an operator's list, chosen as visitors choose them: of the hub's cache on this machine, and of servers."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from qwen2vl_demo.engine.models import loader as loader_module
from qwen2vl_demo.engine.models.loader import ListedModels
from qwen2vl_demo.settings import Settings
from qwen2vl_demo.ui.models import Models
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Draft, Session
from tests.engine.broken_checkpoints import copy_of_nano
from tests.engine.remote.fake_server import FakeServer
from tests.ui.conftest import ask, respond
from tests.ui.test_chosen_models import choose

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, which is not asked: HF_HUB_OFFLINE is set."""
    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    return folder


def cached(cache: Path, hub_id: str) -> Path:
    """nano, as if it had been downloaded under this name; the directory of its files."""
    repository = cache / f"models--{hub_id.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "snapshots").mkdir()
    return copy_of_nano(repository / "snapshots" / COMMIT)


def models_of(parts: Parts, listed: str) -> Models:
    return Models(parts, ListedModels(Settings(models=listed, device="cpu", dtype="float32")))


def menu(models: Models, session: Session) -> dict[str, dict[str, object]]:
    return {row["key"]: row for row in json.loads(models.state(session, rows=True))["rows"]}


def test_a_model_of_the_hubs_cache_is_chosen_by_its_id_and_answers(parts: Parts, cache: Path) -> None:
    cached(cache, "some/second")
    models, session = models_of(parts, "some/second"), parts.sessions.open("anna", None)
    assert str(menu(models, session)["some/second"]["facts"]).startswith("takes ")
    assert choose(models, session, "some/second") == ""
    parts_of_it = models.of(session)
    assert parts_of_it.engine.config is not None and parts_of_it.engine.name == "some/second"
    parts_of_it.controller.begin(session, Draft("What can you do?"))
    list(respond(parts_of_it, session, {"max_new_tokens": 4}))
    last = session.conversation.last
    assert last is not None and last.answer is not None and last.answer.text and last.answer.model == "some/second"


@pytest.mark.parametrize("offline", [True, False], ids=["told to stay offline", "nothing answers"])
def test_one_that_is_neither_on_this_machine_nor_can_be_fetched_is_one_sentence_for_a_visitor(
    parts: Parts, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, offline: bool
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # where nobody listens
    models, session = models_of(parts, "some/absent"), parts.sessions.open("anna", None)
    assert menu(models, session)["some/absent"]["facts"] == "size not known before it is here"
    assert choose(models, session, "some/absent") == (
        "some/absent is not on this machine, and cannot be fetched from the hub now; choose another model."
    )
    assert "the hub cannot be reached" in caplog.text  # what the operator can do about it
    assert ask(models.of(session), session, "Still there?").startswith("In turn 1")


def test_one_whose_weights_are_missing_or_that_is_an_adapter_is_refused_without_its_folder(
    parts: Parts, cache: Path
) -> None:
    (cached(cache, "some/cut") / "model.safetensors").unlink()
    adapter = cached(cache, "some/adapter")
    (adapter / "config.json").rename(adapter / "adapter_config.json")
    (adapter / "model.safetensors").unlink()
    models, session = models_of(parts, "some/cut,some/adapter"), parts.sessions.open("anna", None)
    refusal = choose(models, session, "some/cut")
    assert refusal.startswith("some/cut holds no model.safetensors") and str(cache.parent) not in refusal
    assert choose(models, session, "some/adapter") == (
        "some/adapter is an adapter and no whole model; choose another one."
    )
    assert models.name(session) == "fake"


def test_a_server_of_the_list_answers_and_one_that_has_gone_is_said_without_its_address(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loader_module, "CONNECT_SECONDS", 0.1)
    caplog.set_level(logging.WARNING)
    with FakeServer.running() as server:
        server.cards[0]["id"] = "seven"
        listed = f"{server.url}/v1#seven"
        models = Models(parts, ListedModels(Settings(models=listed, device="cpu", engine_timeout=0.5)))
        anna, ben = parts.sessions.open("anna", None), parts.sessions.open("ben", None)
        assert menu(models, anna)["seven"]["facts"] == "runs on a server"
        assert choose(models, anna, "seven") == ""
        assert ask(models.of(anna), anna, "What is it?") == "Hello there"
        assert server.bodies[-1]["model"] == "seven"
        port = str(server.http.server_port)
    # It has gone: whoever has chosen it is told, and loses no word.
    own = models.of(anna)
    own.controller.begin(anna, Draft("And now?"))
    said = " ".join(update.notice or "" for update in respond(own, anna))
    own.controller.answers.finish(anna)
    assert "The model's server does not answer at the moment. Ask again in a minute." in said and port not in said
    assert anna.conversation.turns[0].answer is not None and anna.conversation.turns[0].answer.text == "Hello there"
    # The menu does not offer what is not there to somebody else, once nobody uses it.
    assert choose(models, anna, "") == ""
    monkeypatch.setattr("qwen2vl_demo.engine.models.pool.GRACE", -1.0)
    models.tidy()
    assert choose(models, ben, "seven") == "The server of seven does not answer; choose another model."
    assert port in caplog.text  # the operator's log has its address
    assert ask(models.of(anna), anna, "You then?").startswith("In turn")


def test_a_server_has_the_time_for_an_answer_that_the_operator_gave_it(parts: Parts) -> None:
    """And not only what a visitor waits for it to be there."""
    with FakeServer.running() as server:
        models = models_of(parts, server.url)
        session = parts.sessions.open("anna", None)
        assert choose(models, session, "model of a server") == ""
        engine = models.of(session).engine
        assert engine.server.timeout == Settings().engine_timeout > loader_module.CONNECT_SECONDS  # type: ignore[attr-defined]
