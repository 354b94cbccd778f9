"""The page of an engine on a server: what it shows of the server, and what it does not offer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from qwen2vl_demo.ui.app import build_demo
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.ui.panel.accuracy import ONLY_NANO
from qwen2vl_demo.ui.panel.columns import AS_ASKED, Experiment
from qwen2vl_demo.ui.panel.experiments import ExperimentState
from qwen2vl_demo.ui.panel.side_by_side import NO_POSITIONS
from qwen2vl_demo.ui.parts import Parts
from tests.asynchronous import stepwise
from tests.engine.remote.fake_server import FakeServer, refuse
from tests.ui.conftest import ask


def test_the_page_shows_no_address_of_the_server_and_offers_only_what_it_can(tmp_path: Path) -> None:
    """What the browser gets of the page is its configuration, which anybody may read."""
    with FakeServer.running() as server:
        server.cards[0]["id"] = "/srv/models/Qwen2-VL-2B-Instruct"
        engine = server.engine(key="sesame")
        config = json.dumps(build_demo(engine, data_dir=tmp_path, examples=()).get_config_file(), default=str)
        assert "Qwen2-VL-2B-Instruct" in config and "on a server (vLLM)" in config
        for hidden in (str(server.http.server_port), "http://127.0.0.1", "/srv/models", "sesame"):
            assert hidden not in config
    assert '"elem_id": "experiment-budget"' in config and '"elem_id": "experiment-positions"' not in config
    assert ONLY_NANO in config and '"elem_id": "accuracy-tokens"' not in config


def test_a_server_is_asked_again_what_it_can_and_the_rest_is_said(tmp_path: Path, files: Callable[[str], str]) -> None:
    with FakeServer.running() as server:
        parts = Parts.build(server.engine(), MediaStore(tmp_path / "store"))
        session = parts.sessions.open("tab", None)
        ask(parts, session, "What is here?", files("cat.png"))

        def last(experiment: Experiment, *chosen: str) -> ExperimentState:
            return list(stepwise(parts.experiments.run(session, {}, experiment, chosen=chosen)))[-1]

        compared = last("compare", AS_ASKED, "16", "1d")
        assert [trial.answer for trial in compared.trials] == ["Hello there", "Hello there", ""]
        assert compared.trials[2].problem == last("positions").note == NO_POSITIONS.format(parts.engine.name)
        server.replies = [refuse(500, {"error": "out of memory"})]
        refused = last("compare", AS_ASKED, "16")
        assert refused.finished and all("server" in trial.problem for trial in refused.trials)
