"""The handlers of the page: what happens when a visitor sends, stops, retries, takes back, clears or comes back.

Each is given the Session of its tab and reads nothing of the chat from the page but the draft; `open` reads the saved
JSON where the session is gone. Views out, no gradio in here; no handler raises.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.chat import export
from qwen2vl_demo.ui.chat.answers import BUSY
from qwen2vl_demo.ui.chat.conversation import Answer, Conversation, Turn, default_question, to_messages
from qwen2vl_demo.ui.chat.page_update import LOST, View, log, report, settled
from qwen2vl_demo.ui.chat.saved_chat import clean, from_record, loads
from qwen2vl_demo.ui.panel.experiment_runner import Experimenting
from qwen2vl_demo.ui.sessions import Draft, Session
from qwen2vl_demo.viz.boxes import text_without_boxes

STOP_WAIT = 0.3  # seconds that Stop waits for the engine before it lets the visitor go on


class Chat(Experimenting):
    """All that a visitor can do in the chat."""

    def open(self, key: str | None, saved: str | None) -> Session:
        """The tab's session; if it is not known here, it starts from what the browser kept."""
        return self.sessions.get(key, lambda: self._kept(saved))

    def stop(self, session: Session) -> View:
        """Ends the running answer. If the engine is in the middle of a long step, the visitor need not wait for it."""
        run = session.stop()
        if run is None:
            return View(busy=False)
        if run.done.wait(STOP_WAIT):
            return View()  # the answer's own stream has shown how it ended
        with session.lock:
            if not session.owns(run):
                return View()
            session.run = None
            if run.committed and session.conversation.last is not None:
                session.conversation = session.conversation.answered(Answer(clean(run.text), "cancelled"))
        view = settled(session, self.store)
        return view if run.committed else replace(view, draft=run.draft)

    def undo(self, session: Session) -> View:
        """Takes the last turn back into the composer."""
        with session.lock:
            session.stop()
            session.run = None
            last = session.conversation.last
            if last is None:
                return View(notice="There is nothing to take back yet.")
            session.conversation = session.conversation.without_last()
            session.names |= {m.file: m.name for m in last.media}
        paths = tuple(str(path) for m in last.media if (path := self.store.path(m)))
        return replace(settled(session, self.store, ""), draft=Draft(last.question if last.typed else "", paths))

    def clear(self, session: Session) -> View:
        """Begins anew; the system prompt stays."""
        with session.lock:
            session.stop()
            session.run = session.trace = session.seen = None
            session.conversation = Conversation(system=session.conversation.system)
            session.names.clear()
        return settled(session, self.store, "")

    def restore(self, session: Session) -> View:
        """A page was loaded: shows what its browser kept."""
        return View() if session.run is not None else settled(session, self.store, "")

    def import_chat(self, session: Session, text: str | bytes) -> View:
        """A saved chat takes the place of this one; whatever is wrong with it leaves this one as it is."""
        if session.run is not None:
            return View(notice=BUSY)
        try:
            conversation = _finished(export.import_json(text, self.store))
        except UserError as problem:
            return View(notice=str(problem))
        except Exception as problem:
            report(problem, "importing a chat")
            return View(notice=LOST.format("the import"))
        with session.lock:
            session.conversation = conversation
        return settled(session, self.store, "")

    def ask(self, draft: Draft) -> Iterator[str]:
        """One question outside any conversation: the answer so far, again and again. Raises UserError."""
        session, cancel = Session(), threading.Event()
        text = clean(draft.text.strip())
        media = self.keep(session, draft.files)
        if not text and not media:
            raise UserError("Give a question, a file or both.")
        asked = Conversation((Turn(text or default_question(media), media),))
        answer = ""
        try:
            for chunk in self.engine.stream(to_messages(asked, self.store.path), self.defaults, cancel):
                if chunk.text:
                    answer += chunk.text
                    yield text_without_boxes(answer)
        finally:
            cancel.set()
        yield text_without_boxes(answer)

    def _kept(self, saved: str | None) -> Conversation:
        if not saved:
            return Conversation()
        try:
            conversation = _finished(from_record(loads(saved)))
        except UserError:
            log.warning("what a browser kept could not be read")
            return Conversation()
        self.store.touch(conversation)
        return conversation


def _finished(conversation: Conversation) -> Conversation:
    """A question whose answer was cut off (the page was closed meanwhile) counts as stopped."""
    last = conversation.last
    return conversation.answered(Answer("", "cancelled")) if last and last.answer is None else conversation
