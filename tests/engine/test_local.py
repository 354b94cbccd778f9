"""The local engine on a tiny random checkpoint: what it answers, how it stops, what it refuses, what it shares."""

import codecs
import gc
import json
import shutil
import threading
import time
import warnings
import weakref
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
import torch

from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.processor_only import ProcessorOnlyEngine
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.engine.result_builder import ResultBuilder, memory_errors
from qwen2vl_demo.engine.sampling import Sampler
from qwen2vl_demo.engine.vision_cache import VisionCache, encode_medium, pieces
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.lru_cache import CacheBudget
from qwen2vl_demo.model.quantised import held_bytes
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Text
from qwen2vl_demo.processing.patches import patchify_there
from tests.waiting import wait_until

GREEDY = GenerationOptions(max_new_tokens=12)


def picture(seed=0, size=(150, 200)):
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    return PIL.Image.fromarray(pixels)


def ask(*parts):
    return [Message("user", [*parts, Text("What is in this picture?")])]


def answer(engine, messages, options=GREEDY, cancel=None):
    chunks = list(engine.stream(messages, options, cancel))
    assert all(c.result is None for c in chunks[:-1])
    assert "".join(c.text for c in chunks) == chunks[-1].result.text
    return chunks[-1].result


@torch.no_grad()
def slow_answer(engine, messages, options):
    """The obvious version: no cache, every step runs the whole sequence again, all pictures packed into one call."""
    prompt = engine.processor.process(messages, options.media)
    model, ids = engine.model, prompt.trace.input_ids.tolist()
    from qwen2vl_demo.processing.patches import patchify

    patches = [patchify(m.frames, model.config.vision, engine.processor.image) for m in prompt.media]
    vision = model.encode(torch.cat(patches), [m.grid_thw for m in prompt.media]) if patches else None
    positions = prompt.trace.position_ids
    config = model.config
    never = [config.image_token_id, config.video_token_id, config.vision_start_token_id, config.vision_end_token_id]
    new = []
    while len(new) < options.max_new_tokens:
        embeddings = model.embed(torch.tensor([ids + new]), vision)
        following = np.arange(len(new)) + positions.max() + 1
        at = np.concatenate([positions, np.tile(following, (3, 1))], axis=1)
        logits = model.logits(model(embeddings, torch.from_numpy(at)[:, None])[0, -1])
        logits[never] = -torch.inf
        token = int(logits.argmax())
        if token in engine.end_tokens:
            break
        new.append(token)
    return len(prompt.trace), new


@pytest.mark.parametrize("pictures", [0, 1, 3])
def test_cached_decoding_equals_running_everything_again_at_each_step(engine, pictures):
    messages = ask(*(Image(picture(i, (90 + 60 * i, 200))) for i in range(pictures)))
    result = answer(engine, messages)
    length, tokens = slow_answer(engine, messages, GREEDY)
    assert (result.prompt_tokens, result.new_tokens) == (length, len(tokens))
    kept = [t for t in tokens if not engine.processor.tokenizer.hides(t)]
    raw = b"".join(engine.processor.tokenizer.token_bytes(t) for t in kept)
    # An unfinished last character is dropped; other bytes that are no character become U+FFFD.
    assert result.text == codecs.getincrementaldecoder("utf-8")("replace").decode(raw)


def test_several_pictures_packed_equal_each_alone(engine):
    prompt = engine.processor.process(ask(*(Image(picture(i, (84 + 56 * i, 140))) for i in range(3))), MediaOptions())
    from qwen2vl_demo.processing.patches import patchify

    patches = [patchify(m.frames, engine.model.config.vision, engine.processor.image) for m in prompt.media]
    packed = engine.model.encode(torch.cat(patches), [m.grid_thw for m in prompt.media])
    alone = torch.cat([encode_medium(engine.model, m, engine.processor.image, lambda: None) for m in prompt.media])
    torch.testing.assert_close(packed, alone, atol=1e-4, rtol=1e-4)


def test_a_clip_may_be_encoded_in_pieces_along_time():
    """Slices of 4x6 patches, at most 50 patches a piece: two slices each, and the odd last one."""
    assert list(pieces((5, 4, 6), max_patches=50)) == [
        (slice(0, 4), (2, 4, 6)),
        (slice(4, 8), (2, 4, 6)),
        (slice(8, 10), (1, 4, 6)),
    ]
    assert list(pieces((2, 4, 6), max_patches=1)) == [(slice(0, 2), (1, 4, 6)), (slice(2, 4), (1, 4, 6))]


def test_statuses_come_before_the_first_word_and_an_encoded_picture_is_not_encoded_again(engine):
    messages = ask(Image(picture(99)), Image(picture(98)))
    first = [c.status for c in engine.stream(messages, GREEDY) if c.status]
    again = [c.status for c in engine.stream(messages, GREEDY) if c.status]
    assert first[:2] == ["Encoding picture 1 of 2", "Encoding picture 2 of 2"]
    assert (len(first), len(again)) == (3, 1)
    assert first[2].startswith("Reading ")
    assert again == ["Reading 1 token"]


def test_the_answer_ends_at_the_length_asked_for(engine):
    result = answer(engine, ask(), GenerationOptions(max_new_tokens=3))
    assert (result.stop_reason, result.new_tokens) == ("length", 3)


@pytest.mark.parametrize(("options", "cut"), [(GREEDY, 2), (GREEDY, 8), (replace(GREEDY, repetition_penalty=1.3), 5)])
def test_an_answer_goes_on_from_the_very_tokens_that_were_written(checkpoint, options, cut):
    """As if it had never been cut off: random weights write any bytes, so that most cuts are within a character; and
    nothing but the last token is computed again."""
    engine = LocalEngine.load(str(checkpoint), device="cpu", dtype="float32")
    whole = answer(engine, ask(Image(picture())), options)
    ids = engine.sampled(whole.trace, whole.text)
    first = answer(engine, ask(Image(picture())), replace(options, max_new_tokens=cut))
    unfinished = [*ask(Image(picture())), Message("assistant", first.text)]
    rest = answer(engine, unfinished, replace(options, max_new_tokens=12 - cut))
    assert first.text + rest.text == whole.text
    assert np.array_equal(engine.sampled(whole.trace, whole.text), ids)  # as one answer, for its attention
    assert (rest.new_tokens, rest.prompt_tokens) == (12 - cut, whole.prompt_tokens)
    assert rest.reused_tokens == whole.prompt_tokens + cut - 1
    assert np.array_equal(engine.prompt(unfinished, options).trace.input_ids, whole.trace.input_ids)


def test_an_answer_whose_tokens_are_not_known_goes_on_from_its_text(engine):
    """One of another run of the app: the prompt is that of the question, then comes the text as it is tokenized."""
    heard = []
    plain = engine._prefill
    engine._prefill = lambda sequence, *rest: heard.append(sequence.trace.input_ids) or plain(sequence, *rest)
    try:
        list(engine.stream([*ask(), Message("assistant", "A small cat")], GREEDY))
    finally:
        del engine._prefill
    prompt = engine.prepare(ask(), GREEDY).input_ids
    assert np.array_equal(heard[0], np.concatenate([prompt, engine.processor.tokenizer.encode_text("A small cat")]))


def test_a_stop_between_two_tokens_keeps_what_was_written(engine):
    cancel = threading.Event()
    text = ""
    for chunk in engine.stream(ask(), GenerationOptions(max_new_tokens=200, temperature=1, seed=3), cancel):
        text += chunk.text
        if len(text) > 3:
            cancel.set()
    assert chunk.result.stop_reason == "cancelled"
    assert chunk.result.text == text
    assert chunk.result.new_tokens < 200


def test_a_stop_during_encoding_ends_before_the_first_word(engine):
    cancel = threading.Event()
    chunks = []
    for chunk in engine.stream(ask(Image(picture(1234))), GREEDY, cancel):
        chunks.append(chunk)
        if chunk.status and chunk.status.startswith("Encoding"):
            cancel.set()
    assert chunks[-1].result.stop_reason == "cancelled"
    assert chunks[-1].result.new_tokens == 0


def test_waiting_for_the_model_can_be_stopped_and_a_closed_stream_frees_it(engine):
    running = engine.stream(ask(), GenerationOptions(max_new_tokens=200))
    next(running)  # holds the model from its first status on
    cancel = threading.Event()
    waiting = engine.stream(ask(), GREEDY, cancel)
    assert next(waiting).status == "1 before you"
    threading.Timer(0.1, cancel.set).start()
    assert next(waiting).result.stop_reason == "cancelled"
    running.close()
    assert answer(engine, ask()).stop_reason in ("end", "length")


def test_six_requests_start_in_the_order_in_which_they_came(engine):
    """With a lock in place of the queue six visitors once ended in the order 0, 1, 3, 4, 5, 2."""
    first = engine.stream(ask(), GenerationOptions(max_new_tokens=40))
    next(first)
    ended, threads = [], []

    def run(index):
        for _ in engine.stream(ask(Text(f"{index}. ")), GenerationOptions(max_new_tokens=2)):
            pass
        ended.append(index)

    for index in range(6):
        threads.append(threading.Thread(target=run, args=(index,)))
        threads[-1].start()
        wait_until(lambda expected=index + 2: len(engine.queue._tickets) == expected)
    first.close()
    for thread in threads:
        thread.join(60)
    assert ended == [0, 1, 2, 3, 4, 5]


def test_a_ticket_of_the_caller_is_honoured_and_left_to_the_caller(engine):
    running, waiting = engine.queue.join(), engine.queue.join()
    cancel = threading.Event()
    stream = engine.stream(ask(), GREEDY, cancel, ticket=waiting)
    assert next(stream).status == "1 before you"
    cancel.set()
    assert next(stream).result.stop_reason == "cancelled"
    running.leave()
    result = list(engine.stream(ask(), GREEDY, ticket=waiting))[-1].result
    assert result.new_tokens > 0
    with engine.queue.join() as other:
        assert other.position == 1  # the caller's ticket is still in front
        waiting.leave()
        assert other.position == 0


def test_a_caller_that_leaves_too_early_does_not_let_the_next_request_in(engine):
    ticket = engine.queue.join()
    stream = engine.stream(ask(), GREEDY, ticket=ticket)
    next(stream)
    ticket.leave()
    with engine.queue.join() as other:
        assert other.position == 1
        stream.close()
        assert other.position == 0


def test_a_prompt_that_is_handed_in_is_not_prepared_again(engine, monkeypatch):
    messages = ask(Image(picture(31)))
    prompt = engine.prompt(messages, GREEDY)
    expected = answer(engine, messages)
    monkeypatch.setattr(engine.processor, "process", None)
    *_, last = engine.stream(messages, GREEDY, prompt=prompt)
    assert last.result.trace is prompt.trace
    assert last.result.text == expected.text


def test_conversations_in_several_threads_get_the_answers_they_get_alone(engine):
    questions = [ask(Image(picture(i))) for i in range(3)]
    alone = [answer(engine, q).text for q in questions]
    together = [""] * 3

    def run(index):
        together[index] = answer(engine, questions[index]).text

    threads = [threading.Thread(target=run, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_prepare_tells_what_stream_then_uses(engine):
    messages = ask(Image(picture(5, (300, 900))))
    trace = engine.prepare(messages, GREEDY)
    result = answer(engine, messages)
    assert (trace.input_ids == result.trace.input_ids).all()
    assert trace.media[0].merged_tokens == (trace.input_ids == engine.model.config.image_token_id).sum()


def test_a_prompt_over_the_context_is_refused_before_anything_runs(engine):
    began = time.perf_counter()
    with pytest.raises(UserError, match=f"reads at most {engine.config.text.max_position_embeddings}") as refused:
        list(engine.stream([Message("user", "red star " * 4000)], GREEDY))
    assert "Begin a new chat or write less" in str(refused.value)
    with pytest.raises(UserError, match="Lower the image budget"):
        list(engine.stream(ask(*(Image(picture(0, (300, 400))) for _ in range(80))), GREEDY))
    assert time.perf_counter() - began < 30


def test_an_answer_never_runs_past_the_context(engine):
    trace = engine.prepare([Message("user", "red star " * 1000)], GREEDY)
    per_word = (len(trace) - len(engine.prepare([Message("user", "red star " * 500)], GREEDY))) / 500
    context = engine.config.text.max_position_embeddings
    words = int((context - len(trace)) / per_word) + 998
    messages = [Message("user", "red star " * words)]
    room = context - len(engine.prepare(messages, GREEDY))
    assert 0 < room < 40
    result = answer(engine, messages, GenerationOptions(max_new_tokens=500))
    assert result.prompt_tokens + result.new_tokens <= context


def test_timings_add_up(engine):
    timings = answer(engine, ask(Image(picture(77)))).timings
    parts = sum(timings[name] for name in ("prepare", "wait", "encode", "prefill", "decode"))
    assert timings["first_token"] == pytest.approx(parts - timings["decode"])
    assert parts <= timings["total"]


def test_the_time_to_the_first_token_includes_choosing_it(engine, monkeypatch):
    """To draw one, all logits are sorted: the answer's other tokens got this time, and they were too slow."""
    choose = Sampler.choose

    def slow(sampler, logits):
        time.sleep(0.2)
        return choose(sampler, logits)

    monkeypatch.setattr(Sampler, "choose", slow)
    timings = answer(engine, ask(Image(picture(78))), GenerationOptions(max_new_tokens=1)).timings
    assert timings["first_token"] > 0.2 > timings["decode"]


def test_an_answer_warns_of_nothing(engine, monkeypatch):
    """Pixels cut as on a GPU: PyTorch wrote a paragraph to the console, of frames that must not be written."""
    cut = []

    def there(*args, once, device):
        cut.append(args[0].flags.writeable)
        return patchify_there(*args, once=once, device=device)

    monkeypatch.setattr("qwen2vl_demo.engine.vision_cache.patchify", there)
    was = torch.is_warn_always_enabled()
    torch.set_warn_always(True)  # most of its warnings come once for a process
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            answer(engine, ask(Image(picture(79))))
    finally:
        torch.set_warn_always(was)
    assert cut == [False]


def test_running_out_of_memory_names_what_to_lower():
    for error in (
        torch.OutOfMemoryError("x"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ):
        with pytest.raises(UserError, match="Lower the budget"), memory_errors("Lower the budget."):
            raise error
    with pytest.raises(RuntimeError, match="shape"), memory_errors("Lower the budget."):
        raise RuntimeError("a shape is wrong")


def test_other_errors_that_speak_of_memory_are_not_a_full_one():
    with pytest.raises(RuntimeError, match="illegal"), memory_errors("Lower the budget."):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


def test_a_full_memory_is_given_back_while_the_error_is_told():
    """Its frames held the KV cache and the activations, so that nothing was free until the next garbage collection."""
    kept, free = [], []

    def layer():
        activations = torch.zeros(1000)
        kept.append(weakref.ref(activations))
        raise torch.OutOfMemoryError("CUDA out of memory")

    def generate():
        cache = torch.zeros(1000)
        kept.append(weakref.ref(cache))
        yield
        try:
            layer()
        except RuntimeError:
            more = torch.zeros(1000)
            kept.append(weakref.ref(more))
            raise torch.OutOfMemoryError("again, while cleaning up")  # noqa: B904

    gc.disable()
    try:
        with pytest.raises(UserError) as told, memory_errors("Less.", lambda: free.extend(r() is None for r in kept)):
            for _ in generate():
                pass
    finally:
        gc.enable()
    assert free == [True, True, True] and "ran out of memory" in str(told.value)


def test_phases_end_when_the_device_has_ended(engine, monkeypatch):
    """A GPU runs behind: the clock stopped when the prompt's kernels were launched, and the answer got their time."""
    waited = []
    monkeypatch.setattr("qwen2vl_demo.engine.result_builder.synchronize", lambda device: waited.append(device.type))
    times = iter(range(100))
    builder = ResultBuilder()
    monkeypatch.setattr(time, "perf_counter", lambda: next(times) + 10 * len(waited))
    builder._phase_started = 0
    builder.end_phase("prepare")
    assert waited == [], "preparing runs beside the answers of others, and must not wait for them"
    builder.end_phase("encode", torch.device("cuda"))
    assert waited == ["cuda"] and builder._seconds == {"prepare": 0, "encode": 11}
    monkeypatch.undo()
    waited.clear()
    monkeypatch.setattr("qwen2vl_demo.engine.result_builder.synchronize", lambda device: waited.append(device.type))
    answer(engine, ask(Image(picture(3))))
    assert len(waited) == 3, "encode, prefill and decode"


def test_the_vision_cache_forgets_the_least_used_first(engine):
    media = engine.processor.process(ask(*(Image(picture(i)) for i in range(3))), MediaOptions()).media
    tokens = torch.zeros(10, 10)
    cache = VisionCache(CacheBudget(2 * tokens.nbytes))
    cache.put("", media[0], tokens)
    cache.put("", media[1], tokens)
    assert cache.get("", media[0]) is not None  # now the more recently used of the two
    cache.put("", media[2], tokens)
    assert [cache.get("", m) is not None for m in media] == [True, False, True]


def test_without_a_model_prompts_are_prepared_and_answers_refused_in_words(checkpoint, monkeypatch):
    monkeypatch.setattr("qwen2vl_demo.engine.processors.NANO", checkpoint)
    engine = ProcessorOnlyEngine.load()
    trace = engine.prepare(ask(Image(picture(0, (720, 1280)))), GREEDY)
    assert trace.media[0].resized_size == (728, 1288)  # the released limits, not nano's
    with pytest.raises(UserError, match="--model nano"):
        engine.stream(ask(), GREEDY)


def test_a_cpu_caps_the_picture_budget_and_an_option_overrides_it(checkpoint, tmp_path):
    released = shutil.copytree(checkpoint, tmp_path / "released")
    path = released / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"min_pixels": 3136, "max_pixels": 16384 * 784}))
    engine = LocalEngine.load(str(released), device="cpu", dtype="float32")
    assert engine.pixel_limits == (3136, 1280 * 784)
    big = Image(picture(0, (1500, 1500)))
    assert engine.prepare(ask(big), GREEDY).media[0].merged_tokens <= 1280
    wide = GenerationOptions(media=MediaOptions(max_pixels=2000 * 784))
    assert engine.prepare(ask(big), wide).media[0].merged_tokens > 1280


@pytest.mark.parametrize(("quantize", "bits"), [("int8", "8"), ("int4", "4")])
def test_quantised_weights_answer_and_the_description_says_so(checkpoint, engine, quantize, bits):
    """The prompt is read with the quantised weights too: nothing is held beside them."""
    narrow = LocalEngine.load(str(checkpoint), device="cpu", dtype="float32", quantize=quantize)
    assert f"weights of {bits} bits, as asked for" in narrow.description
    assert "bits" not in engine.description
    assert narrow.decoder.extra_bytes == 0
    assert held_bytes(narrow.model) < 0.4 * held_bytes(engine.model)
    assert answer(narrow, ask(Image(picture(3)))).new_tokens > 1


def with_generation_config(checkpoint, directory, content):
    shutil.copytree(checkpoint, directory, dirs_exist_ok=True)
    (directory / "generation_config.json").write_text(content)
    return LocalEngine.load(str(directory), device="cpu", dtype="float32")


@pytest.mark.parametrize(
    "content",
    [
        "null",
        "[1, 2]",
        '"text"',
        '{"eos_token_id": ',
        "",
        '{"eos_token_id": "<|im_end|>"}',
        '{"eos_token_id": [1, "2"]}',
        '{"eos_token_id": 1.5}',
        '{"eos_token_id": true}',
        '{"eos_token_id": {"a": 1}}',
    ],
)
def test_a_broken_generation_config_is_named(checkpoint, tmp_path, content):
    """Null, for instance, ended in "AttributeError: 'NoneType' object has no attribute 'get'"."""
    with pytest.raises(UserError, match=r"generation_config\.json .* take the file again"):
        with_generation_config(checkpoint, tmp_path, content)


@pytest.mark.parametrize(
    ("content", "ids"),
    [({}, set()), ({"eos_token_id": None}, set()), ({"eos_token_id": 3}, {3}), ({"eos_token_id": [3, 4]}, {3, 4})],
)
def test_the_end_tokens_of_a_generation_config_come_beside_im_end(checkpoint, tmp_path, content, ids):
    engine = with_generation_config(checkpoint, tmp_path, json.dumps(content))
    assert engine.end_tokens == {engine.processor.tokenizer.special("<|im_end|>")} | ids
