"""The last step of the lesson: a question about a picture, asked with M-RoPE, with h and w silenced, and in 1-D."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.chat.attachments import store_files
from qwen2vl_demo.ui.chat.conversation import Conversation, Turn
from qwen2vl_demo.ui.chat.saved_chat import clean
from qwen2vl_demo.ui.lesson.prepared import Prepared
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.ui.panel.experiments import Experiments, ExperimentState
from qwen2vl_demo.ui.sessions import Session
from qwen2vl_demo.ui.worker_threads import WorkerThreads
from qwen2vl_demo.viz.boxes import text_without_boxes

OWN = "own"  # the key of the learner's own picture
MAX_QUESTION = 300  # characters
NO_PICTURE = "Your picture is not here any more; choose it again."
NOT_KNOWN = "This picture is not one of the lesson; choose another one."


@dataclass(frozen=True)
class LiveQuestion:
    """What a browser asks. `subject` is the key of a prepared picture, or OWN for the newest one of the panel."""

    subject: str
    question: str

    @classmethod
    def read(cls, value: Any) -> LiveQuestion | None:
        """What a browser sent; None if a page would not send it."""
        if not isinstance(value, dict):
            return None
        subject, question = value.get("subject"), value.get("question")
        if not (isinstance(subject, str) and isinstance(question, str)) or len(question) > MAX_QUESTION:
            return None
        return cls(subject, clean(question).strip())


class LiveLesson:
    """Asks the questions of the lesson; nothing of it enters the chat."""

    def __init__(
        self, experiments: Experiments, store: MediaStore, threads: WorkerThreads, subjects: Sequence[Prepared]
    ) -> None:
        self._experiments, self._store, self._threads = experiments, store, threads
        self._subjects = {subject.key: subject for subject in subjects}

    async def ask(
        self, session: Session, asked: LiveQuestion, settings: Mapping[str, Any]
    ) -> AsyncGenerator[dict[str, Any], None]:
        """What the browser shows, again and again (see `shown`). Nothing is raised for what a learner did."""
        try:
            conversation = await self._threads.run_for(session, self._conversation, session, asked)
        except UserError as problem:
            yield shown(asked, ExperimentState(note=str(problem)))
            return
        states = self._experiments.run(session, settings, "positions", conversation)
        try:
            async for state in states:
                yield shown(asked, state)
        finally:
            await states.aclose()

    def _conversation(self, session: Session, asked: LiveQuestion) -> Conversation:
        """One turn with the picture and the question."""
        if asked.subject == OWN:
            with session.lock:
                known = session.shown.conversation if session.shown else Conversation()
            media = tuple(medium for turn in known.turns for medium in turn.media)[-1:]
            if not media:
                raise UserError(NO_PICTURE)
            # What the engine has cached of the chat is found under its salt, and forgotten with it.
            return replace(known, turns=(Turn(asked.question, media),))
        subject = self._subjects.get(asked.subject)
        if subject is None:
            raise UserError(NOT_KNOWN)
        media, _ = store_files(self._store, session, [str(Path(subject.file))])
        with session.lock:
            chat = session.conversation
        return replace(chat, turns=(Turn(asked.question, media),), system="")


def shown(asked: LiveQuestion, state: ExperimentState) -> dict[str, Any]:
    """JSON for the browser: {"subject", "question", "trials": [{"answer", "status", "done"}, ...], "note", "finished",
    "seen": [rows, columns] of the tokens that the model got}."""
    medium = state.trials[-1].medium if state.trials else None
    return {
        "subject": asked.subject,
        "question": asked.question,
        "trials": [
            {
                "answer": text_without_boxes(trial.answer),
                "status": f"{trial.status} …" if trial.status and not trial.ended else "",
                "done": trial.ended,
            }
            for trial in state.trials
        ],
        "note": state.note,
        "finished": state.finished,
        "seen": list(medium.merged_grid[1:]) if medium else [],
    }
