"""Predictions of an answer: counted work at a calibrated speed, corrected by what answers took."""

import math
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
import torch

from qwen2vl_demo.engine.cost import flops
from qwen2vl_demo.engine.cost.calibration import TimeCurve, _Clock, calibrate
from qwen2vl_demo.engine.cost.estimate import Estimate, TimeRange, last_question, tokens_only
from qwen2vl_demo.engine.cost.predictor import CostPredictor, Workload, _free
from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.processor_only import ProcessorOnlyEngine
from qwen2vl_demo.engine.protocol import GenerationOptions, Outcome
from qwen2vl_demo.model.decoder import Decoder
from qwen2vl_demo.processing.messages import Image, Message, Text

OPTIONS = GenerationOptions(max_new_tokens=12)
PHASES = ("prepare", "encode", "prefill", "token")


@pytest.fixture
def fresh(checkpoint):
    """An engine that nobody has asked anything yet."""
    return LocalEngine.load(str(checkpoint), device="cpu", dtype="float32")


def picture(seed=0, size=(150, 200)):
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    return PIL.Image.fromarray(pixels)


def ask(*parts, question="What is in this picture?"):
    return [Message("user", [*parts, Text(question)])]


def answer(engine, messages, options=OPTIONS):
    *_, last = engine.stream(messages, options)
    return last.result


def work(prompt_tokens=500, cached_tokens=0, max_new_tokens=100, grids=((1, 16, 16),)):
    return Workload(prompt_tokens, cached_tokens, max_new_tokens, grids)


def test_a_calibration_keeps_to_its_budget_and_finds_work_to_take_time(engine):
    speed = calibrate(engine.model, engine.decoder)
    assert speed.calibration_seconds < 5  # 0.12 s where nothing else runs; tests run on busy machines
    assert min(speed.attention, speed.head, speed.token, speed.byte) > 0
    for curve in (speed.block, speed.layer):
        assert all(seconds > 0 for _, seconds in curve.points)
        last = curve.points[-1][0]
        assert curve.at(20 * last) > 5 * curve.at(last)  # grows with the work behind what was measured


def test_other_weights_for_writing_are_timed_and_weighed(engine):
    model = LocalEngine.load(str(engine.name), device="cpu", dtype="float32").model
    decoder = Decoder(model, "bfloat16")
    predictor = CostPredictor(model, decoder)
    held = sum(p.nbytes for p in model.parameters())
    assert predictor.memory(work(), None).weights == held + decoder.extra_bytes > held
    assert calibrate(model, decoder).token > 0


def test_a_device_that_begins_slowly_is_not_a_slow_device(engine, monkeypatch):
    """A GPU loads and selects kernels at the first call of each kind. Timed, that made the token 49 times too slow."""
    begun = []

    def once(clock, run, index):
        begun.append(run)
        return 1e-4 if run in begun[:-1] else 0.15

    monkeypatch.setattr(_Clock, "once", once)
    speed = calibrate(engine.model, engine.decoder)
    assert speed.head == pytest.approx(1e-4) == speed.token
    assert all(seconds <= 1.01e-4 for curve in (speed.block, speed.layer) for _, seconds in curve.points)


def test_what_pytorch_keeps_unused_of_a_gpu_is_free(monkeypatch):
    """Joining the projections left 8.5 GB of blocks that nobody used; the meter took them for used."""
    fake = SimpleNamespace(
        memory_reserved=lambda device: 24, memory_allocated=lambda device: 15, mem_get_info=lambda device: (10, 40)
    )
    monkeypatch.setattr(torch, "cuda", fake)
    assert _free(torch.device("cuda")) == 10 + 9


def test_a_curve_goes_through_its_points_and_straight_on():
    curve = TimeCurve(((10.0, 1.0), (20.0, 3.0)))
    assert [curve.at(x) for x in (1, 10, 15, 20)] == [1, 1, 2, 3]
    assert curve.at(40) == pytest.approx(3 + 20 * 0.2)  # the last slope, 0.2
    assert TimeCurve(((10.0, 1.0),)).at(50) == pytest.approx(5)
    noisy = TimeCurve(((10.0, 1.0), (20.0, 0.5)))  # a falling line is noise: work behind it still takes time
    assert noisy.at(40) > 0.5


def test_more_work_is_predicted_to_take_longer(engine):
    predictor = CostPredictor(engine.model, engine.decoder)
    small, large = predictor.times(work()), predictor.times(work(prompt_tokens=3000, grids=((1, 64, 64), (8, 32, 32))))
    assert large.encode.about > 5 * small.encode.about
    assert large.prefill.about > 2 * small.prefill.about
    assert large.token.about > small.token.about
    assert small.first_token.about == pytest.approx(small.prepare.about + small.encode.about + small.prefill.about)


def test_what_is_known_is_not_charged(engine):
    predictor = CostPredictor(engine.model, engine.decoder)
    cold, warm = (
        predictor.times(work(prompt_tokens=2000)),
        predictor.times(work(prompt_tokens=2000, cached_tokens=1999, grids=())),
    )
    assert warm.encode.about == 0
    assert warm.prefill.about < cold.prefill.about / 3
    assert predictor.memory(work(prompt_tokens=2000, cached_tokens=1999, grids=()), None).activations < (
        predictor.memory(work(prompt_tokens=2000), None).activations
    )


def test_predictions_follow_what_answers_took(engine):
    """A device that is three times as slow as calibrated in every phase: after a few answers that is what is said, and
    with less doubt; it forgets when the device is fast again."""
    predictor = CostPredictor(engine.model, engine.decoder)
    job = work()
    before = predictor.times(job)
    slow = {
        "prepare": 3 * before.prepare.about,
        "encode": 3 * before.encode.about,
        "prefill": 3 * before.prefill.about,
        "decode": 30 * before.token.about,
    }
    for _ in range(10):
        predictor.observe(job, slow, new_tokens=10)
    after = predictor.times(job)
    for phase in PHASES:
        was, now = getattr(before, phase), getattr(after, phase)
        assert now.about == pytest.approx(3 * was.about, rel=0.25)
        assert now.low <= 3 * was.about <= now.high
        assert now.high / now.low < was.high / was.low
    assert "last 10 answers" in predictor.basis
    for _ in range(16):
        predictor.observe(job, {k: v / 3 for k, v in slow.items()}, new_tokens=10)
    assert predictor.times(job).prefill.about == pytest.approx(before.prefill.about, rel=0.25)


def test_answers_that_differ_widen_the_range(engine):
    steady, wild = (CostPredictor(engine.model, engine.decoder) for _ in range(2))
    job = work()
    for index in range(8):
        for predictor, factor in ((steady, 1.0), (wild, 4.0 if index % 2 else 0.25)):
            said = predictor._raw(job, predictor.calibrate())
            predictor.observe(job, {"prefill": factor * said["prefill"]}, new_tokens=1)
    ranges = [predictor.times(job).prefill for predictor in (steady, wild)]
    assert ranges[1].high / ranges[1].low > 3 * ranges[0].high / ranges[0].low


def test_the_engine_measures_its_own_answers(fresh):
    fresh.warm_up()
    assert "not yet corrected by a measured answer" in fresh.estimate(fresh.prepare(ask(), OPTIONS), OPTIONS).basis
    answer(fresh, ask(Image(picture(1))))
    answer(fresh, ask(Image(picture(2))))
    basis = fresh.estimate(fresh.prepare(ask(), OPTIONS), OPTIONS).basis
    assert "corrected by the last 2 answers" in basis


def test_an_answer_that_is_stopped_is_measured_as_far_as_it_came(fresh):
    """Its first word stood beside its prediction on the page, where no answer had been measured."""
    fresh.warm_up()
    stop = threading.Event()
    for chunk in fresh.stream(ask(Image(picture(1))), OPTIONS, stop):
        if chunk.text:
            stop.set()
    assert chunk.result.stop_reason == "cancelled" and "first_token" in chunk.result.timings
    assert "corrected by one answer" in fresh.estimate(fresh.prepare(ask(), OPTIONS), OPTIONS).basis


def test_an_answer_never_waits_for_a_calibration(fresh):
    """Without warm_up nothing is measured, and an answer comes all the same."""
    answer(fresh, ask(Image(picture(3))))
    assert not fresh._predictor.ready


def test_an_estimate_says_what_will_be_reused_and_leaves_it_in_its_place(fresh):
    first = ask(Image(picture(5)), Image(picture(6)))
    cold = fresh.estimate(fresh.prepare(first, OPTIONS), OPTIONS)
    assert (cold.reused_tokens, cold.reused_media, cold.media) == (0, 0, 2)
    said = answer(fresh, first)
    second = [*first, Message("assistant", said.text), *ask(Image(picture(7)), question="And now?")]
    trace = fresh.prepare(second, OPTIONS)
    warm = fresh.estimate(trace, OPTIONS)
    assert fresh.estimate(trace, OPTIONS) == replace(warm, memory=fresh.estimate(trace, OPTIONS).memory)
    assert warm.reused_media == 2 and warm.media == 3
    result = answer(fresh, second)
    # Words that no tokens spell, which random weights may write, end what can be reused behind the prompt.
    assert warm.reused_tokens == result.reused_tokens >= cold.prompt_tokens
    third = [Message("user", [Image(picture(6)), Text("Only the second again")])]
    again = fresh.estimate(fresh.prepare(third, OPTIONS), OPTIONS)
    assert again.reused_media == 1  # its merged tokens are kept, although its place in the prompt is another


def test_tokens_are_exact_and_of_the_turn(engine):
    messages = [
        *ask(Image(picture(1)), question="One <|im_start|>user two"),
        Message("assistant", "Yes."),
        *ask(Image(picture(2)), question="<|im_start|>user three"),
    ]
    trace = engine.prepare(messages, OPTIONS)
    estimate = engine.estimate(trace, OPTIONS)
    before = engine.prepare([*messages[:1]], OPTIONS)
    assert estimate.prompt_tokens == len(trace)
    assert estimate.media_tokens == sum(m.merged_tokens for m in trace.media)
    assert estimate.turn_tokens == len(trace) - last_question(trace)
    tokens = trace.tokens[last_question(trace) :]
    assert tokens[:2] == ("<|im_start|>", "user") and tokens.count("<|im_start|>") == 2
    assert tokens.count("<|image_pad|>") == trace.media[1].merged_tokens
    assert estimate.room == trace.context_length - len(trace) < before.context_length - len(before)


def test_memory_is_that_of_the_tensors(engine):
    trace = engine.prepare(ask(Image(picture(1))), OPTIONS)
    memory = engine.estimate(trace, OPTIONS).memory
    assert memory.weights == sum(p.nbytes for p in engine.model.state_dict().values())
    assert memory.kv_cache == flops.kv_bytes(engine.model.config.text, len(trace) + 12, 4)
    assert memory.free and memory.fits and memory.total > memory.weights
    assert replace(memory, free=10).fits is False


def test_other_engines_say_tokens_and_why_no_more(checkpoint, monkeypatch):
    monkeypatch.setattr("qwen2vl_demo.engine.processors.NANO", checkpoint)
    engine = ProcessorOnlyEngine.load()
    trace = engine.prepare(ask(Image(picture(1))), OPTIONS)
    estimate = engine.estimate(trace, OPTIONS)
    assert estimate == tokens_only(trace, estimate.basis)
    assert estimate.times is None and estimate.memory is None and "No model" in estimate.basis
    assert engine.config is None
    engine.warm_up()  # nothing to measure, and no error


def test_only_an_engine_with_weights_has_a_configuration(engine):
    assert engine.config is engine.model.config


def test_spans_add_up_and_stay_in_order():
    one = TimeRange.around(2.0, math.log(2))
    assert (one.low, one.about, one.high) == pytest.approx((1, 2, 4))
    both = one + one * 3
    assert (both.low, both.about, both.high) == pytest.approx((4, 8, 16))


def test_an_outcome_keeps_numbers_and_no_words(engine):
    result = answer(engine, ask(Image(picture(8))))
    estimate = engine.estimate(result.trace, OPTIONS)
    outcome = Outcome.of(estimate, result)
    assert isinstance(estimate, Estimate)
    assert outcome.timings == result.timings and outcome.prompt_tokens == len(result.trace)
    assert result.text not in repr(outcome) or not result.text


def test_estimating_does_not_wait_for_a_running_answer(engine):
    """Another request holds the model; an estimate comes all the same."""
    engine.warm_up()
    trace = engine.prepare(ask(), OPTIONS)
    found = []
    with engine.queue.join() as ticket, ticket.hold():
        thread = threading.Thread(target=lambda: found.append(engine.estimate(trace, OPTIONS)))
        thread.start()
        thread.join(20)
    assert found and found[0].times is not None


def test_a_device_that_cannot_be_calibrated_still_answers(fresh, monkeypatch):
    def broken(*arguments):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr("qwen2vl_demo.engine.cost.predictor.calibrate", broken)
    fresh.warm_up()
    estimate = fresh.estimate(fresh.prepare(ask(), OPTIONS), OPTIONS)
    assert estimate.times is None and estimate.memory is not None and "could not be found out" in estimate.basis
    assert answer(fresh, ask()).new_tokens > 0


def test_calibrating_twice_at_once_measures_once(fresh, monkeypatch):
    calls = []

    def slow(*arguments):
        calls.append(arguments)
        time.sleep(0.2)
        return calibrate(fresh.model, fresh.decoder)

    monkeypatch.setattr("qwen2vl_demo.engine.cost.predictor.calibrate", slow)
    threads = [threading.Thread(target=fresh.warm_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1 and fresh._predictor.ready
    assert torch.is_inference_mode_enabled() is False
