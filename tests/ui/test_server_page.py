"""The page of an engine on a server: what it shows of the server, and what it does not offer."""

from __future__ import annotations

import json
from pathlib import Path

from qwen2vl_demo.ui.app import build_demo
from tests.engine.remote.fake_server import FakeServer


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
