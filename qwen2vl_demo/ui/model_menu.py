"""The menu of models in the header: its components and events. static/models.js draws it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component
from gradio.events import Dependency

from qwen2vl_demo.engine.models.pool import FIRST
from qwen2vl_demo.ui.header import header_html, runs_on_html
from qwen2vl_demo.ui.model_facts import model_facts
from qwen2vl_demo.ui.models import MAX_KEY, Models
from qwen2vl_demo.ui.panel.tab import AT_ONCE, QUEUED, Updates
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Session
from qwen2vl_demo.ui.settings_form import MODEL_FIELDS

LOOK = 0.2  # seconds between two looks at how far loading is
# models.js asks here, with the key of a model or null for the list alone, and gets every answer here.
CONNECT = """
watch('value', () => window.qwen2vl?.models?.show(props.value || '{}'));
(window.qwen2vl ||= {}).askModels = key => trigger('select', {index: key === null ? 0 : 1, value: key});
"""
TELL = "watch('value', () => trigger('input'));"
RECALL = "() => [window.qwen2vl.models.recall()]"


@dataclass(frozen=True)
class MenuComponents:
    header: gr.HTML
    runs_on: gr.HTML
    facts: gr.HTML  # unseen: what scripts know of the model
    state: gr.HTML  # unseen: what models.js draws
    key: gr.HTML  # unseen: the key of the model that this page shows
    lost: gr.HTML  # unseen: another value when another model answers than the page has shown, with other settings


class Follower(Protocol):
    """A part of the page that has other components for another model."""

    def model_outputs(self) -> Sequence[Block]:
        """What `show_model` changes."""
        ...

    def show_model(self, parts: Parts) -> Updates: ...


class ModelMenu:
    components: MenuComponents

    def __init__(self, models: Models, followers: Sequence[Follower] = ()) -> None:
        self._models, self._followers = models, tuple(followers)

    def draw(self, header: gr.HTML, runs_on: gr.HTML, facts: gr.HTML) -> None:
        """Draws what is unseen into the open Gradio context; the rest is drawn already."""
        unseen: dict[str, Any] = {"html_template": "<i></i>", "visible": "hidden"}
        self.components = MenuComponents(
            header,
            runs_on,
            facts,
            state=gr.HTML("", js_on_load=CONNECT, elem_id="models-state", **unseen),
            key=gr.HTML(FIRST, elem_id="model-key", **unseen),
            lost=gr.HTML("", js_on_load=TELL, elem_id="model-lost", **unseen),
        )

    @property
    def outputs(self) -> list[Block]:
        """What `shown` changes."""
        drawn = self.components
        followers = [block for follower in self._followers for block in follower.model_outputs()]
        return [drawn.header, drawn.runs_on, drawn.facts, drawn.state, drawn.key, drawn.lost, *followers]

    def wire(
        self,
        settings: Mapping[str, Block],
        opened: Callable[[gr.Request, str], Awaitable[Session]],
        saved: Component,
    ) -> Dependency:
        """The event behind which the panel is to be drawn anew. `opened` finds the session of a tab."""
        chosen: dict[str, Any] = {"inputs_kwargs": {"saved": saved, **settings}, "trigger_mode": "multiple"}
        fields = [settings[key] for key in MODEL_FIELDS]

        async def choose(
            request: gr.Request, event: gr.SelectData, *, saved: str, **values: Any
        ) -> AsyncGenerator[Updates, None]:
            session, state = await opened(request, saved), self.components.state
            models = self._models
            if event.index != 1 or not isinstance(event.value, str) or len(event.value) > MAX_KEY:
                yield {state: await self._state(session)}
                return
            before = models.of(session).form
            progress = models.begin(session, event.value)
            if progress.ended.is_set():
                yield {state: await self._state(session, note=progress.refusal)}
                return
            # Goes on when the page is closed meanwhile: nobody could tell the thread.
            loading = asyncio.ensure_future(models.first.threads.run(models.load, session, progress))
            seen = ""
            while not progress.ended.is_set():
                if (now := models.state(session, progress)) != seen:
                    seen = now
                    yield {state: now}
                await asyncio.wait([loading], timeout=LOOK)
            form = models.of(session).form
            changed = form.in_place_of(before, values) if form is not before else {}
            yield {
                **{settings[key]: update for key, update in changed.items()},
                **self.shown(session),
                state: await self._state(session, note=progress.refusal),
            }

        return self.components.state.select(choose, None, [*self.outputs, *fields], **chosen, **QUEUED)

    def wire_recall(self, loaded: Dependency, find: Callable[[gr.Request], Session | None]) -> Dependency:
        """After a page was loaded: the model that its browser tab had. Returns what the rest is to wait for."""

        def recall(request: gr.Request, key: str | None) -> Any:
            session = find(request)
            if session is None:
                return gr.skip()
            note = self._models.take(session, key) if isinstance(key, str) and key else ""
            return self.shown(session, note)

        return loaded.then(recall, [self.components.key], self.outputs, js=RECALL, **AT_ONCE)

    def shown(self, session: Session, note: str = "", *, lost: bool = False) -> Updates:
        """What the page says of the model of a session; `lost`: it is another one than the page has shown."""
        drawn, parts = self.components, self._models.of(session)
        updates: Updates = {
            drawn.header: header_html(parts.engine, chosen=True),
            drawn.runs_on: runs_on_html(parts.engine),
            drawn.facts: model_facts(parts, chosen=True),
            drawn.state: self._models.state(session, note=note),
            drawn.key: session.model,
        }
        if lost:
            updates[drawn.lost] = secrets.token_hex(8)
        for follower in self._followers:
            updates |= follower.show_model(parts)
        return updates

    async def _state(self, session: Session, note: str = "") -> str:
        return await self._models.first.threads.run(lambda: self._models.state(session, note=note, rows=True))
