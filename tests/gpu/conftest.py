"""Each test of this folder runs on an NVIDIA GPU, and as a dry run on the CPU, where a step is not captured.

python -m pytest tests/gpu -m gpu -o addopts=     on a GPU: what must hold; of pytest's plugins none is needed
python -m pytest tests/gpu -m slow                the dry run
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch

from qwen2vl_demo.bench import models
from qwen2vl_demo.engine import cuda_graph
from qwen2vl_demo.engine.cuda_graph import CudaGraphDecoder
from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.protocol import GenerationOptions, Result
from qwen2vl_demo.processing.messages import Image, Message, Text, Video

CPU = torch.device("cpu")
QUESTION = "What is in this picture? Name the shapes and their colours."
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU that this torch can use")


@pytest.fixture(
    scope="session",
    params=[pytest.param("cpu", marks=pytest.mark.slow), pytest.param("cuda", marks=[pytest.mark.gpu, NO_GPU])],
)
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.param)


@dataclass(frozen=True)
class Sides:
    """One set of random weights three times, as float32: on the CPU, and on the device without and with a graph."""

    cpu: LocalEngine
    eager: LocalEngine
    graph: LocalEngine

    @property
    def all(self) -> dict[str, LocalEngine]:
        return {"cpu": self.cpu, "eager": self.eager, "graph": self.graph}


@pytest.fixture(scope="session")
def sides(device: torch.device) -> Iterator[Sides]:
    weights = models.random_model("small", device, torch.float32)
    cpu = weights if device == CPU else models.random_model("small", CPU, torch.float32)
    made = Sides(*(models.engine_of(model) for model in (cpu, weights, weights)))
    made.eager._graphs = None
    if device == CPU:
        made.graph._graphs = CudaGraphDecoder(made.graph.decoder, weights.config.text.vocab_size, capture=False)
    with pytest.MonkeyPatch.context() as patched:
        if device == CPU:  # whose dry run would take minutes with attention over thousands of unused tokens
            patched.setattr(cuda_graph, "MIN_CAPACITY", 128)
        yield made


def ask(*parts: Image | Video, text: str = QUESTION) -> list[Message]:
    return [Message("user", [*parts, Text(text)])]


def answer(engine: LocalEngine, messages: list[Message], options: GenerationOptions) -> tuple[list[int], Result]:
    """The tokens of an answer, and its result."""
    result = list(engine.stream(messages, options))[-1].result
    assert result is not None and result.trace is not None
    ids = engine.sampled(result.trace, result.text)
    assert ids is not None
    return ids.tolist(), result


def same_on_all(sides: Sides, messages: list[Message], options: GenerationOptions) -> tuple[list[int], Result]:
    found = {name: answer(engine, messages, options) for name, engine in sides.all.items()}
    assert found["eager"][0] == found["cpu"][0], "one by one, the device chose other tokens than the CPU"
    assert found["graph"][0] == found["cpu"][0], "the graph chose other tokens than the CPU"
    return found["graph"]


def must_be_captured(engine: LocalEngine) -> None:
    """On a GPU: every step so far ran as a graph."""
    assert engine._graphs is not None
    assert engine._graphs.captured == (engine.model.device.type == "cuda"), "the device refused the capture"
