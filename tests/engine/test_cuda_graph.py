"""The steps of CUDA graphs, run eagerly on a CPU: token for token those of `generate_tokens`.

What a GPU adds, capturing the very step that runs here, is in `tests/gpu`; here a stand-in refuses it.
"""

import contextlib
import dataclasses
from itertools import islice

import numpy as np
import PIL.Image
import pytest
import torch

from qwen2vl_demo.engine import cuda_graph
from qwen2vl_demo.engine.cuda_graph import CudaGraphDecoder
from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.engine.result_builder import ResultBuilder
from qwen2vl_demo.engine.sampling import Sampler, StaticSampler
from qwen2vl_demo.model.decoder import Decoder
from qwen2vl_demo.processing.messages import Image, Message, Text

GREEDY = GenerationOptions(max_new_tokens=30)
OPTIONS = {
    "greedy": GREEDY,
    "warm": dataclasses.replace(GREEDY, temperature=1.0, seed=3),
    "top-k": dataclasses.replace(GREEDY, temperature=1.5, top_k=5, seed=4),
    "top-p": dataclasses.replace(GREEDY, temperature=1.0, top_p=0.7, seed=5),
    "penalty": dataclasses.replace(GREEDY, repetition_penalty=1.4),
    "all": dataclasses.replace(GREEDY, temperature=0.8, top_p=0.9, top_k=40, repetition_penalty=1.2, seed=6),
}


def ask(text="What is in this picture?", seed=1):
    pixels = np.random.default_rng(seed).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    return [Message("user", [Image(PIL.Image.fromarray(pixels)), Text(text)])]


def answer(engine, messages, options=GREEDY):
    return list(engine.stream(messages, options))[-1].result


@pytest.fixture
def pair(checkpoint, monkeypatch):
    """An engine that decodes step by step, and one on the same weights that decodes in blocks, in tiny caches."""
    monkeypatch.setattr(cuda_graph, "MIN_CAPACITY", 16)
    plain, quick = (LocalEngine.load(str(checkpoint), device="cpu", dtype="float32") for _ in range(2))
    plain.end_tokens = quick.end_tokens = frozenset()  # random weights may end an answer within its first block
    quick._graphs = CudaGraphDecoder(quick.decoder, quick.model.config.text.vocab_size, capture=False)
    return plain, quick


@pytest.mark.parametrize("name", OPTIONS)
def test_the_tokens_are_those_written_one_by_one(pair, name):
    plain, quick = (answer(engine, ask(), OPTIONS[name]) for engine in pair)
    assert (quick.text, quick.new_tokens, quick.stop_reason) == (plain.text, plain.new_tokens, plain.stop_reason)
    assert plain.new_tokens > cuda_graph.BLOCK, "one block would not show how blocks follow each other"


def test_what_it_leaves_behind_is_what_a_follow_up_reads(pair):
    """The same tokens reused, and the same second answer; after another conversation came between."""
    chats = [ask(), ask()]
    for engine, chat in zip(pair, chats, strict=True):
        chat += [Message("assistant", answer(engine, chat).text), Message("user", "How many shapes are there?")]
        answer(engine, ask("And now?", seed=2), OPTIONS["warm"])
    plain, quick = (answer(engine, chat) for engine, chat in zip(pair, chats, strict=True))
    assert (quick.text, quick.reused_tokens) == (plain.text, plain.reused_tokens)
    assert plain.reused_tokens > 0


@pytest.mark.parametrize("taken", [1, 2, 9, 13])
def test_closed_early_the_cache_holds_what_stands_before_the_last_token(pair, taken):
    """The steps after it are discarded, and nothing of them is in the cache."""
    caches = []
    for engine in pair:
        prompt = engine.prompt(ask(), GREEDY)
        ids = prompt.trace.input_ids
        cache = engine._cache_for(ids, len(ids) + 30)
        logits = yield_of(engine._prefill(prompt, cache, ResultBuilder(), lambda: None))
        tokens = engine.tokens(Sampler(GREEDY, torch.from_numpy(ids)), logits, prompt.trace.rope_delta, cache, 30)
        caches.append((list(islice(tokens, taken)), cache))
        tokens.close()
    (expected, plain), (got, quick) = caches
    assert got == expected and quick.length == plain.length
    for mine, theirs in ((quick.keys, plain.keys), (quick.values, plain.values)):
        filled = slice(0, plain.length)
        torch.testing.assert_close(mine[..., filled, :], theirs[..., filled, :], atol=1e-5, rtol=1e-4)


def yield_of(generator):
    """What a generator returns."""
    while True:
        try:
            next(generator)
        except StopIteration as done:
            return done.value


def test_a_step_is_captured_once_for_each_capacity_and_kind_and_again_when_the_cache_grows(pair):
    _, quick = pair
    decoder = quick._graphs
    answer(quick, ask())
    (first,) = decoder._steps.values()
    answer(quick, ask(seed=2))
    assert list(decoder._steps.values()) == [first]
    answer(quick, ask(seed=2), OPTIONS["warm"])
    assert len(decoder._steps) == 2 and decoder._cache.capacity == 128
    longer = dataclasses.replace(GREEDY, max_new_tokens=300)
    answer(quick, ask(), longer)
    assert [capacity for capacity, _ in decoder._steps] == [512]
    answer(quick, ask())  # in the first slots of the large cache
    assert sorted(capacity for capacity, _ in decoder._steps) == [128, 512] and decoder._cache.capacity == 512


class FakeStreams:
    """torch.cuda's streams and captures as far as `_Capture` uses them; a capture is refused as a driver does it: at
    its end, which leaves the capture's stream current."""

    class OutOfMemoryError(Exception):
        pass

    def __init__(self, refuse):
        self.refuse, self.current, self.made, self.waits, self.replayed = refuse, "default", [], [], 0

    def Stream(self):
        stream = FakeStream(self)
        self.made.append(stream)
        return stream

    def CUDAGraph(self):
        return self

    def replay(self):
        self.replayed += 1

    def current_stream(self):
        return FakeStream(self, self.current)

    def set_stream(self, stream):
        self.current = stream.name

    def device(self, device):
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def stream(self, stream):
        before, self.current = self.current, stream.name
        yield
        self.current = before

    @contextlib.contextmanager
    def graph(self, graph, stream, capture_error_mode):
        assert capture_error_mode == "thread_local"
        before, self.current = self.current, stream.name
        yield
        if self.refuse:
            raise RuntimeError("operation not permitted when stream is capturing")
        self.current = before


class FakeStream:
    def __init__(self, cuda, name="side"):
        self.cuda, self.name = cuda, name

    def wait_stream(self, other):
        self.cuda.waits.append((self.name, other.name))


@pytest.mark.parametrize("refuse", [True, False])
def test_a_capture_leaves_the_stream_as_it_was_and_keeps_one_of_its_own(refuse, monkeypatch):
    """A refused one left its stream current: the eager steps then ran beside the prompt, and not after it."""
    cuda = FakeStreams(refuse)
    monkeypatch.setattr(torch, "cuda", cuda)
    capture, runs = cuda_graph._Capture(), []

    def step():
        runs.append(cuda.current)

    for _ in range(2):
        replay = capture(step, torch.device("cuda"))
        assert cuda.current == "default" and cuda.waits[-1] == ("default", "side")
        assert cuda.waits[-2] == ("side", "default")
    assert len(cuda.made) == 1, "each stream has a workspace of its own"
    assert runs == ["side"] * 8
    replay()
    assert cuda.replayed == (not refuse) and runs[8:] == ["default"] * refuse


def test_the_step_of_most_answers_is_ready_before_the_first(pair):
    _, quick = pair
    device, dtype = quick.model.device, quick.model.dtype
    seconds = quick._graphs.warm_up(device, dtype)
    assert seconds > 0 and list(quick._graphs._steps) == [(cuda_graph.MIN_CAPACITY, True)]
    alone = answer(pair[0], ask()).text
    assert answer(quick, ask()).text == alone


def test_the_engine_captures_when_it_warms_up_and_predicts_by_that_step(pair, monkeypatch):
    """It timed the eager step, which no answer takes on a GPU, and captured behind the first word on the page."""
    _, quick = pair
    monkeypatch.setattr(CudaGraphDecoder, "warm_up", lambda self, device, dtype: 1.25)
    quick.warm_up()
    assert quick._predictor.calibrate().token == 1.25
    assert quick.queue.join().position == 0, "the place in the queue was left"


def test_a_memory_that_is_full_while_capturing_is_no_reason_not_to_start(pair, monkeypatch):
    _, quick = pair

    def full(self, device, dtype):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(CudaGraphDecoder, "warm_up", full)
    quick.warm_up()
    assert quick._predictor.calibrate().token > 0


def test_int8_decodes_in_graphs_with_the_same_narrow_weights(pair):
    plain, quick = pair
    for engine in pair:
        engine.decoder = Decoder(engine.model, "int8")
    quick._graphs = CudaGraphDecoder(quick.decoder, quick.model.config.text.vocab_size, capture=False)
    assert answer(quick, ask()).text == answer(plain, ask()).text


@pytest.mark.parametrize("name", OPTIONS)
def test_the_static_sampler_chooses_as_the_sampler_does(name):
    """The same uniform numbers choose the same tokens out of 300 random logits, whatever the rules."""
    options = OPTIONS[name]
    prompt, never = torch.tensor([3, 50, 51]), (7, 8)
    plain, mirror = (Sampler(options, prompt, never) for _ in range(2))
    static = StaticSampler(300, options.temperature == 0, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    logits = [torch.randn(300, generator=generator) * 3 for _ in range(60)]
    logits[5][7] = 99.0  # a placeholder, which must not be chosen
    first = mirror.choose(logits[0])
    assert plain.choose(logits[0]) == first
    static.load(mirror, first)
    for row in logits[1:]:
        uniform = mirror.uniforms(1)
        assert int(static.choose(row, uniform)) == plain.choose(row) != 7


def test_a_number_that_rounds_up_to_everything_still_chooses_a_kept_token():
    options = dataclasses.replace(GREEDY, temperature=1.0, top_k=2)
    static = StaticSampler(5, False, torch.device("cpu"))
    static.load(Sampler(options, torch.tensor([0])), 0)
    assert int(static.choose(torch.tensor([0.0, 5.0, 4.0, 1.0, 2.0]), torch.ones(1))) == 2


def test_numbers_to_choose_with_are_the_same_one_by_one_or_in_blocks():
    sampler, again = (Sampler(OPTIONS["warm"], torch.tensor([0])) for _ in range(2))
    assert torch.equal(sampler.uniforms(24), torch.cat([again.uniforms(n) for n in (1, 8, 8, 7)]))
