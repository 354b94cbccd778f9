"""What a visitor can do in the chat: send, stop, retry, undo, clear, come back, open a saved chat.

Each handler gets the Session of its tab and reads nothing from the page but the draft and the settings. PageUpdates
out; no handler raises.
"""

from __future__ import annotations

from dataclasses import replace

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.memory import format_bytes
from qwen2vl_demo.ui.chat.answers import BUSY, Answers
from qwen2vl_demo.ui.chat.conversation import Answer, Conversation
from qwen2vl_demo.ui.chat.export import import_json
from qwen2vl_demo.ui.chat.page_update import FAILED, PageUpdate, log, report, settled
from qwen2vl_demo.ui.chat.saved_chat import MAX_SAVED, clean, from_record, loads
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.ui.sessions import Draft, Session

STOP_WAIT = 0.3  # seconds that Stop waits for the engine before it releases the visitor


class ChatController:
    """The handlers of the chat."""

    def __init__(self, answers: Answers, store: MediaStore) -> None:
        self.answers, self._store = answers, store

    def begin(self, session: Session, draft: Draft) -> PageUpdate:
        """Sends a draft: shows it at once. `answers.respond` answers it."""
        session.cancel_side_task()
        return self.answers.begin(session, draft)

    def begin_retry(self, session: Session) -> PageUpdate:
        session.cancel_side_task()
        return self.answers.begin_retry(session)

    def stop(self, session: Session) -> PageUpdate:
        """Ends the running answer. If the engine is in the middle of a long step, the visitor does not wait for it: the
        words that came stay, and their numbers follow when the engine has ended."""
        run = session.cancel_run()
        if run is None:
            return PageUpdate(busy=False)
        if run.done.wait(STOP_WAIT):
            return PageUpdate()  # the answer's own stream has shown how it ended
        with session.lock:
            if not session.owns(run):
                return PageUpdate()
            session.run = None
            if run.committed and session.conversation.last is not None:
                session.conversation = session.conversation.answered(Answer(clean(run.text), "cancelled"))
                run.left = session.conversation
        update = settled(session, self._store)
        return update if run.committed else replace(update, draft=run.draft)

    def undo(self, session: Session) -> PageUpdate:
        """Takes the last turn back into the composer."""
        with session.lock:
            session.cancel_run()
            session.run = None
            last = session.conversation.last
            if last is None:
                return PageUpdate(notice="There is nothing to take back yet.")
            session.replace_conversation(session.conversation.without_last())
        stored = {path: m.name for m in last.media if (path := self._store.path(m))}
        session.names |= {path.name: name for path, name in stored.items()}
        return replace(
            settled(session, self._store, ""), draft=Draft(last.question if last.typed else "", tuple(map(str, stored)))
        )

    def clear(self, session: Session) -> PageUpdate:
        """Starts an empty chat; the system prompt stays."""
        with session.lock:
            session.cancel_run()
            session.run = None
            session.replace_conversation(Conversation(system=session.conversation.system))
            session.names.clear()
        return settled(session, self._store, "")

    def restore(self, session: Session) -> PageUpdate:
        """A page was loaded: shows the chat that its browser kept."""
        return PageUpdate() if session.run is not None else settled(session, self._store, "")

    def import_chat(self, session: Session, text: str | bytes) -> PageUpdate:
        """A saved chat takes the place of this one; if anything is wrong with it, this one stays as it is."""
        if session.run is not None:
            return PageUpdate(notice=BUSY)
        try:
            conversation = _finished(import_json(text, self._store))
        except UserError as problem:
            return PageUpdate(notice=str(problem))
        except Exception as problem:
            report(problem, "importing a chat")
            return PageUpdate(notice=FAILED.format("the import"))
        session.cancel_side_task()
        session.replace_conversation(conversation)
        return settled(session, self._store, "")


def kept_conversation(saved: str, store: MediaStore) -> Conversation:
    """The conversation that a browser kept as JSON; an empty one if it cannot be read."""
    try:
        if len(saved) > MAX_SAVED:
            raise UserError(f"This chat has more than {format_bytes(MAX_SAVED)}.")
        conversation = _finished(from_record(loads(saved)))
    except UserError:
        log.warning("what a browser kept could not be read")
        return Conversation()
    store.touch(conversation)
    return conversation


def _finished(conversation: Conversation) -> Conversation:
    """A question whose answer was cut off (the page was closed meanwhile) counts as stopped."""
    last = conversation.last
    return conversation.answered(Answer("", "cancelled")) if last and last.answer is None else conversation
