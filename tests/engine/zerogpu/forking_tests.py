"""The engine of a ZeroGPU Space, with a stand-in for `spaces` that runs it in forked processes on the CPU: same answers
as the engine that runs here, Stop, caches, loans, and nothing of CUDA in the page's own process."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import httpx
import numpy as np
import PIL.Image
import pytest
import torch
from torch.overrides import TorchFunctionMode

from qwen2vl_demo.bench.drill.visitor import Page, open_tab
from qwen2vl_demo.engine import factory
from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.protocol import GenerationOptions, Result
from qwen2vl_demo.engine.zerogpu import engine as module
from qwen2vl_demo.engine.zerogpu import worker
from qwen2vl_demo.engine.zerogpu.engine import MAX_SECONDS, MIN_SECONDS, UNMEASURED_SECONDS, ZeroGpuEngine
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.processing.messages import Image, Message, Text
from qwen2vl_demo.serve import _zerogpu
from qwen2vl_demo.settings import Settings
from qwen2vl_demo.ui.app import build_demo, launch_options
from tests import asynchronous
from tests.engine.zerogpu.lender import Lender

GREEDY = GenerationOptions(max_new_tokens=12)
LONG = GenerationOptions(max_new_tokens=4000)  # the random checkpoint does not end by itself
PICTURE = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8))
ASK = [Message("user", [Image(PICTURE), Text("What is in this picture?")])]


@pytest.fixture
def lender() -> Iterator[Lender]:
    lender = Lender()
    yield lender
    lender.close()


@pytest.fixture
def lent(checkpoint: Path, lender: Lender) -> ZeroGpuEngine:
    return ZeroGpuEngine.load(str(checkpoint), lender.GPU, device="cpu", dtype="float32")


def answer(engine: Any, messages: list[Message] = ASK, options: GenerationOptions = GREEDY, **more: Any) -> Result:
    *_, last = engine.stream(messages, options, **more)
    assert last.result is not None
    result: Result = last.result
    return result


def stopped(engine: Any, cancel: threading.Event, when: Callable[[Any], bool]) -> Result:
    """The result of a long answer that is stopped at the first chunk for which `when` is true."""
    for chunk in engine.stream(ASK, LONG, cancel):
        if when(chunk):
            cancel.set()
        if chunk.result is not None:
            return chunk.result
    raise AssertionError("no result")


@pytest.mark.parametrize("options", [GREEDY, GenerationOptions(max_new_tokens=12, temperature=1.5, seed=3)])
def test_another_process_answers_as_the_engine_here_does(
    lent: ZeroGpuEngine, engine: LocalEngine, lender: Lender, options: GenerationOptions
) -> None:
    chunks = list(lent.stream(ASK, options))
    result, expected = chunks[-1].result, answer(engine, options=options)
    assert result is not None and result.trace is not None
    assert (result.text, result.stop_reason, result.new_tokens) == (
        expected.text,
        expected.stop_reason,
        expected.new_tokens,
    )
    assert "".join(chunk.text for chunk in chunks) == result.text
    statuses = [chunk.status for chunk in chunks if chunk.status]
    assert statuses[:3] == ["Waiting for a GPU", "Copying the model to the GPU", "Encoding the picture"]
    assert set(result.timings) == set(expected.timings)
    assert result.timings["total"] == pytest.approx(
        sum(seconds for name, seconds in result.timings.items() if name not in ("total", "first_token"))
    )
    assert lender.loans[0].process is not None and lent._model.training == engine.model.training


def test_stop_reaches_the_running_answer(lent: ZeroGpuEngine, engine: LocalEngine) -> None:
    result = stopped(lent, threading.Event(), lambda chunk: bool(chunk.text))
    assert result.stop_reason == "cancelled" and 0 < result.new_tokens < 4000
    assert result.text == answer(engine, options=GenerationOptions(max_new_tokens=result.new_tokens)).text


def test_stop_does_not_wait_for_a_gpu(lent: ZeroGpuEngine, lender: Lender) -> None:
    lender.wait = 2.0
    began = time.monotonic()
    result = stopped(lent, threading.Event(), lambda chunk: chunk.status == "Waiting for a GPU")
    assert time.monotonic() - began < 1.9
    assert (result.stop_reason, result.text) == ("cancelled", "")
    # The loan comes all the same, and ends at once: its flag is free again.
    while len(lent._stops._free) < 4096:
        assert time.monotonic() - began < 20
        time.sleep(0.02)
    assert len(lender.loans) == 1


def test_an_answer_that_nobody_reads_any_more_ends(lent: ZeroGpuEngine) -> None:
    stream = lent.stream(ASK, LONG)
    while not next(stream).text:
        pass
    stream.close()
    began = time.monotonic()
    while len(lent._stops._free) < 4096:
        assert time.monotonic() - began < 20
        time.sleep(0.02)


def salted(salt: str) -> GenerationOptions:
    return GenerationOptions(max_new_tokens=12, cache_salt=salt)


def test_a_new_process_has_cached_nothing_and_answers_the_same(lent: ZeroGpuEngine) -> None:
    first, again = answer(lent), answer(lent)
    assert (first.text, again.reused_tokens) == (again.text, 0)


def test_a_process_that_is_used_again_keeps_the_caches_of_one_conversation(lent: ZeroGpuEngine, lender: Lender) -> None:
    lender.reuse = True
    first = answer(lent, options=salted("a"))
    again = answer(lent, options=salted("a"))
    assert again.reused_tokens > first.prompt_tokens // 2 and again.text == first.text
    assert answer(lent, options=salted("b")).reused_tokens == 0
    assert answer(lent, options=salted("a")).reused_tokens == 0
    assert len({loan.process for loan in lender.loans}) == 1


def test_caches_are_forgotten_after_a_while(
    lent: ZeroGpuEngine, lender: Lender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "KEPT_SECONDS", 0.05)  # the processes are forked after this
    lender.reuse = True
    answer(lent, options=salted("a"))
    time.sleep(0.5)
    assert answer(lent, options=salted("a")).reused_tokens == 0


def test_the_attention_of_a_word_is_that_of_the_engine_here(lent: ZeroGpuEngine, engine: LocalEngine) -> None:
    """The ids that were sampled come back from the process with the answer, and go to another with the question."""
    options = GenerationOptions(max_new_tokens=12, temperature=1.5, seed=3)
    prompt = lent.prompt(ASK, options)
    text = answer(lent, options=options, prompt=prompt).text
    assert answer(engine, options=options).text == text
    words = lent.answer_words(prompt.trace, text)
    assert words == engine.answer_words(prompt.trace, text)
    last = len(words) - 1
    found, expected = lent.word_attention(prompt, text, last), engine.word_attention(prompt, text, last)
    assert found is not None and expected is not None
    assert found.prompt is prompt.trace and found.exact_tokens and found.word == expected.word
    np.testing.assert_allclose(found.weights, expected.weights, atol=1e-5)
    with pytest.raises(UserError, match="choose one of them"):
        lent.word_attention(prompt, text, 999)
    cancel = threading.Event()
    cancel.set()
    assert lent.word_attention(prompt, text, 0, cancel) is None


def test_the_loan_is_as_long_as_the_cost_model_says(lent: ZeroGpuEngine, lender: Lender) -> None:
    trace = lent.prepare(ASK, GREEDY)
    assert lent.estimate(trace, GREEDY).times is None and "first answer" in lent.estimate(trace, GREEDY).basis
    answer(lent)
    estimate = lent.estimate(trace, GREEDY)
    assert estimate.times is not None and estimate.memory is not None and estimate.memory.free is None
    answer(lent)
    assert [loan.seconds for loan in lender.loans] == [UNMEASURED_SECONDS, lent.seconds(trace, 12)]
    assert lent.seconds(trace, 12) == MIN_SECONDS < lent.seconds(trace, 20_000) <= MAX_SECONDS


def test_an_answer_ends_with_its_loan(lent: ZeroGpuEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNMEASURED_SECONDS", worker.START_SECONDS + 0.2)
    result = answer(lent, ASK, LONG)
    assert (result.stop_reason, result.new_tokens < 4000) == ("length", True)
    assert result.notes == ("The answer was cut off: ZeroGPU had lent its GPU for 10.2 seconds.",)


def test_a_loan_too_short_to_read_the_prompt_is_said(lent: ZeroGpuEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNMEASURED_SECONDS", 0)
    with pytest.raises(UserError, match="too few to read"):
        answer(lent)


def test_what_zerogpu_refuses_is_said(lent: ZeroGpuEngine, lender: Lender) -> None:
    lender.refuse = "You have exceeded your free ZeroGPU quota (60s requested vs. 3s left). Try again in 1:00:00."
    with pytest.raises(UserError, match=r"^ZeroGPU says: You have exceeded .* in 1:00:00\.$"):
        answer(lent)


def test_a_process_that_is_ended_is_said_and_the_next_one_answers(lent: ZeroGpuEngine, lender: Lender) -> None:
    with pytest.raises(UserError, match="ZeroGPU says: GPU task aborted"):
        for chunk in lent.stream(ASK, LONG):
            if chunk.text:
                lender.kill()
    assert answer(lent).text


def test_a_bug_in_the_process_keeps_its_traceback(
    lent: ZeroGpuEngine, lender: Lender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the process, whose CUDA may be broken, is not used again."""
    lender.reuse = True
    with monkeypatch.context() as broken:
        broken.setattr(LocalEngine, "stream", lambda *_, **__: iter([SimpleNamespace(result=5)]))
        with pytest.raises(RuntimeError, match="dataclass instances"):
            answer(lent)
    assert answer(lent).text
    assert len({loan.process for loan in lender.loans}) == 2


class ImitatedGpu(TorchFunctionMode):
    """What `spaces` does in the thread that imported it, where it has results of torch pass through its own hands."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError("torch was used in the thread that imported spaces")


def test_the_process_of_the_page_never_initialises_cuda(
    checkpoint: Path, lender: Lender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`spaces` makes torch say that there is a GPU, and raises where CUDA would be initialised."""

    def initialised() -> None:
        raise AssertionError("CUDA was initialised")

    card = SimpleNamespace(total_memory=70 * 2**30, name="H200", major=9, minor=0, multi_processor_count=60)
    for name, value in {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "get_device_properties": lambda *_: card,
        "_lazy_init": initialised,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    with ImitatedGpu():
        engine = factory.engine_of(Settings(model=str(checkpoint)), lend=lender.GPU)
        assert "ZeroGPU lends" in engine.description
    assert isinstance(engine, ZeroGpuEngine)
    assert engine.placement.device.type == "cuda" and engine._model.device.type == "cpu"
    engine.warm_up()
    engine.estimate(engine.prompt(ASK, GREEDY).trace, GREEDY)
    engine.forget("")
    assert not lender.loans

    card.total_memory = 2**20
    with pytest.raises(UserError, match="choose a smaller model"):
        factory.engine_of(Settings(model=str(checkpoint)), lend=lender.GPU)


def test_the_tokenizer_may_be_another_checkpoints(checkpoint: Path, lender: Lender, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(checkpoint, bare, ignore=shutil.ignore_patterns("tokenizer*"))
    settings = Settings(model=str(bare), processor=str(checkpoint))
    assert factory.engine_of(settings, lend=lender.GPU).prepare(ASK, GREEDY)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"engine_url": "http://localhost:8000"}, "--engine-url does not use the GPU"),
        ({"model": "none"}, "--model none does not use the GPU"),
        ({"device": "cpu"}, "--device cpu does not use the GPU"),
        ({"quantize": "int8"}, "--quantize int8"),
    ],
)
def test_settings_that_zerogpu_cannot_have_are_refused(settings: dict[str, Any], words: str, lender: Lender) -> None:
    with pytest.raises(UserError, match=words):
        factory.engine_of(Settings(**settings), lend=lender.GPU)


def test_spaces_is_imported_only_where_the_environment_says_zerogpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spaces", SimpleNamespace(GPU="the decorator"))
    assert _zerogpu({"SPACES_ZERO_GPU": "true"}) == "the decorator"  # type: ignore[comparison-overlap]
    assert _zerogpu({}) is None
    monkeypatch.setitem(sys.modules, "spaces", None)  # not installed
    assert _zerogpu({"SPACES_ZERO_GPU": "false"}) is None
    with pytest.raises(UserError, match=r"requirements\.txt"):
        _zerogpu({"SPACES_ZERO_GPU": "1"})


def test_the_page_borrows_for_the_visitor_who_asks(lent: ZeroGpuEngine, lender: Lender, tmp_path: Path) -> None:
    """ZeroGPU finds the visitor, whose quota it counts, by a header of the request that the call belongs to."""
    demo = build_demo(lent, data_dir=tmp_path, examples=[])
    assert isinstance(demo, gr.Blocks)  # whose `launch` `spaces` extends
    _, url, _ = demo.launch(**launch_options(demo), prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")

    async def visit() -> str:
        async with httpx.AsyncClient(base_url=url) as client:
            page = await Page.read(client)
        async with open_tab(url, page) as visitor:
            visitor.client.headers["x-ip-token"] = "of this visitor"
            return await visitor.ask("What is a star?")

    try:
        said = asynchronous.run(visit())
    finally:
        demo.close(verbose=False)
    assert said and [loan.token for loan in lender.loans] == ["of this visitor"]
