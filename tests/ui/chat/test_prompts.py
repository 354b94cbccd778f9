"""A prompt is prepared once, kept within a budget, and shared by all that show it."""

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
from qwen2vl_demo.ui.chat.prompts import Prompts
from qwen2vl_demo.ui.chat.saved_chat import dumps, from_record, loads
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Draft, Session
from tests import asynchronous
from tests.fake_engine import FakeEngine
from tests.ui.conftest import VALUES, ask, respond

Files = Callable[[str], str]
OPTIONS = GenerationOptions()


def question(parts: Parts, files: Files, name: str = "cat.png") -> Conversation:
    return Conversation((Turn("What is it?", store_files(parts.store, Session(), [files(name)])),))


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
    assert calls == ["What is in this picture?"]


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
    shown = list(respond(parts, session))[-1].numbers
    assert shown is not None and shown.endswith("stopped: end · top_k does not act")
    assert from_record(loads(dumps(session.conversation))) == session.conversation
