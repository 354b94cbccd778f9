"""A prompt is prepared once, kept within a budget, and shared by all that show it."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.processing.messages import Message
from qwen2vl_demo.processing.processor import Processor, Prompt
from qwen2vl_demo.ui.chat.attachments import store_files
from qwen2vl_demo.ui.chat.conversation import Answer, Conversation, Turn
from qwen2vl_demo.ui.chat.export import export_json, import_json
from qwen2vl_demo.ui.chat.prompts import Prompts
from qwen2vl_demo.ui.chat.saved_chat import dumps, from_record, loads
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.ui.panel.attention import NEUTRAL
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Draft, Session
from tests import asynchronous
from tests.fake_engine import FakeEngine
from tests.ui.conftest import VALUES, ask, respond

Files = Callable[[str], str]
OPTIONS = GenerationOptions()


def question(parts: Parts, files: Files, name: str = "cat.png") -> Conversation:
    return Conversation((Turn("What is it?", store_files(parts.store, Session(), [files(name)])[0]),))


def test_sampling_and_the_answer_do_not_change_a_prompt_but_budgets_and_positions_do(
    parts: Parts, files: Files
) -> None:
    prompts, asked = Prompts(parts.engine, parts.store), question(parts, files)
    prepared = prompts.prepare(asked, OPTIONS)
    assert (
        prompts.prepare(asked.answered(Answer("A cat.", "end")), replace(OPTIONS, temperature=1.0, seed=7)) is prepared
    )
    smaller = replace(OPTIONS, media=replace(OPTIONS.media, max_pixels=50 * 784))
    for other in (smaller, replace(OPTIONS, positions="1d"), replace(OPTIONS, add_vision_id=True)):
        assert prompts.prepare(asked, other) is not prepared
    assert prompts.prepare(replace(asked, system="Be brief."), OPTIONS) is not prepared


def test_the_pixels_of_all_prompts_keep_to_a_budget(parts: Parts, files: Files) -> None:
    """cat.png becomes 308x252 pixels of 3 bytes: 232,848 bytes and little more."""
    prompts = Prompts(parts.engine, parts.store, max_bytes=300_000)
    first, second = question(parts, files), question(parts, files, "dog.png")
    prepared = prompts.prepare(first, OPTIONS)
    assert prompts.prepare(first, OPTIONS) is prepared
    prompts.prepare(second, OPTIONS)
    assert prompts.prepare(first, OPTIONS) is not prepared


def test_what_cannot_become_a_prompt_is_a_sentence_each_time(parts: Parts, files: Files) -> None:
    prompts = Prompts(parts.engine, parts.store)
    (medium,) = question(parts, files).turns[0].media
    (parts.store.folder / medium.file).write_bytes(b"no picture any more")
    for _ in range(2):
        with pytest.raises(UserError, match=r"^cat\.png is a text file"):
            prompts.prepare(Conversation((Turn("?", (medium,)),)), OPTIONS)


def test_a_turn_is_processed_once_by_the_real_engine(
    store: MediaStore, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stream, panel and attention map: one call of `Processor.process`, where there were three."""
    parts = Parts.build(LocalEngine.load("nano", device="cpu", dtype="float32"), store)
    calls: list[str] = []
    process = Processor.process

    def counted(self: Processor, messages: Any, *arguments: Any, **named: Any) -> Any:
        calls.append(messages[-1].text)
        return process(self, messages, *arguments, **named)

    monkeypatch.setattr(Processor, "process", counted)
    session = parts.sessions.open("tab", None)
    ask(parts, session, "What is in this picture?", files("cat.png"))
    parts.preview.refresh(session, Draft(), VALUES)
    request = {"answer": parts.attention.words(session)["answer"], "word": 0, "choice": "all"}
    found = asynchronous.run(parts.attention.map_word(session, request))
    assert found is not None and found["map"]
    assert calls[0] == "What is in this picture?" and calls[1:] in ([], [NEUTRAL])  # where a map is cheap


def test_the_panel_shows_the_prompt_that_was_answered_where_it_differs_from_the_one_before(
    store: MediaStore, files: Files
) -> None:
    """As when a server turns out to take no clips, and gets their frames as pictures."""

    class Learning(FakeEngine):
        learnt = False

        def prompt(self, messages: Sequence[Message], options: GenerationOptions, *rest: Any) -> Prompt:
            system = [Message("system", "otherwise")] if self.learnt else []
            return super().prompt([*system, *messages], options, *rest)

        def stream(self, messages: Sequence[Message], options: GenerationOptions, *rest: Any, **named: Any) -> Any:
            self.learnt = True
            yield from super().stream(messages, options, *rest, **{**named, "prompt": self.prompt(messages, options)})

    parts = Parts.build(Learning(step=0), store)
    session = parts.sessions.open("tab", None)
    parts.controller.begin(session, Draft("Hello"))
    assert list(respond(parts, session))[-1].prompt_sent
    panel = parts.preview.refresh(session, Draft(), VALUES).panel
    assert panel is not None and panel.trace is not None and "otherwise" in panel.trace.tokens


def test_what_did_not_act_is_told_below_the_answer_and_kept_with_it(store: MediaStore) -> None:
    class Deaf(FakeEngine):
        def stream(self, *arguments: Any, **named: Any) -> Any:
            for chunk in super().stream(*arguments, **named):
                result = chunk.result
                yield chunk if result is None else replace(chunk, result=replace(result, notes=("top_k does not act",)))

    parts = Parts.build(Deaf(step=0), store)
    session = parts.sessions.open("tab", None)
    parts.controller.begin(session, Draft("Hello"))
    shown = list(respond(parts, session))[-1].rows
    assert shown is not None and json.loads(shown)[-1]["statistics"].endswith(" · top_k does not act")
    assert from_record(loads(dumps(session.conversation))) == session.conversation


def test_a_visitor_sees_nothing_of_what_others_asked_unless_caches_are_shared(store: MediaStore, files: Files) -> None:
    """The page states the reused tokens; two tabs, the same picture, the same question."""
    engine = LocalEngine.load("nano", device="cpu", dtype="float32")
    reused = {}
    for share in (False, True):
        parts = Parts.build(engine, store, GenerationOptions(max_new_tokens=2), share_cache=share)
        for tab in ("victim", "attacker"):
            session = parts.sessions.open(tab, None)
            ask(parts, session, "What is in this picture?", files("cat.png"))
            last = session.conversation.last
            assert last is not None and last.answer is not None and last.answer.numbers is not None
            reused[share, tab] = last.answer.numbers.reused_tokens
            prompt_tokens = last.answer.numbers.prompt_tokens
    prepared = parts.prompts.prepare(session.conversation, OPTIONS)
    assert reused[False, "attacker"] == prepared.trace.opening < 40 < prompt_tokens
    assert reused[True, "attacker"] == prompt_tokens - 1


def test_retry_undo_and_a_reloaded_tab_find_what_their_conversation_computed(store: MediaStore, files: Files) -> None:
    parts = Parts.build(LocalEngine.load("nano", device="cpu", dtype="float32"), store)
    session = parts.sessions.open("tab", None)
    ask(parts, session, "What is in this picture?", files("cat.png"))
    kept = dumps(session.conversation)
    parts.sessions.drop("tab")
    reloaded = parts.sessions.open("another tab", kept)
    prompt = parts.prompts.prepare(reloaded.conversation, OPTIONS)
    assert parts.engine.estimate(prompt.trace, OPTIONS).reused_tokens == len(prompt.trace) - 1
    ask(parts, reloaded, "And what colour is it?")
    last = reloaded.conversation.last
    assert last is not None and last.answer is not None and last.answer.numbers is not None
    assert last.answer.numbers.reused_tokens >= len(prompt.trace)
    parts.controller.undo(reloaded)
    again = parts.prompts.prepare(reloaded.conversation, OPTIONS)
    assert parts.engine.estimate(again.trace, OPTIONS).reused_tokens == len(prompt.trace) - 1
    parts.controller.clear(reloaded)  # "forgotten": the same question is a new one
    assert reloaded.conversation.cache_salt != session.conversation.cache_salt


def test_a_chat_that_is_saved_as_a_file_does_not_hold_its_salt(parts: Parts, files: Files) -> None:
    """It may be passed on; who opens it has a conversation of their own. The browser keeps it, for a reload."""
    asked = question(parts, files)
    assert asked.cache_salt in dumps(asked) and from_record(loads(dumps(asked))).cache_salt == asked.cache_salt
    text = export_json(asked, parts.store, "nano")
    assert asked.cache_salt not in text
    opened = import_json(text, parts.store)
    assert opened == asked and opened.cache_salt != asked.cache_salt
    assert len({Conversation().cache_salt for _ in range(20)}) == 20
    for forged in (7, "", "x" * 32, "ab" * 5000):
        record = loads(dumps(asked)) | {"cache_salt": forged}
        assert re.fullmatch("[0-9a-f]{32}", from_record(record).cache_salt)
