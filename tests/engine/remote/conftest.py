"""The real vLLM of the tests marked `server`."""

from collections.abc import Iterator

import pytest

from tests import vllm_server


@pytest.fixture(scope="session")
def vllm() -> Iterator[str]:
    """The URL of a vLLM that serves nano in float32, with the released checkpoints' generation defaults."""
    if not vllm_server.installed() and not vllm_server.answers(f"http://127.0.0.1:{vllm_server.PORT}"):
        pytest.skip(f"no vLLM in {vllm_server.VENV}; `python -m tests.vllm_server install` puts one there")
    with vllm_server.running() as url:
        yield url
