"""What a visitor can do in the chat: send, stop, retry, undo, begin a new chat, come back, open another chat.

Each handler gets the Session of its tab and reads nothing from the page but the draft and the settings. PageUpdates
out; no handler raises.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.chat.answers import BUSY, Answers
from qwen2vl_demo.ui.chat.conversation import Answer, Conversation
from qwen2vl_demo.ui.chat.export import import_json
from qwen2vl_demo.ui.chat.kept_chat import finished, read_kept
from qwen2vl_demo.ui.chat.page_update import FAILED, PageUpdate, log, report, settled
from qwen2vl_demo.ui.chat.saved_chat import clean
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

    def clear(self, session: Session, keep: Collection[str] = ()) -> PageUpdate:
        """Starts an empty chat; the system prompt stays, and so do the names of stored files in `keep`."""
        with session.lock:
            session.cancel_run()
            session.run = None
            session.replace_conversation(Conversation(system=session.conversation.system))
            session.names = {file: name for file, name in session.names.items() if file in keep}
        return settled(session, self._store, "")

    def open_chat(self, session: Session, kept: str) -> PageUpdate:
        """A chat that the browser kept takes the place of this one, or this one is shown anew where it is the same. If
        it cannot be read, this one stays as it is."""
        try:
            conversation = read_kept(kept)
        except UserError as problem:
            return PageUpdate(notice=str(problem))
        with session.lock:
            if conversation.cache_salt == session.conversation.cache_salt:
                return self.restore(session)
            session.cancel_run()
            session.run = None
            session.replace_conversation(conversation)
            if session.forgetting is not None:
                session.forgetting.keep(conversation.cache_salt)  # it may have been left a moment ago
            session.names.clear()
        self._store.touch(conversation)
        return settled(session, self._store, "")

    def restore(self, session: Session) -> PageUpdate:
        """A page was loaded: shows the chat that its browser kept."""
        return PageUpdate() if session.run is not None else settled(session, self._store, "")

    def import_chat(self, session: Session, text: str | bytes) -> PageUpdate:
        """A saved chat takes the place of this one; if anything is wrong with it, this one stays as it is."""
        if session.run is not None:
            return PageUpdate(notice=BUSY)
        try:
            conversation = finished(import_json(text, self._store))
        except UserError as problem:
            return PageUpdate(notice=str(problem))
        except Exception as problem:
            report(problem, "importing a chat")
            return PageUpdate(notice=FAILED.format("the import"))
        session.cancel_side_task()
        session.replace_conversation(conversation)
        return settled(session, self._store, "")


def kept_conversation(saved: str, store: MediaStore) -> Conversation:
    """The conversation that a browser kept (kept_chat.py); an empty one if it cannot be read."""
    try:
        conversation = read_kept(saved)
    except UserError:
        log.warning("what a browser kept could not be read")
        return Conversation()
    store.touch(conversation)
    return conversation
