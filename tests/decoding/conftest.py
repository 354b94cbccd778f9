"""Worker processes for the tests of this room: started once, with limits that are soon reached."""

from collections.abc import Iterator

import pytest

from qwen2vl_demo.decoding.worker_processes import WorkerProcesses
from qwen2vl_demo.serve import DECODERS


@pytest.fixture(scope="session")
def workers() -> Iterator[WorkerProcesses]:
    pool = WorkerProcesses(seconds=1, memory_bytes=500_000_000, workers=2, modules=DECODERS)
    yield pool
    pool.close()
