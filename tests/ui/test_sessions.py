"""What ends the opening of files for a preview: other files, Stop, a closed tab; but not that they were sent."""

from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.ui.chat.conversation import Answer, Conversation, Turn
from qwen2vl_demo.ui.forgetting import Forgetting
from qwen2vl_demo.ui.sessions import Draft, Run, Session, Sessions


def test_other_files_end_the_opening_of_those_before() -> None:
    session = Session()
    _, first = session.begin_preview(("a.png",))
    number, same = session.begin_preview(("a.png",))
    assert same is first and not first.is_set() and number == 2
    _, second = session.begin_preview(("a.png", "b.png"))
    assert first.is_set() and not second.is_set()
    _, third = session.begin_preview(())
    assert second.is_set() and not third.is_set()


def test_files_that_were_sent_go_on_being_opened_until_stop() -> None:
    session = Session()
    _, cancel = session.begin_preview(("a.png",))
    session.run = Run(Draft("?", ("a.png",)))
    assert session.begin_preview(())[1] is cancel and not cancel.is_set()
    session.cancel_run()
    assert cancel.is_set() and session.run.cancel.is_set()
    session.run = None
    # Stop gave the files back to the composer: they are not opened again until something changes.
    assert session.begin_preview(("a.png",))[1].is_set()
    assert not session.begin_preview(())[1].is_set()
    assert not session.begin_preview(("a.png",))[1].is_set()


def test_stop_leaves_a_new_draft_alone_and_a_closed_tab_does_not() -> None:
    sessions = Sessions(lambda saved: Conversation(), Forgetting(lambda salt: None))
    session = sessions.open("tab", None)
    session.run = Run(Draft("?", ("a.png",)))
    _, cancel = session.begin_preview(("b.png",))
    session.cancel_run()
    assert not cancel.is_set()
    sessions.drop("tab")
    assert cancel.is_set()


def test_with_what_a_chat_was_answered_goes_with_the_chat() -> None:
    """Another version of it is the same chat; a new chat, which may follow a deleted one, is not."""
    session, chat = Session(), Conversation((Turn("q", answer=Answer("a", "end")),))
    session.replace_conversation(chat)
    session.note_run(chat, GenerationOptions())
    session.replace_conversation(chat.instead(0, Turn("other")))
    assert len(session.ran) == 1
    session.replace_conversation(Conversation())
    assert session.ran == {}
