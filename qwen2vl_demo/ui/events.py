"""Which handler answers which event, and how its PageUpdate becomes components.

Every function here is thin: it finds the session of the tab, calls a handler and translates the result. The key of a
tab is the session hash that Gradio gives each page load. The conversation that the browser keeps travels only with
what a visitor starts, since only there a lost session has to be restored; what follows by itself finds it in place.
"""

from __future__ import annotations

import asyncio
import html
import json
import mimetypes
import secrets
import shutil
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component
from gradio.events import Dependency

from qwen2vl_demo.errors import Cancelled, UserError
from qwen2vl_demo.media import TimeRange
from qwen2vl_demo.ui.attached_files import as_json, looked_at, make_view, named, pages_as_json
from qwen2vl_demo.ui.chat.answers import NOTHING_TO_SEND
from qwen2vl_demo.ui.chat.attachments import MAX_FILES
from qwen2vl_demo.ui.chat.controller import kept_conversation
from qwen2vl_demo.ui.chat.conversation import Conversation
from qwen2vl_demo.ui.chat.export import export_html, export_json
from qwen2vl_demo.ui.chat.page_update import FAILED, PageUpdate, report
from qwen2vl_demo.ui.chat_sync import ChatSync
from qwen2vl_demo.ui.example_cards import Example
from qwen2vl_demo.ui.eyes import Eyes
from qwen2vl_demo.ui.layout import Page
from qwen2vl_demo.ui.lesson.lesson import Lesson
from qwen2vl_demo.ui.media_store import DISK_FULL, NO_SPACE
from qwen2vl_demo.ui.model_menu import ModelMenu
from qwen2vl_demo.ui.models import Models
from qwen2vl_demo.ui.panel.panel import Panel
from qwen2vl_demo.ui.panel.tab import AT_ONCE, QUEUED, PageContext, Updates
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.prepared_chats import RECORDED, RECORDED_WITH, PreparedChat
from qwen2vl_demo.ui.region_events import RegionEvents
from qwen2vl_demo.ui.sessions import Draft, Session
from qwen2vl_demo.ui.settings_form import KEPT_FIELDS, MEDIA_FIELDS, TEXT_FIELDS

RECALL = """async () => {
  for (let i = 0; i < 100 && !window.qwen2vl?.recall; i++) await new Promise(done => setTimeout(done, 20));
  return [window.qwen2vl?.recall ? await window.qwen2vl.recall() : ""];
}"""
NOT_ATTACHED = "This clip is no longer attached; attach it again."
MAX_PAGE = 10**9  # the largest number of a page, as in the setting
DOWNLOAD = "(file) => { if (file) window.qwen2vl.download(file); return []; }"
FOLLOW_LINK = "() => { window.qwen2vl.links.begin(); return []; }"
FINISH = "(box, rows) => [box, window.qwen2vl.checksum(rows)]"
# With each of these static/chats.js says which chat is meant.
NEW_CHAT = "(box) => { window.qwen2vl.chats.leave(); return [box]; }"
OPEN_CHAT = "(box) => [box, ...window.qwen2vl.chats.opening()]"
FORGET_CHAT = "(box) => [box, window.qwen2vl.chats.forgetting()]"
REORDER = "(box) => [window.qwen2vl.reorder.apply(box)]"
TOGGLE_CHATS = "() => { window.qwen2vl.toggleChats(); return []; }"
TOGGLE_SETTINGS = "() => { document.querySelector('#settings .toggle-button').click(); return []; }"
TOGGLE_WIDE = "() => { window.qwen2vl.toggleWide(); return []; }"
TOGGLE_THEME = "() => { window.qwen2vl.toggleTheme(); return []; }"


@dataclass(frozen=True, eq=False)
class PageEvents:
    """The functions that Gradio calls, for one page."""

    page: Page
    parts: Parts
    panel: Panel
    lesson: Lesson
    cards: Sequence[Example]
    chats: Sequence[PreparedChat]
    models: Models
    menu: ModelMenu | None = None  # None: visitors have no choice of models
    sync: ChatSync | None = None  # None: no chats are kept on the server

    def wire(self, demo: gr.Blocks) -> None:
        """Connects the components of the page to their handlers, inside the open gr.Blocks."""
        page, chat = self.page, self.page.chat
        answer: list[Block] = [page.saved, chat.chatbot, chat.notice, chat.rows, chat.editing, page.prompt_sent]
        whole: list[Block] = [chat.composer, *answer]
        saved: list[Component] = [page.saved]
        asked = saved
        if self.menu is not None:  # with a question the page says which model it shows
            asked, whole = [*saved, self.menu.components.key], [*whole, *self.menu.outputs]
        begun = [
            chat.composer.submit(self.begin, [chat.composer, *asked], whole, trigger_mode="multiple", **AT_ONCE),
            chat.chatbot.example_select(self.begin_example, asked, whole, **AT_ONCE),
            page.linked.select(self.open_linked, [chat.composer], whole, js=NEW_CHAT, **AT_ONCE),
            chat.action.select(self.act, [chat.composer, *asked], whole, trigger_mode="multiple", **AT_ONCE),
        ]
        finished = []
        for event in begun:
            # Three steps, because what streams is sent as differences, which the browser applies to the very objects
            # that are still waiting to be drawn: a composer that streamed would lose what came between two frames.
            responded = event.then(
                self.respond, None, answer, inputs_kwargs=page.settings, trigger_mode="multiple", **QUEUED
            )
            finished.append(responded.then(self.finish, [chat.composer, chat.rows], whole, js=FINISH, **AT_ONCE))
        chat.composer.stop(self.stop, None, whole, **AT_ONCE)
        undone = chat.undo.click(self.undo, [chat.composer, *saved], whole, **AT_ONCE)
        left = gr.on(
            [chat.new_chat.click, chat.chatbot.clear], self.new_chat, [chat.composer], whole, js=NEW_CHAT, **AT_ONCE
        )
        system = page.settings["system"]
        loaded = demo.load(self.load, saved, [*whole, system], js=RECALL, **AT_ONCE)
        if self.menu is not None:
            loaded = self.menu.wire_recall(loaded, self._find)
        loaded.then(None, None, None, js=FOLLOW_LINK, **AT_ONCE)
        opened = chat.load.upload(
            self.open_file, [chat.load, *saved], [*whole, system], trigger_mode="multiple", **QUEUED
        )
        kept = page.kept
        switched = kept.open.click(
            self.open_chat,
            [chat.composer, kept.chat, kept.files],
            [*whole, system],
            js=OPEN_CHAT,
            trigger_mode="multiple",
            **QUEUED,
        )
        forgotten = kept.forget.click(
            self.forget, [chat.composer, kept.chat], whole, js=FORGET_CHAT, trigger_mode="multiple", **AT_ONCE
        )
        kept.button.click(None, None, None, js=TOGGLE_CHATS, **AT_ONCE)
        chosen = chat.clip_part.select(
            self.choose_part, [chat.composer, *saved], [chat.notice], trigger_mode="multiple", **AT_ONCE
        )
        regions = RegionEvents(page.regions, self.parts, self._opened, _draft, self._answer, self._whole, self._save)
        cut, drawn = regions.wire(chat.composer, page.saved, chat.notice, whole, [page.download, chat.notice])
        cut.then(self.describe, [chat.composer], [chat.attached], trigger_mode="multiple", **QUEUED)
        drawn.success(None, [page.download], None, js=DOWNLOAD, **AT_ONCE)
        events = [cut, undone, left, loaded, opened, switched, forgotten, chosen]
        if self.menu is not None:
            events.append(self.menu.wire(page.settings, self._opened, page.saved))
        # Before the panel: of one change, the page begins each event when the one before has ended.
        self._wire_settings(loaded)
        self._wire_panel(demo, events, finished)
        for button, write in ((chat.save_json, self.save_json), (chat.save_html, self.save_html)):
            written = button.click(write, saved, [page.download, chat.notice], trigger_mode="multiple", **QUEUED)
            written.success(None, [page.download], None, js=DOWNLOAD, **AT_ONCE)
        chat.reorder.click(None, [chat.composer], [chat.composer], js=REORDER, **AT_ONCE)
        chat.webcam_button.click(self.open_webcam, None, [chat.webcam], **AT_ONCE)
        chat.webcam_close.click(self.close_webcam, None, [chat.webcam], **AT_ONCE)
        snapshot = [chat.camera, chat.composer]
        chat.camera.input(self.attach_snapshot, snapshot, [*snapshot, chat.webcam], **AT_ONCE)
        page.settings_button.click(None, None, None, js=TOGGLE_SETTINGS, **AT_ONCE)
        page.theme.click(None, None, None, js=TOGGLE_THEME, **AT_ONCE)
        page.wide.click(None, None, None, js=TOGGLE_WIDE, **AT_ONCE)
        demo.unload(self.close)

    def _wire_settings(self, loaded: Dependency) -> None:
        """The browser keeps them (settings.js). They come back once the chat has, which has its own system prompt."""
        page, at_first = self.page, self.parts.form.shown_at_first()
        kept = [page.settings[key] for key in KEPT_FIELDS]
        defaults = json.dumps({key: at_first[key] for key in KEPT_FIELDS})
        recall = "() => [window.qwen2vl.settings.recall()]"
        keep = f"(...values) => {{ window.qwen2vl.settings.keep({defaults}, values); return []; }}"
        restored = loaded.then(self.restore_settings, [page.kept_settings], kept, js=recall, **AT_ONCE)
        restored.then(None, None, None, js="() => { window.qwen2vl.settings.begin(); return []; }", **AT_ONCE)
        if self.menu is not None:
            self.menu.components.lost.input(self.restore_settings, [page.kept_settings], kept, js=recall, **AT_ONCE)
        gr.on([field.change for field in kept], None, kept, None, js=keep, **AT_ONCE)  # type: ignore[attr-defined]
        page.settings_reset.click(self.reset_settings, None, list(page.settings.values()), **AT_ONCE)

    def restore_settings(self, request: gr.Request, kept: str) -> Any:
        session = self._find(request)
        form = self._of(session).form
        shown = form.restored(kept or "")
        if session is not None and session.conversation.turns:
            shown["system"] = session.conversation.system
        shown = form.within_limits(shown)
        return [shown[key] for key in KEPT_FIELDS]

    def reset_settings(self, request: gr.Request) -> Any:
        at_first = self._of(self._find(request)).form.shown_at_first()
        return [at_first[key] for key in self.page.settings]

    def _wire_panel(self, demo: gr.Blocks, events: Sequence[Dependency], finished: Sequence[Dependency]) -> None:
        """The panel is refreshed when files come or go, when a question has entered the conversation (in a call of its
        own, so that pictures do not travel with the words of an answer), behind `events`, and when a setting that
        changes the prompt does."""
        page, chat = self.page, self.page.chat
        outputs = [chat.cost, chat.read, *self.panel.outputs()]
        eyes = self.panel.choices
        switches = [*(page.settings[key] for key in MEDIA_FIELDS), *eyes.values()]
        changed = [switch.change for switch in switches]  # type: ignore[attr-defined]
        left = [page.settings[key].blur for key in TEXT_FIELDS]  # type: ignore[attr-defined]
        started = [*left, *changed]
        restoring: dict[str, Any] = {"inputs_kwargs": {"saved": page.saved, **eyes, **page.settings}, **QUEUED}
        plain: dict[str, Any] = {"inputs_kwargs": {**eyes, **page.settings}, **QUEUED}
        latest: dict[str, Any] = {"trigger_mode": "always_last"}
        chat.cost.input(self.describe, [chat.composer], [chat.attached], trigger_mode="multiple", **QUEUED)
        chat.pages.select(self.show_pages, [chat.composer], [chat.pages], trigger_mode="multiple", **QUEUED)
        refreshed = [
            # Files that come or go are told at once, so that those that went are no longer opened.
            chat.cost.input(self.refresh, [chat.composer], outputs, **restoring, trigger_mode="multiple"),
            *(event(self.refresh, [chat.composer], outputs, **restoring, **latest) for event in started),
            page.prompt_sent.input(self.refresh, [chat.composer], outputs, **plain, **latest),
            *(event.then(self.refresh, [chat.composer], outputs, trigger_mode="multiple", **plain) for event in events),
        ]
        context = PageContext(
            open_session=self._open,
            opened_session=self._opened,
            find_session=self._find,
            saved=page.saved,
            settings=page.settings,
            refreshed=[*refreshed, *finished],
        )
        self.panel.wire(context, demo)
        self.lesson.wire(context)

    def begin(self, request: gr.Request, box: Any, saved: str, model: str = "") -> Any:
        return self._asked(request, saved, model, lambda parts, session: parts.controller.begin(session, _draft(box)))

    def begin_example(self, request: gr.Request, event: gr.SelectData, saved: str, model: str = "") -> Any:
        if not isinstance(event.index, int) or not 0 <= event.index < len(self.cards):
            return gr.skip()
        card = self.cards[event.index]  # the page says which one; what is in it is ours
        draft = Draft(card.text, _paths(card.files))
        return self._asked(request, saved, model, lambda parts, session: parts.controller.begin(session, draft))

    def open_linked(self, request: gr.Request, event: gr.SelectData, box: Any) -> Any:
        """What an address names, in a new chat: an example is asked, a prepared chat is there with its answers."""
        target = event.value if isinstance(event.value, dict) else {}
        kind, key = target.get("kind"), target.get("key")
        card = next((card for card in self.cards if kind == "example" and card.key == key), None)
        prepared = next((chat for chat in self.chats if kind == "chat" and chat.key == key), None)
        if card is None and prepared is None:
            return gr.skip()
        session, draft = self._open(request, ""), _draft(box)
        parts = self._of(session)
        controller = parts.controller
        cleared = self._whole(controller.clear(session, keep=_names(draft)))
        self._release(request, session, draft)
        if card is not None:
            return cleared | self._whole(controller.begin(session, Draft(card.text, _paths(card.files))))
        if prepared is not None:
            try:
                chat = prepared.conversation(self.parts.store, session)
            except UserError as problem:
                return cleared | {self.page.chat.notice: _notice(str(problem))}
            notice = "" if parts.engine.name == RECORDED_WITH else RECORDED
            return cleared | self._whole(replace(controller.take(session, chat, notice), prompt_sent=True))
        return cleared

    def act(self, request: gr.Request, event: gr.SelectData, box: Any, saved: str, model: str = "") -> Any:
        return self._asked(
            request, saved, model, lambda parts, session: parts.controller.act(session, event.value, _draft(box))
        )

    def _asked(
        self, request: gr.Request, saved: str, model: str | None, do: Callable[[Parts, Session], PageUpdate]
    ) -> Any:
        """What `do` changes, unless another model would answer than the page shows, which happens when the app was
        started again meanwhile."""
        session = self._open(request, saved)
        if self.menu is not None and (lost := self.models.take(session, model or "")):
            return self._whole(PageUpdate(notice=lost)) | self.menu.shown(session, lost=True)
        return self._kept(request, session, do(self._of(session), session))

    def _kept(self, request: gr.Request, session: Session, update: PageUpdate) -> Any:
        """What an update changes; the chat as it is now is kept for its user, unless it is being written."""
        if self.sync is not None and session.run is None and (said := self.sync.keep(request, session)):
            update = replace(update, notice=update.notice or said)
        return self._whole(update)

    async def respond(self, request: gr.Request, **settings: Any) -> AsyncGenerator[Any, None]:
        session = self._find(request)
        if session is not None:
            updates = self._of(session).controller.answers.respond(session, settings)
            try:
                async for update in updates:
                    yield self._answer(update) or gr.skip()
            finally:
                await updates.aclose()
        yield gr.skip()  # Gradio sends the last update of a stream again when it ends

    def finish(self, request: gr.Request, box: Any, shown: Any) -> Any:
        session = self._find(request)
        answers = self._of(session).controller.answers
        if session is None:
            return self._whole(PageUpdate(busy=False))
        return self._kept(request, session, answers.finish(session, _draft(box), shown))

    def stop(self, request: gr.Request) -> Any:
        session = self._find(request)
        return self._whole(PageUpdate(busy=False) if session is None else self._of(session).controller.stop(session))

    def undo(self, request: gr.Request, box: Any, saved: str) -> Any:
        session = self._open(request, saved)
        return self._kept(request, session, self._of(session).controller.undo(session, _draft(box)))

    def new_chat(self, request: gr.Request, box: Any) -> Any:
        """An empty chat. The files of the one before are the browser's now: here they go as if its tab were closed."""
        session, draft = self._open(request, ""), _draft(box)
        update = self._of(session).controller.clear(session, keep=_names(draft))
        self._release(request, session, update.draft or draft)
        return self._whole(update)

    async def open_chat(self, request: gr.Request, box: Any, saved: str, files: Any) -> Any:
        """Another chat that the browser kept, with those of its files that are no longer here."""
        session = await self._opened(request, saved)

        def read() -> PageUpdate:
            if self.sync is not None:
                self.sync.restore(request, saved)
            for path in files if isinstance(files, list) else ():
                with suppress(UserError, OSError):  # then the chat says that it is not here
                    self.parts.store.add(Path(path), Path(path).name)
            return self._of(session).controller.open_chat(session, saved if isinstance(saved, str) else "")

        update = await self.parts.threads.run_for(session, read)
        self._release(request, session, update.draft or _draft(box))
        return self._whole(update) | ({} if update.messages is None else self._system(session))

    def forget(self, request: gr.Request, box: Any, saved: str) -> Any:
        """Deletes all files of a chat at once; where it is the one that is shown, an empty one takes its place. What
        stands in the composer stays."""
        began, session, parts = time.time(), self._open(request, ""), self.parts
        chat = kept_conversation(saved if isinstance(saved, str) else "", parts.store)
        files = {medium.file for turn in chat.all_turns for medium in turn.media}
        update = PageUpdate()
        if not chat.turns or chat.cache_salt == session.conversation.cache_salt:
            draft, before = _draft(box), session.files()
            update = self._of(session).controller.clear(session, keep=_names(draft))
            files |= before - session.files()
            self._release(request, session, update.draft or draft)
        parts.store.forget(files, parts.sessions.files(), began)
        if self.sync is not None and chat.turns:
            self.sync.delete(request, chat.cache_salt)
        return self._whole(update)

    def _release(self, request: gr.Request, session: Session, standing: Draft) -> None:
        """Deletes what this tab uploaded and exported so far, but for what stands in its composer."""
        self.parts.uploads.release(request.session_hash or "", keep={Path(path) for path in standing.files})
        session.delete_exports()

    def load(self, request: gr.Request, saved: str) -> Any:
        if self.sync is not None:
            self.sync.restore(request, saved)
        session = self._open(request, saved)
        return self._whole(self._of(session).controller.restore(session)) | self._system(session)

    async def open_file(self, request: gr.Request, path: str | None, saved: str) -> Any:
        session = await self._opened(request, saved)

        def read() -> PageUpdate:
            return self._of(session).controller.import_chat(session, Path(path).read_bytes() if path else b"")

        update = await self.parts.threads.run_for(session, read)
        changed = await asyncio.to_thread(self._kept, request, session, update)
        return changed | ({} if update.messages is None else self._system(session))

    async def refresh(
        self, request: gr.Request, box: Any, saved: str | None = None, eyes: Any = "model", **settings: Any
    ) -> Any:
        """The line of cost, and all tabs of the panel. Without `saved` a session that is gone stays gone."""
        session = (self._find(request) or Session()) if saved is None else await self._opened(request, saved)
        draft = _draft(box)
        begun = session.begin_preview(draft.files)  # at once, so that the draft before is no longer opened

        def draw() -> Updates:
            seen: Eyes = "released" if eyes == "released" else "model"
            update = self._of(session).preview.refresh(session, draft, settings, begun, seen)
            updates: Updates = {}
            if update.cost is not None:
                read = json.dumps(
                    {"files": draft.files, "new": secrets.token_hex(4)}
                )  # the same files may be read again
                updates = {self.page.chat.cost: html.escape(update.cost), self.page.chat.read: read}
            return updates if update.panel is None else updates | self.panel.update(update.panel)

        return await self.parts.threads.run_for(session, draw) or gr.skip()

    async def describe(self, request: gr.Request, box: Any) -> AsyncGenerator[Any, None]:
        """What the composer shows of its files: their names at once, then what each of them is."""
        session, store, threads = self._find(request) or Session(), self.parts.store, self.parts.threads
        cancel, turn = session.begin_description(), (session, "description")
        files = [named(path, session) for path in _draft(box).files[:MAX_FILES]]
        yield {self.page.chat.attached: as_json(files)}
        with suppress(Cancelled):  # other files stand there now
            for place, file in enumerate(files):
                files[place] = await threads.run_for(turn, looked_at, file, store, cancel)
                yield {self.page.chat.attached: as_json(files)}
            for file in files:  # what was sent meanwhile is about to be shown
                await threads.run_for(turn, make_view, file, store, session.closed)

    async def show_pages(self, request: gr.Request, event: gr.SelectData, box: Any) -> Any:
        """Small pictures of the pages of a document in the composer, from the page that the event names on."""
        session, path, first = self._find(request), event.value, event.index
        known = isinstance(path, str) and path in _draft(box).files
        if session is None or not known or not isinstance(first, int) or not 1 <= first <= MAX_PAGE:
            return gr.skip()
        name, store = named(path, session).name, self.parts.store
        try:
            return await self.parts.threads.run_for(
                (session, "description"), pages_as_json, path, name, first, store, session.description
            )
        except Cancelled:  # other files stand there now
            return gr.skip()

    def choose_part(self, request: gr.Request, event: gr.SelectData, box: Any, saved: str) -> Any:
        """Which part of a clip in the composer is to be looked at: {"file", "start", "end"}, in seconds."""
        chosen: Any = event.value if isinstance(event.value, dict) else {}
        file, start, end = (chosen.get(key) for key in ("file", "start", "end"))
        bounds = (start, 0 if end is None else end)
        numbers = all(isinstance(n, int | float) and not isinstance(n, bool) for n in bounds)
        if file not in _draft(box).files or not numbers:
            return {self.page.chat.notice: _notice(NOT_ATTACHED)}
        try:
            self._open(request, saved).choose_time_range(file, TimeRange(start, end))
        except UserError as problem:
            return {self.page.chat.notice: _notice(str(problem))}
        return {self.page.chat.notice: ""}

    async def save_json(self, request: gr.Request, saved: str) -> Any:
        store, engine = self.parts.store, self._of(self._find(request)).engine
        return await self._save(request, saved, "chat.json", lambda chat: export_json(chat, store, engine.name))

    async def save_html(self, request: gr.Request, saved: str) -> Any:
        store, engine = self.parts.store, self._of(self._find(request)).engine
        return await self._save(
            request, saved, "chat.html", lambda chat: export_html(chat, store, engine.name, engine.description)
        )

    async def _save(
        self, request: gr.Request, saved: str, name: str, write: Callable[[Conversation], str | bytes]
    ) -> Any:
        """Writes the chat, or a part of it, to a file that only this visitor can name; it is deleted when the tab
        closes."""
        page, session = self.page, await self._opened(request, saved)
        if not session.conversation.turns or not request.session_hash:  # of no tab, with whose end it would go
            return {page.download: None, page.chat.notice: _notice("There is nothing to save yet.")}
        folder = Path(page.download.GRADIO_CACHE) / f"chat-{secrets.token_hex(16)}"
        try:
            folder.mkdir(parents=True, mode=0o700)
            file = folder / name
            file.touch(mode=0o600)
            content = await self.parts.threads.run_for(session, write, session.conversation)
            file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        except UserError as problem:
            shutil.rmtree(folder, ignore_errors=True)
            return {page.download: None, page.chat.notice: _notice(str(problem))}
        except Exception as problem:
            shutil.rmtree(folder, ignore_errors=True)
            full = isinstance(problem, OSError) and problem.errno in DISK_FULL
            if not full:
                report(problem, "saving a chat")
            sentence = NO_SPACE if full else FAILED.format("the export")
            return {page.download: None, page.chat.notice: _notice(sentence)}
        session.exports.append(file)
        return {page.download: gr.DownloadButton(value=str(file)), page.chat.notice: ""}

    def open_webcam(self) -> Any:
        return gr.Group(visible=True)

    def close_webcam(self) -> Any:
        """What is not visible is not in the page, which ends the camera's stream."""
        return gr.Group(visible=False)

    def attach_snapshot(self, path: str | None, box: Any) -> Any:
        draft, chat = _draft(box), self.page.chat
        if not path:
            return gr.skip()
        composer = {"text": draft.text, "files": [*draft.files, path]}
        return {chat.camera: None, chat.composer: composer, chat.webcam: self.close_webcam()}

    def close(self, request: gr.Request) -> None:
        """A tab was closed. Its media stay for a moment, as it may be loading again."""
        self.parts.sessions.drop(request.session_hash)
        self.parts.uploads.release(request.session_hash or "")

    def _open(self, request: gr.Request, saved: str) -> Session:
        return self.parts.sessions.open(request.session_hash, saved if isinstance(saved, str) else None)

    async def _opened(self, request: gr.Request, saved: str) -> Session:
        """`_open` for a coroutine: to read what a browser kept takes a while, and the event loop must not wait."""
        return await asyncio.to_thread(self._open, request, saved)

    def _of(self, session: Session | None) -> Parts:
        """The parts of the model that a session has chosen."""
        return self.parts if session is None else self.models.of(session)

    def _find(self, request: gr.Request) -> Session | None:
        return self.parts.sessions.find(request.session_hash)

    def _whole(self, update: PageUpdate) -> Updates:
        """The composer, and all that `_answer` changes."""
        composer: dict[str, Any] = {}
        if update.busy is not None:
            composer |= {"submit_btn": not update.busy, "stop_btn": update.busy}
        if update.draft is not None:
            files = [_file(path) for path in update.draft.files]
            composer["value"] = {"text": update.draft.text, "files": files}
        chat = self.page.chat
        changed: Updates = {chat.composer: gr.MultimodalTextbox(**composer) if composer else gr.skip()}
        return changed | self._answer(update)

    def _answer(self, update: PageUpdate) -> Updates:
        page, chat = self.page, self.page.chat
        changed: Updates = {}
        if update.saved is not None:
            changed[page.saved] = update.saved
        if update.messages is not None:
            changed[chat.chatbot] = update.messages
        if update.notice is not None:
            changed[chat.notice] = _notice(update.notice)
        if update.rows is not None:
            changed[chat.rows] = update.rows
        if update.editing is not None:
            changed[chat.editing] = _editing(update.editing)
        if update.prompt_sent:
            changed[page.prompt_sent] = secrets.token_hex(8)  # any other value will do
        return changed

    def _system(self, session: Session) -> Updates:
        """The system prompt of a chat; that of an empty one is whatever stands in the settings."""
        chat = session.conversation
        return {self.page.settings["system"]: chat.system} if chat.turns else {}


def _draft(box: Any) -> Draft:
    box = box if isinstance(box, dict) else {}
    return Draft(box.get("text") or "", tuple(box.get("files") or ()))


def _paths(files: Sequence[Path]) -> tuple[str, ...]:
    return tuple(str(file) for file in files)


def _names(draft: Draft) -> set[str]:
    return {Path(path).name for path in draft.files}


def _file(path: str) -> dict[str, Any]:
    name = Path(path).name
    kind = "image/webp" if name.endswith(".webp") else mimetypes.guess_type(name)[0]
    return {"path": path, "orig_name": name, "mime_type": kind, "meta": {"_type": "gradio.FileData"}}


def _notice(sentence: str) -> str:
    if sentence == NOTHING_TO_SEND:  # attached.js takes it away; new each time, so that the page draws it once more
        return f'<p role="alert" class="until-there-is" data-new="{secrets.token_hex(4)}">{html.escape(sentence)}</p>'
    return f'<p role="alert">{html.escape(sentence)}</p>' if sentence else ""


def _editing(question: int) -> str:
    """The line above the composer while it holds a question that was asked; message-rows.js hears its button."""
    if not question:
        return ""
    said = f"Editing question {question}. It is asked anew, and the old one stays as another version."
    return f'<p role="status" data-question="{question}">{said}</p> <button type="button">Cancel</button>'
