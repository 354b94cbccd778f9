"""What there is to see: the prompt of the chat or of the draft, with the pixels that were cut, and nothing outdated."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.processing.messages import Image, Message, Text, Video
from qwen2vl_demo.trace import MediaTrace
from qwen2vl_demo.ui.chat.controller import Chat
from qwen2vl_demo.ui.panel.originals import Originals
from qwen2vl_demo.ui.panel.picture_tab import _budget
from qwen2vl_demo.ui.panel.state import Sight
from qwen2vl_demo.ui.panel.tabs import TABS, update_panel
from qwen2vl_demo.ui.sessions import Draft, Run, Session

Files = Callable[[str], str]


@pytest.fixture
def session(chat: Chat) -> Session:
    return chat.open("tab", None)


def send(chat: Chat, session: Session, draft: Draft) -> None:
    chat.begin(session, draft)
    list(chat.respond(session, ()))
    chat.finish(session)


def test_a_draft_is_seen_before_it_is_sent_and_the_chat_again_without_it(
    chat: Chat, session: Session, files: Files
) -> None:
    send(chat, session, Draft("One?", (files("cat.png"),)))
    draft = chat.look(session, Draft("Two?", (files("dog.jpg"), files("clip.mp4"))), ())
    assert draft.sight and draft.sight.draft and draft.sight.trace
    assert [m.kind for m in draft.sight.trace.media] == ["image", "image", "video"]
    assert [pixels.shape[1:3] for pixels in draft.sight.media] == [m.resized_size for m in draft.sight.trace.media]
    assert draft.cost and draft.cost.startswith("1 picture and 1 clip")
    assert len(session.conversation.turns) == 1 and session.seen is draft.sight.trace
    sent = chat.look(session, Draft(), ())
    assert sent.sight and not sent.sight.draft and sent.sight.trace and len(sent.sight.trace.media) == 1
    assert sent.cost == ""


def test_the_pixels_are_those_of_the_file(chat: Chat, session: Session, files: Files) -> None:
    """cat.png is a red block on cream: its resized pixels hold both colours where the file has them."""
    look = chat.look(session, Draft("", (files("cat.png"),)), ())
    assert look.sight
    (pixels,) = look.sight.media
    _, height, width, _ = pixels.shape
    assert np.abs(pixels[0, height // 4, width // 4].astype(int) - (255, 0, 0)).max() < 8
    assert np.abs(pixels[0, -5, -5].astype(int) - (0xF4, 0xEF, 0xE6)).max() < 8


def test_an_older_look_that_ends_later_changes_nothing(chat: Chat, session: Session, files: Files) -> None:
    """While the first look was at its pixels, a second one began: the first has nothing to say any more."""
    prompt = chat.engine.prompt

    def slow(*asked: object) -> object:
        chat.engine.prompt = prompt  # type: ignore[method-assign]
        assert chat.look(session, Draft(), ()).sight is not None
        return prompt(*asked)  # type: ignore[arg-type]

    chat.engine.prompt = slow  # type: ignore[method-assign, assignment]
    look = chat.look(session, Draft("", (files("cat.png"),)), ())
    assert look.sight is None and look.cost is None and session.seen is None


def test_a_question_on_its_way_into_the_chat_is_waited_for(chat: Chat, session: Session) -> None:
    session.run = Run(Draft("Hi"))
    assert chat.look(session, Draft(), ()).sight is None


def test_an_empty_chat_and_a_cleared_one_show_nothing(chat: Chat, session: Session, files: Files) -> None:
    assert chat.look(session, Draft(), ()).sight == Sight()
    send(chat, session, Draft("One?", (files("cat.png"),)))
    chat.clear(session)
    look = chat.look(session, Draft(), ())
    assert look.sight and look.sight.trace is None and look.sight.media == ()


def test_pixels_of_what_is_shown_can_be_had_by_their_digest(chat: Chat, session: Session, files: Files) -> None:
    look = chat.look(session, Draft("", (files("cat.png"), files("dog.jpg"))), ())
    assert look.sight and look.sight.trace
    pixels = chat.pixels(session, (), look.sight.trace.media[1].digest)
    assert pixels is not None and np.array_equal(pixels, look.sight.media[1])
    assert chat.pixels(session, (), "0" * 64) is None
    assert chat.pixels(Session(), (), look.sight.trace.media[1].digest) is None


def test_every_tab_takes_an_empty_sight_and_a_full_one(chat: Chat, session: Session, files: Files) -> None:
    look = chat.look(session, Draft("", (files("cat.png"), files("wave.gif"))), ())
    assert look.sight
    assert len(update_panel(chat.engine, Sight())) == len(update_panel(chat.engine, look.sight)) >= len(TABS)


def traced(original: tuple[int, int], resized: tuple[int, int], kind: str = "image") -> MediaTrace:
    return MediaTrace(kind, "x", 0, 0, original, resized, (1, 2, 2), (0, 1), 0, 0)


def test_an_original_is_upright_small_and_opened_once(tmp_path: Path, files: Files) -> None:
    path = tmp_path / "large.jpg"
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter
    PIL.Image.new("RGB", (3000, 1500), "green").save(path, exif=exif)
    originals, message = Originals(), Message("user", [Image(path), Text("?")])
    picture = originals.of(traced((3000, 1500), (280, 140)), message)
    assert picture is not None and picture.shape == (1280, 640, 3)
    path.unlink()
    assert originals.of(traced((3000, 1500), (280, 140)), message) is picture
    assert originals.of(traced((280, 140), (280, 140)), message) is None  # nothing was resized
    assert originals.of(traced((9, 9), (28, 28)), Message("user", [Image(tmp_path / "gone.png")])) is None
    clip = originals.of(traced((84, 112), (56, 84), "video"), Message("user", [Video(files("clip.mp4"))]))
    assert clip is not None and clip.shape == (84, 112, 3)


@pytest.mark.parametrize(("value", "taken"), [(64, True), (16_384, True), (0, False), ("64", False), (None, False)])
def test_only_a_budget_that_the_setting_allows_is_taken(value: object, taken: bool) -> None:
    class Event:
        pass

    event = Event()
    event.value = value  # type: ignore[attr-defined]
    assert (_budget(event) == value) is taken  # type: ignore[arg-type]
