"""The remote engine with a vLLM that answers from recordings of a real one, as `recording.py` made them."""

import json

import pytest

from tests.engine.remote.recording import RECORDED, SCENARIOS, Exchanges, Replay


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_recorded_server_is_asked_the_same_and_understood_the_same(name: str) -> None:
    recorded = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
    replay = Replay(recorded)
    with Exchanges(replay.answer).serving() as url:
        results = SCENARIOS[name](url, recorded["secret"].encode())
    assert replay.unknown == []
    assert results == recorded["results"]
