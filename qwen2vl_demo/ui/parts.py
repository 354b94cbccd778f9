"""The parts of the page that need no component: what each one needs of another, it is handed here by name."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass

from qwen2vl_demo.engine.protocol import Engine, GenerationOptions
from qwen2vl_demo.ui.chat.answers import Answers
from qwen2vl_demo.ui.chat.controller import ChatController, kept_conversation
from qwen2vl_demo.ui.chat.prompts import Prompts
from qwen2vl_demo.ui.cutouts import Cutouts
from qwen2vl_demo.ui.forgetting import Forgetting
from qwen2vl_demo.ui.gate.uploads import Uploads
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.ui.panel.accuracy import Accuracy
from qwen2vl_demo.ui.panel.attention import AnswerAttention
from qwen2vl_demo.ui.panel.experiments import Experiments
from qwen2vl_demo.ui.panel.laboratory import AnswerLaboratory
from qwen2vl_demo.ui.panel.preview import Preview
from qwen2vl_demo.ui.sessions import Sessions
from qwen2vl_demo.ui.settings_form import SettingsForm
from qwen2vl_demo.ui.worker_threads import WorkerThreads


@dataclass(frozen=True, eq=False)
class Parts:
    """One of each, for one engine. What visitors have is shared with the parts of other engines (`of_engine`)."""

    engine: Engine
    store: MediaStore
    uploads: Uploads
    cutouts: Cutouts
    form: SettingsForm
    prompts: Prompts
    sessions: Sessions
    controller: ChatController
    preview: Preview
    attention: AnswerAttention
    laboratory: AnswerLaboratory
    experiments: Experiments
    accuracy: Accuracy
    threads: WorkerThreads
    forgetting: Forgetting
    make: Callable[[Engine], Parts]  # for `of_engine`

    @classmethod
    def build(
        cls,
        engine: Engine,
        store: MediaStore,
        defaults: GenerationOptions | None = None,
        uploads: Uploads | None = None,
        *,
        share_cache: bool = False,
    ) -> Parts:
        """`defaults` are the options that the settings start with; without `uploads` there are none; `share_cache` is
        as in Prompts."""
        everybody: weakref.WeakSet[Prompts] = weakref.WeakSet()  # of all engines

        def forget(salt: str) -> None:
            for prompts in list(everybody):
                prompts.forget(salt)

        def make(engine: Engine) -> Parts:
            limits = (engine.pixel_limits, store.limits.max_pdf_pages, engine.max_frames)
            form = SettingsForm(defaults or GenerationOptions(), *limits)
            prompts = Prompts(engine, store, share_cache=share_cache)
            everybody.add(prompts)
            return cls(
                engine=engine,
                store=store,
                uploads=received,
                cutouts=cutouts,
                form=form,
                prompts=prompts,
                sessions=sessions,
                controller=ChatController(answers=Answers(engine, store, prompts, form, threads), store=store),
                preview=Preview(engine, store, prompts, form),
                attention=AnswerAttention(engine, prompts, threads),
                laboratory=AnswerLaboratory(engine, prompts, threads),
                experiments=Experiments(engine, prompts, form, threads),
                accuracy=Accuracy(engine, threads),
                threads=threads,
                forgetting=forgetting,
                make=make,
            )

        received = uploads or Uploads(store.folder.parent / "uploads")
        cutouts = Cutouts(store, received)
        threads, forgetting = WorkerThreads(), Forgetting(forget)
        sessions = Sessions(lambda saved: kept_conversation(saved, store), forgetting)
        return make(engine)

    def of_engine(self, engine: Engine) -> Parts:
        """The same with another engine, and everything that depends on it: prompts, caches, answers, settings."""
        return self.make(engine)

    def tidy(self) -> None:
        """Deletes the files that no open tab shows any more."""
        self.store.release_unused(self.sessions.files())
        self.uploads.sweep(self.sessions.keys())
