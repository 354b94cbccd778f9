"""Every engine hands over its prompt together with the very pixels that are cut, and `prepare` is its record."""

from typing import Any

import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.engine.processor_only import ProcessorOnlyEngine
from qwen2vl_demo.engine.processors import reference_processor
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.engine.remote.engine import RemoteEngine
from qwen2vl_demo.engine.remote.server import Server
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Text


@pytest.fixture(params=["local", "none", "remote"])
def any_engine(request: pytest.FixtureRequest, engine: Any) -> Any:
    if request.param == "local":
        return engine
    if request.param == "none":
        return ProcessorOnlyEngine.load()
    server = Server("http://127.0.0.1:9/v1", "far away", context_length=9000)
    return RemoteEngine(server, reference_processor(), exact_text=False)


def test_the_pixels_are_those_of_the_record(any_engine: Any) -> None:
    """112x84 px within ten tokens: 3x3 cells or fewer, and the pixels have that size and the picture's colours."""
    pixels = np.zeros((112, 84, 3), np.uint8)
    pixels[:, 42:] = (250, 10, 30)
    messages = [Message("user", [Image(PIL.Image.fromarray(pixels)), Text("?")])]
    options = GenerationOptions(media=MediaOptions(min_pixels=784, max_pixels=10 * 784))
    prompt, trace = any_engine.prompt(messages, options), any_engine.prepare(messages, options)
    assert np.array_equal(prompt.trace.input_ids, trace.input_ids)
    assert np.array_equal(prompt.trace.position_ids, trace.position_ids)
    assert prompt.trace.media == trace.media and prompt.trace.context_length == trace.context_length
    (cut,) = prompt.media
    height, width = trace.media[0].resized_size
    assert cut.frames.shape == (1, height, width, 3) and cut.digest == trace.media[0].digest
    assert cut.frames[0, :, 3].max() < 12 and np.abs(cut.frames[0, :, -3].astype(int) - (250, 10, 30)).max() < 12


def test_the_servers_context_length_is_in_the_record() -> None:
    server = Server("http://127.0.0.1:9/v1", "far away", context_length=9000)
    engine = RemoteEngine(server, reference_processor(), exact_text=False)
    assert engine.prompt([Message("user", "Hi")], GenerationOptions()).trace.context_length == 9000
