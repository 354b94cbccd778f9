"""Where a word looked, by the engine: equal to transformers' eager attention, and the caches stay as they were."""

import threading

import numpy as np
import PIL.Image
import pytest
import torch

from qwen2vl_demo.attention_trace import query_places
from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.processor_only import ProcessorOnlyEngine
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.engine.remote.engine import RemoteEngine
from qwen2vl_demo.engine.remote.media_parts import clip_file
from qwen2vl_demo.engine.remote.server import Server
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.processing.messages import Image, Message, Text, Video
from qwen2vl_demo.processing.patches import patchify

GREEDY = GenerationOptions(max_new_tokens=10)
SEVERAL_WORDS = "There are 3 red stars."  # an answer that no random weights have a say in
WARM = GenerationOptions(max_new_tokens=10, temperature=1.0, seed=5)


def picture(seed, size=(120, 150)):
    return Image(PIL.Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)))


def clip(seed):
    frames = np.random.default_rng(seed).integers(0, 255, (6, 84, 84, 3), dtype=np.uint8)
    return Video(clip_file(frames))


def ask(*parts):
    return [Message("user", [*parts, Text("What is in this picture?")])]


CHATS = {
    "words": ask(),
    "picture": ask(picture(1)),
    "pictures": ask(picture(2), picture(3, (90, 200)), picture(4)),
    "clip": ask(clip(5)),
    "picture and clip": ask(picture(6), clip(7)),
}


@pytest.fixture
def fresh(checkpoint):
    return lambda: LocalEngine.load(str(checkpoint), device="cpu", dtype="float32")


def answer(engine, messages, options=GREEDY):
    return list(engine.stream(messages, options))[-1].result


def longest(words):
    """The word with most tokens, not the first of the answer."""
    return max(range(1, len(words)), key=lambda i: (words[i].end - words[i].start, i))


@torch.no_grad()
def eager_attention(checkpoint, engine, messages, ids):
    """transformers with eager attention on the same files, over prompt and answer in one pass: (layers, H, L, L)."""
    import transformers

    theirs = transformers.Qwen2VLForConditionalGeneration.from_pretrained(
        checkpoint, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    inputs = eager_inputs(engine, messages, ids)
    return torch.stack(theirs(**inputs, output_attentions=True).attentions)[:, 0].numpy()


def eager_inputs(engine, messages, ids):
    """What transformers takes for a prompt followed by the ids of an answer."""
    prompt, config = engine.processor.process(messages, GREEDY.media), engine.model.config
    sequence = torch.from_numpy(np.concatenate([prompt.trace.input_ids, ids]))[None]
    inputs = {"input_ids": sequence, "attention_mask": torch.ones_like(sequence)}
    image, video = sequence == config.image_token_id, sequence == config.video_token_id
    inputs["mm_token_type_ids"] = image.int() + 2 * video.int()
    for kind, pixels, grid in (
        ("image", "pixel_values", "image_grid_thw"),
        ("video", "pixel_values_videos", "video_grid_thw"),
    ):
        media = [m for m in prompt.media if m.kind == kind]
        if media:
            inputs[pixels] = torch.cat([patchify(m.frames, config.vision, engine.processor.image) for m in media])
            inputs[grid] = torch.tensor([m.grid_thw for m in media])
    return inputs


@pytest.mark.parametrize("chat", CHATS)
def test_it_equals_transformers_eager_attention(fresh, checkpoint, chat):
    """Of each of the word's tokens, the row one place before it; shorter rows count as zero where they see nothing."""
    engine, messages = fresh(), CHATS[chat]
    chosen = answer(engine, messages).text  # of random weights: it may be a single word
    given = engine.answer_words(engine.prepare(messages, GREEDY), SEVERAL_WORDS)
    for text, number in ((chosen, 0), (SEVERAL_WORDS, 0), (SEVERAL_WORDS, longest(given))):
        trace = engine.word_attention(engine.prompt(messages, GREEDY), text, number)
        assert trace.exact_tokens == (text == chosen)
        rows = eager_attention(checkpoint, engine, messages, trace.answer_ids)
        begin = len(trace.prompt) - 1 + trace.word.start
        end = len(trace.prompt) - 1 + trace.word.end
        expected = rows[:, :, begin:end].mean(axis=2)[..., :end]
        assert trace.weights.shape == expected.shape
        np.testing.assert_allclose(trace.weights, expected, atol=5e-5, rtol=1e-3)
        np.testing.assert_allclose(trace.weights.sum(-1), 1, atol=1e-5)


def test_right_after_an_answer_only_the_words_own_steps_are_run(fresh):
    engine, messages = fresh(), CHATS["pictures"]
    text = answer(engine, messages, WARM).text
    words = engine.answer_words(engine.prepare(messages, WARM), text)
    trace = engine.word_attention(engine.prompt(messages, WARM), text, longest(words))
    assert trace.exact_tokens
    assert trace.computed_tokens == trace.word.end - trace.word.start
    assert list(trace.queries) == list(query_places(len(trace.prompt), trace.word))
    assert trace.tokens()[: len(trace.prompt)] == trace.prompt.tokens
    assert len(trace.tokens()) == trace.weights.shape[2]


@pytest.mark.parametrize("chat", ["pictures", "picture and clip"])
def test_with_nothing_in_memory_it_is_read_again_and_then_known(fresh, chat):
    """Another engine has never seen the conversation: same weights, and the second word costs one step."""
    text, warm, cold, messages = SEVERAL_WORDS, fresh(), fresh(), CHATS[chat]
    answer(warm, messages)
    words = warm.answer_words(warm.prepare(messages, GREEDY), text)
    assert [w.text for w in words] == ["There", "are", "3", "red", "stars", "."]
    number = longest(words)
    there, here = (engine.word_attention(engine.prompt(messages, GREEDY), text, number) for engine in (warm, cold))
    assert not here.exact_tokens
    assert there.computed_tokens < 30 < len(here.prompt) < here.computed_tokens
    np.testing.assert_allclose(here.weights, there.weights, atol=1e-5)
    again = cold.word_attention(cold.prompt(messages, GREEDY), text, number)
    assert again.computed_tokens == again.word.end - again.word.start
    np.testing.assert_array_equal(again.weights, here.weights)


def test_an_earlier_answer_is_found_behind_the_conversation_that_went_on(fresh):
    engine, first = fresh(), CHATS["picture"]
    text = answer(engine, first).text
    before = engine.word_attention(engine.prompt(first, GREEDY), text, 1)
    answer(engine, [*first, Message("assistant", text), Message("user", "And now?")])
    after = engine.word_attention(engine.prompt(first, GREEDY), text, 1)
    assert after.computed_tokens == before.computed_tokens
    np.testing.assert_allclose(after.weights, before.weights, atol=1e-6)


def test_looking_leaves_the_caches_as_they_are(fresh):
    """To the bit: the keys and values that were kept, and what the next turn reuses and says."""
    engine, plain, messages = fresh(), fresh(), CHATS["pictures"]
    text = answer(engine, messages).text
    assert answer(plain, messages).text == text
    ((_, entry),) = engine._prefixes._entries.items()
    key, keys, values = entry.key.numbers.copy(), entry.cache.keys.clone(), entry.cache.values.clone()
    for word in range(len(engine.answer_words(engine.prepare(messages, GREEDY), text))):
        engine.word_attention(engine.prompt(messages, GREEDY), text, word)
    assert [e.cache for _, e in engine._prefixes._entries.items()] == [entry.cache]
    assert (entry.key.numbers == key).all()
    held = entry.cache.length
    assert torch.equal(entry.cache.keys[..., :held, :], keys[..., :held, :])
    assert torch.equal(entry.cache.values[..., :held, :], values[..., :held, :])
    following = [*messages, Message("assistant", text), Message("user", "And now?")]
    one, other = answer(engine, following), answer(plain, following)
    assert (one.text, one.reused_tokens) == (other.text, other.reused_tokens)


def test_an_answer_cut_at_its_length_keeps_its_last_word(fresh):
    engine, messages = fresh(), CHATS["picture"]
    options = GenerationOptions(max_new_tokens=3)
    result = answer(engine, messages, options)
    assert result.stop_reason == "length"
    words = engine.answer_words(engine.prepare(messages, options), result.text)
    trace = engine.word_attention(engine.prompt(messages, options), result.text, len(words) - 1)
    assert len(trace.answer_ids) == 3
    assert trace.exact_tokens


def test_while_another_answer_is_written_it_waits_and_can_be_stopped(fresh):
    engine, messages = fresh(), CHATS["picture"]
    text = answer(engine, messages).text
    running = engine.stream(ask(), GenerationOptions(max_new_tokens=200))
    next(running)  # holds the model
    cancel = threading.Event()
    threading.Timer(0.2, cancel.set).start()
    assert engine.word_attention(engine.prompt(messages, GREEDY), text, 0, cancel) is None
    running.close()
    assert engine.word_attention(engine.prompt(messages, GREEDY), text, 0) is not None


def test_a_stop_while_the_prompt_is_read_again_leaves_a_right_cache(fresh):
    engine, messages = fresh(), CHATS["pictures"]
    text = answer(fresh(), messages).text
    layer, cancel = engine.model.model.layers[2], threading.Event()
    original = layer.forward
    layer.forward = lambda *given: (cancel.set(), original(*given))[1]
    assert engine.word_attention(engine.prompt(messages, GREEDY), text, 1, cancel) is None
    layer.forward = original
    with engine.queue.join() as ticket:
        assert ticket.position == 0
    assert answer(engine, messages).text == text


def test_a_word_that_is_not_there_is_refused_in_words(fresh):
    engine, messages = fresh(), CHATS["words"]
    text = answer(engine, messages).text
    count = len(engine.answer_words(engine.prepare(messages, GREEDY), text))
    for number in (-1, count):
        with pytest.raises(UserError, match=f"has {count} words"):
            engine.word_attention(engine.prompt(messages, GREEDY), text, number)
    with pytest.raises(UserError, match="has 0 words"):
        engine.word_attention(engine.prompt(messages, GREEDY), "", 0)
    assert engine.answer_words(engine.prepare(messages, GREEDY), "") == ()


@pytest.mark.parametrize("kind", ["none", "remote"])
def test_an_engine_that_cannot_see_it_says_why(checkpoint, monkeypatch, kind):
    monkeypatch.setattr("qwen2vl_demo.engine.processors.NANO", checkpoint)
    engine = ProcessorOnlyEngine.load()
    if kind == "remote":
        engine = RemoteEngine(Server("http://localhost:1/v1", "m", None, 1.0), engine.processor, exact_text=False)
    advice = {"none": "--model nano", "remote": "a model that runs here"}[kind]
    for call in (
        lambda: engine.answer_words(engine.prepare(ask(), GREEDY), "Red."),
        lambda: engine.word_attention(engine.prompt(ask(), GREEDY), "Red.", 0),
        engine.laboratory,
    ):
        with pytest.raises(UserError, match=advice):
            call()
