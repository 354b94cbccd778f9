"""The handler of the experiments: who asks, what is asked again, and what ends it. Knows no gradio; never raises for
what a visitor did.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.chat.conversation import Conversation, to_messages
from qwen2vl_demo.ui.chat.page_update import LOST, report
from qwen2vl_demo.ui.panel.attention import Attending, leave
from qwen2vl_demo.ui.panel.experiment_html import trials_html
from qwen2vl_demo.ui.panel.experiments import Experiment, Trial, tried, variations
from qwen2vl_demo.ui.sessions import Session

ASK_FIRST = "Ask something about a picture or a clip first; then the same question can be asked again here."
NO_MEDIA = "There is no picture in this chat, so there is nothing to change. Attach one and ask about it."
WRITING = "An answer is being written; try again when it is finished."
STOPPED = "Stopped, since something else was asked."


class Experimenting(Attending):
    """The part of the page that asks the last question again with one thing changed."""

    def experiment(self, session: Session, values: Sequence[Any], kind: Experiment) -> Iterator[str]:
        """HTML, again and again while the answers come."""
        with session.lock:
            writing, conversation = session.run is not None, session.conversation
            cancel = threading.Event()
            if not writing:
                leave(session)
                session.aside = cancel
        if writing:
            yield trials_html("", (), note=WRITING)
            return
        question = conversation.last.question if conversation.last else ""
        trials: list[Trial] = []
        note = ""
        try:
            for trials in self._trials(conversation, values, kind, cancel):
                yield trials_html(question, trials)
            note = STOPPED if cancel.is_set() else ""
        except UserError as problem:
            note = str(problem)
        except Exception as problem:
            report(problem, "trying a question again")
            note = LOST.format(self.engine.name)
        finally:
            cancel.set()  # also when nobody waits any more
            with session.lock:
                if session.aside is cancel:
                    session.aside = None
        yield trials_html(question, trials, note=note, ended=not note)

    def _trials(
        self, conversation: Conversation, values: Sequence[Any], kind: Experiment, cancel: threading.Event
    ) -> Iterator[list[Trial]]:
        if conversation.last is None:
            raise UserError(ASK_FIRST)
        messages = to_messages(conversation.answered(None), self.store.path)
        options = self.choices(values).options
        trace = self.engine.prepare(messages, options)
        if not trace.media:
            raise UserError(NO_MEDIA)
        with closing(tried(self.engine, messages, variations(kind, self.engine, trace, options), cancel)) as trials:
            yield from trials
