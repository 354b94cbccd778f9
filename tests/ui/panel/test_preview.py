"""What there is to see: the prompt of the chat or of the draft, with the pixels that were cut, and nothing outdated."""

from collections.abc import Callable

import numpy as np
import pytest

from qwen2vl_demo.ui.panel.picture_tab import chosen_budget
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Draft, Run, Session
from tests.ui.conftest import VALUES, respond

Files = Callable[[str], str]


@pytest.fixture
def session(parts: Parts) -> Session:
    return parts.sessions.open("tab", None)


def send(parts: Parts, session: Session, draft: Draft) -> None:
    parts.controller.begin(session, draft)
    list(respond(parts, session))
    parts.controller.answers.finish(session)


def test_a_draft_is_seen_before_it_is_sent_and_the_chat_again_without_it(
    parts: Parts, session: Session, files: Files
) -> None:
    send(parts, session, Draft("One?", (files("cat.png"),)))
    draft = parts.preview.refresh(session, Draft("Two?", (files("dog.jpg"), files("clip.mp4"))), VALUES)
    assert draft.panel and draft.panel.draft and draft.panel.trace
    assert [m.kind for m in draft.panel.trace.media] == ["image", "image", "video"]
    assert [pixels.shape[1:3] for pixels in draft.panel.frames] == [m.resized_size for m in draft.panel.trace.media]
    assert draft.cost and draft.cost.startswith("1 picture and 1 clip")
    assert (
        len(session.conversation.turns) == 1 and session.shown is not None and session.shown.trace is draft.panel.trace
    )
    sent = parts.preview.refresh(session, Draft(), VALUES)
    assert sent.panel and not sent.panel.draft and sent.panel.trace and len(sent.panel.trace.media) == 1
    assert sent.cost == ""


def test_the_pixels_are_those_of_the_file(parts: Parts, session: Session, files: Files) -> None:
    """cat.png is a red block on cream: its resized pixels hold both colours where the file has them."""
    look = parts.preview.refresh(session, Draft("", (files("cat.png"),)), VALUES)
    assert look.panel
    (pixels,) = look.panel.frames
    _, height, width, _ = pixels.shape
    assert np.abs(pixels[0, height // 4, width // 4].astype(int) - (255, 0, 0)).max() < 8
    assert np.abs(pixels[0, -5, -5].astype(int) - (0xF4, 0xEF, 0xE6)).max() < 8


def test_an_older_look_that_ends_later_changes_nothing(parts: Parts, session: Session, files: Files) -> None:
    """While the first look was at its pixels, a second one began: the first has nothing to say any more."""
    prompt = parts.engine.prompt

    def slow(*asked: object) -> object:
        parts.engine.prompt = prompt  # type: ignore[method-assign]
        assert parts.preview.refresh(session, Draft(), VALUES).panel is not None
        return prompt(*asked)  # type: ignore[arg-type]

    parts.engine.prompt = slow  # type: ignore[method-assign, assignment]
    look = parts.preview.refresh(session, Draft("", (files("cat.png"),)), VALUES)
    assert look.panel is None and look.cost is None and session.shown is None


def test_a_question_on_its_way_into_the_chat_is_waited_for(parts: Parts, session: Session) -> None:
    session.run = Run(Draft("Hi"))
    assert parts.preview.refresh(session, Draft(), VALUES).panel is None


def test_an_empty_chat_and_a_cleared_one_show_nothing(parts: Parts, session: Session, files: Files) -> None:
    panel = parts.preview.refresh(session, Draft(), VALUES).panel
    assert panel and not panel.conversation.turns and panel.trace is None
    send(parts, session, Draft("One?", (files("cat.png"),)))
    parts.controller.clear(session)
    look = parts.preview.refresh(session, Draft(), VALUES)
    assert look.panel and look.panel.trace is None and look.panel.frames == []


def test_pixels_of_what_is_shown_can_be_had_by_their_digest(parts: Parts, session: Session, files: Files) -> None:
    look = parts.preview.refresh(session, Draft("", (files("cat.png"), files("dog.jpg"))), VALUES)
    assert look.panel and look.panel.trace
    pixels = parts.preview.frames(session, look.panel.trace.media[1].digest)
    assert pixels is not None and np.array_equal(pixels, look.panel.frames[1])
    assert parts.preview.frames(session, "0" * 64) is None
    assert parts.preview.frames(Session(), look.panel.trace.media[1].digest) is None


@pytest.mark.parametrize(("value", "taken"), [(64, True), (16_384, True), (0, False), ("64", False), (None, False)])
def test_only_achosen_budget_that_the_setting_allows_is_taken(value: object, taken: bool) -> None:
    class Event:
        pass

    event = Event()
    event.value = value  # type: ignore[attr-defined]
    assert (chosen_budget(event) == value) is taken  # type: ignore[arg-type]
