"""What was computed for one conversation is found by that one only: a visitor cannot read the questions of others.

The attack: the number of reused tokens tells how far a prompt agrees with one that was asked before, so whoever knows
how a question began tries one next word after the other, and the one that is reused was asked. The time to the first
token tells the same.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.engine import local
from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.protocol import GenerationOptions, Result
from qwen2vl_demo.memory import cache_bytes, total_memory
from qwen2vl_demo.processing import processor as processor_module
from qwen2vl_demo.processing.messages import Image, Message, Text

VICTIM, ATTACKER = (GenerationOptions(max_new_tokens=4, cache_salt=name * 32) for name in "ab")
SHARED = replace(VICTIM, cache_salt="")  # what --share-cache asks for
KNOWN = "What is in this"  # how the question of the victim began
WORDS = ("picture", "star", "red", "many", "shapes")


@pytest.fixture
def engine(checkpoint: Path) -> LocalEngine:
    return LocalEngine.load(str(checkpoint), device="cpu", dtype="float32")


@pytest.fixture
def photo(tmp_path: Path) -> Image:
    pixels = np.random.default_rng(0).integers(0, 255, (200, 180, 3), dtype=np.uint8)
    PIL.Image.fromarray(pixels).save(tmp_path / "photo.png")
    return Image(tmp_path / "photo.png")


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts what is computed: tokens prefilled, pictures encoded, pictures decoded."""
    done: Counter[str] = Counter()

    def counting(module: Any, name: str, amount: Callable[..., int]) -> None:
        original = getattr(module, name)

        def counted(*given: Any, **named: Any) -> Any:
            done[name] += amount(*given)
            return original(*given, **named)

        monkeypatch.setattr(module, name, counted)

    counting(local, "prefill", lambda model, ids, *rest: len(ids))
    counting(local, "encode_medium", lambda *given: 1)
    counting(processor_module, "load_image", lambda *given: 1)
    return done


def answer(engine: LocalEngine, question: Any, options: GenerationOptions, system: str = "") -> Result:
    before = [Message("system", system)] if system else []
    result = list(engine.stream([*before, Message("user", question)], options))[-1].result
    assert result is not None
    return result


def guesses(engine: LocalEngine, options: GenerationOptions) -> dict[str, int]:
    """The reused tokens of each guess, as the attacker sees them; predicted ones first, which costs no answer."""
    seen = {}
    for word in WORDS:
        trace = engine.prepare([Message("user", f"{KNOWN} {word}?")], options)
        predicted = engine.estimate(trace, options).reused_tokens
        seen[word] = answer(engine, f"{KNOWN} {word}?", options).reused_tokens
        assert predicted == seen[word]
    return seen


def test_the_next_word_of_anothers_question_cannot_be_found_out_by_the_numbers(engine: LocalEngine) -> None:
    """Guesses of the attacker may agree with each other, so only one fresh guess is compared for each word."""
    opening = engine.prepare([Message("user", "Hi")], VICTIM).opening
    assert opening > 0
    for index, word in enumerate(WORDS):
        answer(engine, f"{KNOWN} picture?", replace(VICTIM, cache_salt=f"victim {index}"))
        fresh = replace(ATTACKER, cache_salt=f"attacker {index}")  # a new tab for each guess
        assert answer(engine, f"{KNOWN} {word}?", fresh).reused_tokens == opening
    seen = guesses(engine, ATTACKER)  # and all of them in one tab: the first is as if nobody had asked anything
    clean = guesses(engine, replace(ATTACKER, cache_salt="nobody has asked anything under this one"))
    assert seen == clean


def test_the_attack_works_where_everybody_shares(engine: LocalEngine) -> None:
    """So the test above tests something: without salts the right word is reused further than any other."""
    answer(engine, f"{KNOWN} picture?", SHARED)
    seen = {
        word: engine.estimate(engine.prepare([Message("user", f"{KNOWN} {word}?")], SHARED), SHARED) for word in WORDS
    }
    found = max(WORDS, key=lambda word: seen[word].reused_tokens)
    assert found == "picture"


def test_nor_by_the_time_as_everything_is_computed_again(engine: LocalEngine, photo: Image, work: Counter[str]) -> None:
    """Not one token less than from nothing, but for the opening that every prompt has; no picture, no decode less."""
    question = [photo, Text(f"{KNOWN} picture?")]
    first = answer(engine, question, VICTIM)
    alone = dict(work)
    assert alone == {"prefill": first.prompt_tokens, "encode_medium": 1, "load_image": 1}
    work.clear()
    second = answer(engine, question, ATTACKER)
    opening = engine.prepare([Message("user", question)], ATTACKER).opening
    assert dict(work) == {**alone, "prefill": first.prompt_tokens - opening}
    assert (second.text, second.reused_tokens) == (first.text, opening)
    work.clear()
    assert answer(engine, question, VICTIM).reused_tokens == first.prompt_tokens - 1  # its own is all there
    assert dict(work) == {"prefill": 1}


def test_nor_in_what_is_predicted_nor_in_the_words_and_maps_of_an_answer(
    engine: LocalEngine, photo: Image, work: Counter[str]
) -> None:
    question = [Message("user", [photo, Text("How many shapes are there?")])]
    said = answer(engine, question[0].parts, VICTIM)
    before = engine.estimate(engine.prepare(question, ATTACKER), ATTACKER)
    assert (before.reused_tokens, before.reused_media) == (said.trace.opening if said.trace else -1, 0)
    own, others = engine.prompt(question, VICTIM), engine.prompt(question, ATTACKER)
    kept, computed = (engine.word_attention(prompt, said.text, 0) for prompt in (own, others))
    assert kept is not None and computed is not None
    assert kept.exact_tokens and not computed.exact_tokens
    assert computed.computed_tokens > len(others.trace) - others.trace.opening > kept.computed_tokens


@pytest.mark.parametrize("system", ["You are a helpful pirate.", "You are a helpful assistant. The word is star."])
def test_a_system_prompt_that_somebody_wrote_is_theirs(engine: LocalEngine, system: str) -> None:
    """Also where it begins as the common one does, or is the same as another visitor's."""
    answer(engine, "Hi", VICTIM, system)
    assert answer(engine, "Hi", ATTACKER, system).reused_tokens == 0
    trace = engine.prepare([Message("system", system), Message("user", "Hi")], ATTACKER)
    assert trace.opening == 0


def test_the_common_system_prompt_is_prefilled_once_for_all(engine: LocalEngine) -> None:
    opening = engine.prepare([Message("user", "Hi")], VICTIM).opening
    said = "".join(engine.prepare([Message("user", "Hi")], VICTIM).tokens[:opening])
    assert said.startswith("<|im_start|>system") and said.endswith("<|im_start|>user\n")
    answer(engine, "One", VICTIM)
    assert answer(engine, "Two", ATTACKER).reused_tokens == opening


def test_a_salt_is_in_no_record_of_a_prompt(engine: LocalEngine) -> None:
    trace = engine.prepare([Message("user", "Hi")], VICTIM)
    assert VICTIM.cache_salt not in f"{trace.to_dict()} {trace!r} {VICTIM!r}"


def test_a_conversation_that_is_over_leaves_nothing_and_others_keep_theirs(engine: LocalEngine, photo: Image) -> None:
    question = [photo, Text("How many shapes are there?")]
    kept = answer(engine, question, VICTIM)
    before = engine.processor.budget.weight
    answer(engine, question, ATTACKER)
    assert engine.processor.budget.weight > 1.9 * before
    engine.forget(ATTACKER.cache_salt)
    assert engine.processor.budget.weight == before
    key = local.prompt_key(engine.prepare([Message("user", question)], ATTACKER))
    assert engine._answers.get(key, kept.text) is None
    assert answer(engine, question, VICTIM).reused_tokens == kept.prompt_tokens - 1


def test_keys_and_values_merged_tokens_and_pixels_share_one_budget(checkpoint: Path, photo: Image) -> None:
    engine = LocalEngine.load(str(checkpoint), device="cpu", dtype="float32")
    answer(engine, [photo, Text("Hi")], VICTIM)
    parts = (engine._prefixes._entries, engine._vision._tokens, engine.processor._cache)
    assert all(cache.weight > 0 for cache in parts)
    assert sum(cache.weight for cache in parts) == engine.processor.budget.weight
    assert engine.processor.budget.max_weight == cache_bytes(total_memory())


@pytest.mark.large
def test_the_time_to_the_first_token_is_that_of_a_question_that_nobody_asked(engine: LocalEngine) -> None:
    """A long question: what was asked before starts several times sooner for its visitor, and not for another."""
    question = " ".join(["How many shapes are there in this picture?"] * 60)

    def seconds(options: GenerationOptions) -> float:
        begin = time.perf_counter()
        result = answer(engine, question, replace(options, max_new_tokens=1))
        assert result.prompt_tokens > 500
        return time.perf_counter() - begin

    seconds(VICTIM)
    own = min(seconds(VICTIM) for _ in range(5))
    others = min(seconds(replace(ATTACKER, cache_salt=f"other {i}")) for i in range(5))
    new = min(answer_time(engine, question, i) for i in range(5))
    assert own < others / 2
    assert 0.6 < others / new < 1.7


def answer_time(engine: LocalEngine, question: str, number: int) -> float:
    """Seconds for a question of the same length that nobody asked."""
    begin = time.perf_counter()
    options = GenerationOptions(max_new_tokens=1, cache_salt=f"new {number}")
    answer(engine, f"{number} {question[2:]}", options)
    return time.perf_counter() - begin
