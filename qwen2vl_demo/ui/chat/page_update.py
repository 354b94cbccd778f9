"""What a handler changes on the page, as plain values; events.py turns them into components."""

from __future__ import annotations

import logging
import threading
import traceback
from dataclasses import dataclass

from qwen2vl_demo.ui.chat import bubbles
from qwen2vl_demo.ui.chat.kept_chat import keep
from qwen2vl_demo.ui.chat.message_rows import rows
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.ui.sessions import Draft, Session

log = logging.getLogger(__name__)

FAILED = "Something went wrong inside {}. The chat is kept; try again."


@dataclass(frozen=True)
class PageUpdate:
    """The parts of the page that change. None: the part stays as it is."""

    messages: list[bubbles.Bubble] | None = None
    draft: Draft | None = None
    busy: bool | None = None  # shows Stop instead of Send
    notice: str | None = None  # one sentence above the composer; "" takes it away
    rows: str | None = None  # what stands under the messages, as message_rows.py makes it
    editing: int | None = None  # which question stands in the composer to be asked anew, from 1; 0: none does
    saved: str | None = None  # the conversation for the browser to keep (kept_chat.py)
    prompt_sent: bool = False  # a question has entered the conversation, so the panel should be drawn again


def settled(session: Session, store: MediaStore, notice: str | None = None, *, resumes: bool, model: str) -> PageUpdate:
    """The whole page as the session has it, with no answer being written. `resumes` and `model` are as in `rows`."""
    with session.lock:
        conversation, editing = session.conversation, session.editing
    index = conversation.index(editing.number) if editing else None
    return PageUpdate(
        messages=bubbles.show(conversation, store),
        busy=False,
        notice=notice,
        rows=rows(conversation, store, resumes=resumes, model=model),
        editing=0 if index is None else index + 1,
        saved=keep(conversation, store),
    )


def report(problem: BaseException, doing: str) -> None:
    """Logs a bug by its type and place only: an exception's message may hold what a visitor wrote."""
    frames = "".join(traceback.format_tb(problem.__traceback__))
    log.error("%s while %s in thread %s\n%s", type(problem).__name__, doing, threading.current_thread().name, frames)
