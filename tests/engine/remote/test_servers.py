"""The recorded questions, asked of real servers: run with `-m server` where they are installed.

SERVER_VLLM and SERVER_TRANSFORMERS are addresses of servers that run nano in float32, as docs/servers.md
starts them; a server that is not there is skipped.
"""

from __future__ import annotations

import os

import pytest

from qwen2vl_demo.engine.remote.engine import RemoteEngine
from qwen2vl_demo.resources import NANO
from tests.engine.remote.scenarios import SCENARIOS, outcome
from tests.engine.remote.test_recorded_answers import check

pytestmark = pytest.mark.server


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("kind", ["vllm", "transformers"])
def test_a_real_server_answers_as_it_did_when_it_was_recorded(kind: str, name: str) -> None:
    url = os.environ.get(f"SERVER_{kind.upper()}")
    if not url:
        pytest.skip(f"SERVER_{kind.upper()} names no server")
    own = None if kind == "vllm" else str(NANO)
    model = SCENARIOS[name].model or own
    engine = RemoteEngine.connect(url, model, checkpoint=own or "nano")
    check(kind, name, outcome(engine, SCENARIOS[name]))
