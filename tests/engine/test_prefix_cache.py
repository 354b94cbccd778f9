"""Follow-ups on top of what is known equal answers from nothing, token for token, and nothing is computed twice."""

import dataclasses
import threading
from itertools import takewhile

import numpy as np
import PIL.Image
import pytest
import torch

from qwen2vl_demo.config import TextConfig
from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.prefix_cache import PrefixCache, PromptKey, common_length, prompt_key
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.lru_cache import CacheBudget
from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Text

GREEDY = GenerationOptions(max_new_tokens=10)
CONFIG = TextConfig(8, 2, 2, 1, 8, 10, (1, 1, 0))


def picture(seed=0):
    return PIL.Image.fromarray(np.random.default_rng(seed).integers(0, 255, (120, 150, 3), dtype=np.uint8))


def user(text, *pictures):
    return Message("user", [*(Image(p) for p in pictures), Text(text)])


def answer(engine, messages, options=GREEDY):
    return list(engine.stream(messages, options))[-1].result


def fresh(checkpoint):
    return LocalEngine.load(str(checkpoint), device="cpu", dtype="float32")


def assert_as_from_nothing(engine, checkpoint, messages, options=GREEDY):
    other = fresh(checkpoint)
    warm, cold = answer(engine, messages, options), answer(other, messages, options)
    assert cold.reused_tokens == 0
    assert (warm.text, warm.new_tokens, warm.stop_reason) == (cold.text, cold.new_tokens, cold.stop_reason)
    key = prompt_key(engine.prepare(messages, options))  # equal words may be written with different tokens
    assert engine._answers.get(key, warm.text).tolist() == other._answers.get(key, cold.text).tolist()
    return warm


def inputs(engine, messages):
    """What each token of a prompt is to the model, with pixels themselves instead of the digests that the code uses."""
    prompt = engine.prompt(messages, GREEDY)
    tokens = prompt.trace.input_ids.tolist()
    for medium, (start, end) in zip(prompt.media, (m.span for m in prompt.trace.media), strict=True):
        tokens[start:end] = [(medium.frames.tobytes(), place) for place in range(end - start)]
    return tokens


def shared(engine, one, other):
    """How many tokens two prompts truly have in common from the start on."""
    pairs = zip(inputs(engine, one), inputs(engine, other), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def entries(engine):
    return [entry for _, entry in engine._prefixes._entries.items()]


def going_on(messages, result, *turn):
    return [*messages, Message("assistant", result.text), user(*turn)]


@pytest.fixture
def asked(checkpoint):
    """An engine that has answered one question about a picture, that question, and the answer."""
    engine = fresh(checkpoint)
    messages = [user("How many shapes are there?", picture(1))]
    return engine, messages, answer(engine, messages)


def test_a_follow_up_reads_only_what_is_new(asked, checkpoint):
    engine, messages, first = asked
    messages = [*messages, Message("assistant", first.text), user("What is in this picture?")]
    warm = assert_as_from_nothing(engine, checkpoint, messages)
    assert first.prompt_tokens <= warm.reused_tokens < warm.prompt_tokens


def test_a_new_picture_in_the_second_turn_is_the_only_one_encoded(asked, checkpoint):
    engine, messages, first = asked
    messages = [*messages, Message("assistant", first.text), user("And in this one?", picture(2))]
    statuses = [c.status for c in engine.stream(messages, GREEDY) if c.status]
    assert statuses[0] == "Encoding the picture"
    assert_as_from_nothing(engine, checkpoint, messages)


def test_the_same_question_again_leaves_one_token_to_read(asked, checkpoint):
    engine, messages, first = asked
    warm = assert_as_from_nothing(engine, checkpoint, messages)
    assert warm.reused_tokens == first.prompt_tokens - 1


@pytest.mark.parametrize("change", ["question", "picture", "system", "budget", "taken away", "put before"])
def test_whatever_changes_the_answer_is_that_of_a_cold_run(asked, checkpoint, change):
    engine, messages, first = asked
    options = GREEDY
    if change == "question":
        messages = [user("How many red star are there?", picture(1))]
    elif change == "picture":
        messages = [user("How many shapes are there?", picture(2))]
    elif change == "system":
        messages = [Message("system", "What is this?"), *messages]
    elif change == "budget":
        options = dataclasses.replace(GREEDY, media=MediaOptions(max_pixels=16 * 784))
    elif change == "taken away":
        messages = [user("How many shapes are there?")]
    else:
        messages = [user("How many shapes are there?", picture(2), picture(1))]
    warm = assert_as_from_nothing(engine, checkpoint, messages, options)
    assert warm.reused_tokens < first.prompt_tokens - 1


def test_a_picture_of_the_same_size_in_its_place_is_never_taken_for_it(asked):
    """Up to the picture the prompts agree; from its first placeholder on nothing is reused."""
    engine, _messages, _ = asked
    other = [user("How many shapes are there?", picture(2))]
    start = engine.prepare(other, GREEDY).media[0].span[0]
    assert answer(engine, other).reused_tokens == start


def test_after_a_stop_in_the_middle_the_next_answer_is_right(asked, checkpoint):
    engine, _messages, _ = asked
    cancel = threading.Event()
    for chunk in engine.stream([user("What is in this picture?", picture(3))], GREEDY, cancel):
        if chunk.text:
            cancel.set()
    assert_as_from_nothing(engine, checkpoint, [user("What is in this picture?", picture(3))])


@torch.no_grad()
def test_a_prompt_stopped_inside_a_picture_goes_on_from_there(checkpoint, monkeypatch):
    monkeypatch.setattr("qwen2vl_demo.engine.generate.PREFILL_CHUNK", 40)  # the picture stands at 30 to 49
    engine, cancel, layers = fresh(checkpoint), threading.Event(), []
    model = engine.model.model
    original = model.layers[0].forward
    model.layers[0].forward = lambda *given: (layers.append(1), len(layers) == 2 and cancel.set(), original(*given))[-1]
    messages = [user("What is in this picture?", picture(4))]
    stopped = list(engine.stream(messages, GREEDY, cancel))[-1].result
    assert stopped.stop_reason == "cancelled"
    model.layers[0].forward = original
    start, end = engine.prepare(messages, GREEDY).media[0].span
    warm = assert_as_from_nothing(engine, checkpoint, messages)
    assert start < warm.reused_tokens == 40 < end


def test_two_conversations_in_turn_keep_their_own(checkpoint):
    engine = fresh(checkpoint)
    chats = [[user("What is in this picture?", picture(i))] for i in (5, 6)]
    for _ in range(2):
        for chat in chats:
            result = assert_as_from_nothing(engine, checkpoint, chat)
            chat += [Message("assistant", result.text), user("And now?")]
    assert result.reused_tokens > 30


def test_after_an_undo_another_question_and_the_first_one_again_are_answered_as_ever(asked, checkpoint):
    engine, messages, first = asked
    undone = going_on(messages, first, "What is in this picture?", picture(2))
    before = answer(engine, undone)
    another = going_on(messages, first, "How many red star are there?")
    warm = assert_as_from_nothing(engine, checkpoint, another)
    assert first.prompt_tokens < warm.reused_tokens == shared(engine, undone, another)
    again = assert_as_from_nothing(engine, checkpoint, undone)  # what was undone was not written over
    assert (again.reused_tokens, again.text) == (before.prompt_tokens - 1, before.text)


@pytest.mark.parametrize(
    "turn", [("What is in this picture?", picture(3)), ("How many red star are there?", picture(3))]
)
def test_two_visitors_who_begin_alike_share_that_and_nothing_behind_it(checkpoint, turn):
    """The same first question about the same picture; then the same words about another picture, or other words."""
    engine, begin = fresh(checkpoint), [user("How many shapes are there?", picture(1))]
    first = assert_as_from_nothing(engine, checkpoint, begin)
    assert assert_as_from_nothing(engine, checkpoint, begin).reused_tokens == first.prompt_tokens - 1
    one, other = going_on(begin, first, "What is in this picture?", picture(2)), going_on(begin, first, *turn)
    alike = shared(engine, one, other)
    one_said = assert_as_from_nothing(engine, checkpoint, one)
    assert first.prompt_tokens <= one_said.reused_tokens <= alike
    other_said = assert_as_from_nothing(engine, checkpoint, other)
    assert other_said.reused_tokens == alike
    for chat, said in ((one, one_said), (other, other_said)):
        warm = assert_as_from_nothing(engine, checkpoint, going_on(chat, said, "And now?"))
        assert said.prompt_tokens <= warm.reused_tokens < warm.prompt_tokens


def test_two_visitors_with_the_same_words_about_pictures_of_one_size_share_no_picture(checkpoint):
    engine, text = fresh(checkpoint), "What is in this picture?"
    chats = [[user(text, picture(seed))] for seed in (1, 2)]
    said = [assert_as_from_nothing(engine, checkpoint, chat) for chat in chats]
    assert said[0].prompt_tokens == said[1].prompt_tokens
    start = engine.prepare(chats[1], GREEDY).media[0].span[0]
    assert [result.reused_tokens for result in said] == [0, start] == [0, shared(engine, *chats)]
    for chat, result in zip(chats, said, strict=True):
        warm = assert_as_from_nothing(engine, checkpoint, going_on(chat, result, "And now?"))
        assert result.prompt_tokens <= warm.reused_tokens < warm.prompt_tokens


def test_the_least_used_conversation_goes_when_memory_is_full_and_is_answered_as_from_nothing(checkpoint):
    engine, size = fresh(checkpoint), []
    chats = {name: [user("What is in this picture?", picture(seed))] for name, seed in (("a", 1), ("b", 2), ("c", 3))}
    common = engine.prepare(chats["a"], GREEDY).media[0].span[0]  # what all of them begin with

    def turn(name):
        result = assert_as_from_nothing(engine, checkpoint, chats[name])
        # What random weights say is broken bytes, which written out anew can be any number of tokens.
        chats[name] = going_on(chats[name], dataclasses.replace(result, text="Yes."), "And now?")
        size.append(sum(entry.cache.nbytes for entry in entries(engine)))
        return result

    turn("a")
    budget = 5 * size[0] // 2  # two conversations, of which one or both may have two turns
    engine._prefixes = PrefixCache(CacheBudget(budget))
    first = {name: turn(name) for name in "ab"}
    assert turn("a").reused_tokens > common
    first["c"] = turn("c")  # now b was used least
    assert turn("b").reused_tokens == common
    assert turn("c").reused_tokens >= first["c"].prompt_tokens
    assert turn("a").reused_tokens == common  # gone when b came back
    assert max(size) <= budget


def test_a_conversation_larger_than_the_memory_for_all_is_not_kept(asked, checkpoint):
    engine, messages, _ = asked
    engine._prefixes = PrefixCache(CacheBudget(entries(engine)[0].cache.nbytes - 1))
    for _ in range(2):
        assert assert_as_from_nothing(engine, checkpoint, messages).reused_tokens == 0
        assert entries(engine) == []


def test_running_out_of_memory_gives_back_what_was_kept(asked, monkeypatch):
    engine, messages, first = asked

    def full(*_):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr("qwen2vl_demo.engine.local.prefill", full)
    with pytest.raises(UserError, match="Lower the image budget"):
        answer(engine, messages)
    monkeypatch.undo()
    again = answer(engine, messages)
    assert (again.reused_tokens, again.text) == (0, first.text)


def test_the_longest_common_prefix_is_found_and_the_least_used_goes_first():
    def cache(length):
        made = KVCache(CONFIG, 10, device=torch.device("cpu"), dtype=torch.float32)
        made.advance(length)
        return made

    def key(*numbers):
        return PromptKey(np.array(numbers), "", 0)

    assert common_length(key(1, 2, 3), key(1, 2, 4, 5)) == 2
    assert common_length(key(1, 2), key(1, 2, 3)) == 2
    kept = PrefixCache(CacheBudget(2 * cache(0).nbytes))
    short, long = cache(2), cache(4)
    kept.put(key(1, 2), short)
    kept.put(key(1, 2, 3, 4), long)
    branch = kept.take(key(1, 2, 3, 9), 10)
    assert branch is not long  # it only begins alike: the other conversation keeps its cache
    assert (branch.length, long.length) == (3, 4)
    assert kept.take(key(1, 2, 3, 4, 5), 10) is long  # it goes on
    kept.put(key(1, 2, 3, 4), long)
    kept.put(key(7, 8), cache(2))  # a third one: `short` was used least recently
    assert kept.take(key(1, 2, 9), 10).length == 2
    assert kept.take(key(1, 2, 3, 4, 9), 10) is long
    assert kept.take(key(1, 2, 9), 10) is None
    assert kept.take(key(5, 6), 10) is None


def test_equal_pictures_have_equal_numbers_and_different_ones_never(asked):
    engine, _messages, _ = asked
    one, same, other = (
        prompt_key(engine.prepare([user("Hi", p)], GREEDY)).numbers for p in (picture(1), picture(1), picture(2))
    )
    assert (one == same).all()
    start, end = engine.prepare([user("Hi", picture(1))], GREEDY).media[0].span
    assert (one[start:end] != other[start:end]).all()
    assert (one[start:end] < 0).all()
    assert len(set(one[start:end].tolist())) == end - start


def test_a_cache_that_grows_keeps_its_tokens():
    small = KVCache(CONFIG, 3, device=torch.device("cpu"), dtype=torch.float32)
    for layer in range(2):
        small.append(layer, torch.randn(1, 1, 2, 4), torch.randn(1, 1, 2, 4))
    small.advance(2)
    large = small.reserve(8)
    assert (large.capacity, large.length, small.reserve(3) is small) == (8, 2, True)
    assert torch.equal(large.keys[..., :2, :], small.keys[..., :2, :])
    assert torch.equal(large.values[..., :2, :], small.values[..., :2, :])
    with pytest.raises(ValueError, match="cannot take number 4"):
        small.append(0, torch.randn(1, 1, 2, 4), torch.randn(1, 1, 2, 4))


def test_a_picture_read_at_other_positions_is_not_taken_for_the_same(asked, checkpoint):
    """What stands before the picture is shared by all schemes, the picture and what follows by none."""
    engine, messages, _ = asked
    schemes = {name: dataclasses.replace(GREEDY, positions=name) for name in ("mrope", "silenced", "1d")}
    start = engine.prepare(messages, GREEDY).media[0].span[0]
    keys = {name: prompt_key(engine.prepare(messages, options)) for name, options in schemes.items()}
    for name, options in schemes.items():
        for other in schemes.keys() - {name}:
            assert common_length(keys[name], keys[other]) == start
        assert_as_from_nothing(engine, checkpoint, messages, options)
