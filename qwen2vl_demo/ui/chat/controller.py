"""What a visitor can do in the chat: send, stop, edit, retry, continue, show another version, undo, begin a new chat,
come back, open another chat.

Each handler gets the Session of its tab and reads nothing from the page but the draft and the settings. PageUpdates
out; no handler raises.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.chat.answers import BUSY, Answers, give_back
from qwen2vl_demo.ui.chat.conversation import Answer, Conversation, Turn
from qwen2vl_demo.ui.chat.export import import_json
from qwen2vl_demo.ui.chat.kept_chat import finished, read_kept
from qwen2vl_demo.ui.chat.page_update import FAILED, PageUpdate, log, report
from qwen2vl_demo.ui.chat.saved_chat import clean
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.ui.sessions import Draft, Editing, Session
from qwen2vl_demo.viz.box_units import CHOICES

STOP_WAIT = 0.3  # seconds that Stop waits for the engine before it releases the visitor
ACTIONS = ("retry", "continue", "edit", "show", "leave", "units")
NOT_SHOWN = "This message is no longer shown; nothing was changed."


class ChatController:
    """The handlers of the chat."""

    def __init__(self, answers: Answers, store: MediaStore) -> None:
        self.answers, self._store = answers, store

    def begin(self, session: Session, draft: Draft) -> PageUpdate:
        """Sends a draft: shows it at once. `answers.respond` answers it."""
        session.cancel_side_task()
        return self.answers.begin(session, draft)

    def act(self, session: Session, action: Any, standing: Draft) -> PageUpdate:
        """What was pressed in the row under a message: {"do": which of ACTIONS, "turn": the number of its turn}, for
        "units" with "units", one of box_units.CHOICES.
        `standing` is what stands in the composer. Retry and Continue begin an answer, as `begin` does."""
        do, number = (action.get("do"), action.get("turn")) if isinstance(action, dict) else (None, None)
        if do not in ACTIONS or isinstance(number, bool) or not isinstance(number, int):
            return PageUpdate(notice="This page knows no such action; reload it and try again.")
        if do == "leave":
            return self.leave(session)
        if do == "units":
            return self.read_boxes_as(session, action.get("units"))
        if session.run is not None:
            return PageUpdate(notice=BUSY)
        if do == "edit":
            return self.edit(session, number, standing)
        if do == "show":
            return self.show(session, number)
        last = session.conversation.last
        if last is None or last.number != number:
            return PageUpdate(notice=NOT_SHOWN)
        session.cancel_side_task()
        draft = _left(session)
        begun = self.answers.begin_retry(session) if do == "retry" else self.answers.begin_continue(session)
        return replace(begun, draft=draft, editing=0)

    def edit(self, session: Session, number: int, standing: Draft) -> PageUpdate:
        """Puts a question with its files into the composer, from where it is asked as another version."""
        with session.lock:
            conversation = session.conversation
            index = conversation.index(number)
            if index is None:
                return PageUpdate(notice=NOT_SHOWN)
            kept = session.editing.draft if session.editing else standing
            session.editing = Editing(number, kept)
        return PageUpdate(draft=self._draft(session, conversation.turns[index]), editing=index + 1, notice="")

    def leave(self, session: Session) -> PageUpdate:
        """No longer edits a question; what stood in the composer before comes back."""
        with session.lock:
            return PageUpdate(draft=_left(session), editing=0, notice="")

    def read_boxes_as(self, session: Session, units: Any) -> PageUpdate:
        """All boxes of this chat are read in these units from now on."""
        if units not in CHOICES:
            return PageUpdate(notice="This page knows no such action; reload it and try again.")
        with session.lock:
            if session.run is not None:
                return PageUpdate(notice=BUSY)
            session.conversation = replace(session.conversation, units_choice=units)
        return self.answers.settled(session, "")

    def show(self, session: Session, number: int) -> PageUpdate:
        """Another version of a question or of an answer, with what followed it."""
        with session.lock:
            if all(turn.number != number for turn in session.conversation.all_turns):
                return PageUpdate(notice=NOT_SHOWN)
            draft = _left(session)
            session.replace_conversation(session.conversation.showing(number))
        return replace(self.answers.settled(session, ""), draft=draft, prompt_sent=True)

    def stop(self, session: Session, standing: Draft | None = None) -> PageUpdate:
        """Ends the running answer. If the engine is in the middle of a long step, the visitor does not wait for it: the
        words that came stay, and their numbers follow when the engine has ended. `standing` is as in `act`."""
        run = session.cancel_run()
        if run is None:
            return PageUpdate(busy=False)
        if run.done.wait(STOP_WAIT):
            return PageUpdate()  # the answer's own stream has shown how it ended
        with session.lock:
            if not session.owns(run):
                return PageUpdate()
            session.run, draft = None, None
            if run.committed and session.conversation.last is not None:
                stopped = Answer(clean(run.text), "cancelled", model=self.answers.model)
                session.conversation = session.conversation.answered(stopped)
                run.left = session.conversation
            elif not run.committed:
                draft = give_back(session, run, standing or Draft())
        return replace(self.answers.settled(session), draft=draft)

    def undo(self, session: Session, standing: Draft | None = None) -> PageUpdate:
        """Takes the last turn back into the composer, before what is `standing` there. While a question is edited, only
        the editing is undone."""
        with session.lock:
            session.cancel_run()
            session.run = None
            if session.editing is not None:
                return self.leave(session)
            last = session.conversation.last
            if last is None:
                return PageUpdate(notice="There is nothing to take back yet.")
            session.replace_conversation(session.conversation.taken_back())
        draft = self._draft(session, last).joined(standing or Draft())
        return replace(self.answers.settled(session, ""), draft=draft)

    def clear(self, session: Session, keep: Collection[str] = ()) -> PageUpdate:
        """Starts an empty chat; the system prompt stays, and so do the names of stored files in `keep`."""
        with session.lock:
            session.cancel_run()
            session.run = None
            draft = _left(session)
            session.replace_conversation(Conversation(system=session.conversation.system))
            standing = {*keep, *(Path(file).name for file in draft.files)} if draft else keep
            session.names = {file: name for file, name in session.names.items() if file in standing}
        return replace(self.answers.settled(session, ""), draft=draft)

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
            draft = _left(session)
            session.replace_conversation(conversation)
            if session.forgetting is not None:
                session.forgetting.keep(conversation.cache_salt)  # it may have been left a moment ago
            session.names.clear()
        self._store.touch(conversation)
        return replace(self.answers.settled(session, ""), draft=draft)

    def restore(self, session: Session) -> PageUpdate:
        """A page was loaded: shows the chat that its browser kept."""
        return PageUpdate() if session.run is not None else self.answers.settled(session, "")

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
        return self.take(session, conversation)

    def take(self, session: Session, conversation: Conversation, notice: str = "") -> PageUpdate:
        """Another chat takes the place of this one."""
        session.cancel_side_task()
        with session.lock:
            draft = _left(session)
            session.replace_conversation(conversation)
        return replace(self.answers.settled(session, notice), draft=draft)

    def _draft(self, session: Session, turn: Turn) -> Draft:
        """A question that was asked, as the composer holds it."""
        stored = {path: m.name for m in turn.media if (path := self._store.path(m))}
        session.names |= {path.name: name for path, name in stored.items()}
        for medium in turn.media:
            if path := self._store.path(medium):
                session.choose_time_range(str(path), medium.time_range)
        return Draft(turn.question if turn.typed else "", tuple(map(str, stored)))


def kept_conversation(saved: str, store: MediaStore) -> Conversation:
    """The conversation that a browser kept (kept_chat.py); an empty one if it cannot be read."""
    try:
        conversation = read_kept(saved)
    except UserError:
        log.warning("what a browser kept could not be read")
        return Conversation()
    store.touch(conversation)
    return conversation


def _left(session: Session) -> Draft | None:
    """Ends the editing of a question. What the composer then holds; None: what it holds now."""
    editing, session.editing = session.editing, None
    return editing.draft if editing else None
