"""Which handler answers which event, and how its View becomes components. `chat.py` knows what to do.

Every function here is thin: it finds the tab's session, calls the handler and translates. The key of a tab is the
session hash that Gradio gives each page load.
"""

from __future__ import annotations

import html
import mimetypes
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.answer_settings import FIELDS
from qwen2vl_demo.ui.chat.controller import Chat
from qwen2vl_demo.ui.chat.export import export_html, export_json
from qwen2vl_demo.ui.chat.page_update import LOST, View, report
from qwen2vl_demo.ui.example_cards import Example
from qwen2vl_demo.ui.layout import Page
from qwen2vl_demo.ui.panel.tabs import update_panel, wire_panel
from qwen2vl_demo.ui.sessions import Draft, Session

PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
AT_ONCE: dict[str, Any] = {**PRIVATE, "queue": False}
# No limit: the engine itself takes one conversation at a time, and a question must show on the page while it waits.
QUEUED: dict[str, Any] = {**PRIVATE, "concurrency_limit": None, "trigger_mode": "multiple"}

RECALL = """async () => {
  for (let i = 0; i < 100 && !window.qwen2vl?.recall; i++) await new Promise(done => setTimeout(done, 20));
  return [window.qwen2vl?.recall ? await window.qwen2vl.recall() : ""];
}"""
DOWNLOAD = "(file) => { if (file) window.qwen2vl.download(file); return []; }"
TOGGLE_SETTINGS = "() => { document.querySelector('#settings .toggle-button').click(); return []; }"
TOGGLE_WIDE = "() => { window.qwen2vl.toggleWide(); return []; }"
TOGGLE_THEME = "() => { window.qwen2vl.toggleTheme(); return []; }"


def wire(demo: gr.Blocks, page: Page, chat: Chat, cards: Sequence[Example]) -> None:
    """Connects the components of a page to the handlers of its chat, inside the open gr.Blocks."""
    on = _Handlers(page, chat, cards)
    answer: list[Component] = [page.saved, page.chatbot, page.notice, page.numbers, page.asked]
    whole: list[Component] = [page.composer, *answer]
    state: list[Component] = [page.saved, *page.settings]
    begun = [
        page.composer.submit(on.begin, [page.composer, page.saved], whole, **AT_ONCE, trigger_mode="multiple"),
        page.chatbot.example_select(on.begin_example, [page.saved], whole, **AT_ONCE),
        page.retry.click(on.begin_retry, [page.saved], whole, **AT_ONCE),
    ]
    answered = []
    for event in begun:
        # Three steps, because what streams is sent as differences, which the browser applies to the very objects that
        # are still waiting to be drawn: a composer that streamed would lose what came between two frames.
        responded = event.then(on.respond, state, answer, **QUEUED)
        answered.append(responded.then(on.finish, [page.saved], whole, **AT_ONCE))
    page.composer.stop(on.stop, [page.saved], whole, **AT_ONCE)
    undone = page.undo.click(on.undo, [page.saved], whole, **AT_ONCE)
    cleared = gr.on([page.clear.click, page.chatbot.clear], on.clear, [page.saved], whole, **AT_ONCE)
    loaded = demo.load(on.load, [page.saved], [*whole, page.settings[0]], js=RECALL, **AT_ONCE)
    opened = page.load.upload(on.open_file, [page.load, page.saved], [*whole, page.settings[0]], **QUEUED)
    _wire_panel(page, on, state, [undone, cleared, loaded, opened], answered)
    for button, write in ((page.save_json, on.save_json), (page.save_html, on.save_html)):
        written = button.click(write, [page.saved], [page.download, page.notice], **QUEUED)
        written.success(None, [page.download], None, js=DOWNLOAD, **AT_ONCE)
    page.webcam_button.click(on.webcam, None, [page.webcam], **AT_ONCE)
    shot = [page.camera, page.composer]
    page.camera.input(on.snapshot, shot, [*shot, page.webcam], **AT_ONCE)
    page.settings_button.click(None, None, None, js=TOGGLE_SETTINGS, **AT_ONCE)
    page.theme.click(None, None, None, js=TOGGLE_THEME, **AT_ONCE)
    page.wide.click(None, None, None, js=TOGGLE_WIDE, **AT_ONCE)
    file, question, reply, button = page.ask
    button.click(on.ask, [file, question], [reply], api_name="ask", concurrency_limit=4)
    demo.unload(on.close)


def _wire_panel(
    page: Page, on: _Handlers, state: list[Component], events: Sequence[Any], answered: Sequence[Any]
) -> None:
    """The panel looks again when files come or go, when a question was sent (in a call of its own, so that pictures do
    not travel with the words of an answer), behind `events`, and when a setting that changes the prompt does. Tabs that
    follow the session are told behind each look, and when an answer ended."""
    shown: list[Component] = [page.cost, *(component for tab in page.panel for component in tab)]
    latest = {**QUEUED, "trigger_mode": "always_last"}
    setting: dict[str, Any] = dict(zip(FIELDS, page.settings, strict=True))
    changed = [setting[name].change for name in ("min_tokens", "max_tokens", "fps", "max_frames", "add_vision_id")]
    look: list[Component] = [page.composer, *state]
    looked = [
        *(
            listener(on.look, look, shown, **latest)
            for listener in (page.cost.input, page.asked.input, setting["system"].blur, *changed)
        ),
        *(event.then(on.look, look, shown, **QUEUED) for event in events),
    ]
    wire_panel(on.chat, page.panel, state, [*looked, *answered])


class _Handlers:
    """The functions that Gradio calls."""

    def __init__(self, page: Page, chat: Chat, cards: Sequence[Example]) -> None:
        self.page, self.chat, self.cards = page, chat, cards

    def begin(self, request: gr.Request, box: Any, saved: str) -> list[Any]:
        return _whole(self.chat.begin(self._session(request, saved), _draft(box)))

    def begin_example(self, request: gr.Request, event: gr.SelectData, saved: str) -> list[Any]:
        if not isinstance(event.index, int) or not 0 <= event.index < len(self.cards):
            return _whole(View())
        card = self.cards[event.index]  # the page says which one; what is in it is ours
        draft = Draft(card.text, tuple(str(file) for file in card.files))
        return _whole(self.chat.begin(self._session(request, saved), draft))

    def begin_retry(self, request: gr.Request, saved: str) -> list[Any]:
        return _whole(self.chat.begin_retry(self._session(request, saved)))

    def respond(self, request: gr.Request, saved: str, *values: Any) -> Iterator[list[Any]]:
        for view in self.chat.respond(self._session(request, saved), values):
            yield _answer(view)
        yield _answer(View())  # Gradio sends the last update of a stream again when it ends

    def finish(self, request: gr.Request, saved: str) -> list[Any]:
        return _whole(self.chat.finish(self._session(request, saved)))

    def stop(self, request: gr.Request, saved: str) -> list[Any]:
        return _whole(self.chat.stop(self._session(request, saved)))

    def undo(self, request: gr.Request, saved: str) -> list[Any]:
        return _whole(self.chat.undo(self._session(request, saved)))

    def clear(self, request: gr.Request, saved: str) -> list[Any]:
        return _whole(self.chat.clear(self._session(request, saved)))

    def load(self, request: gr.Request, saved: str) -> list[Any]:
        session = self._session(request, saved)
        return [*_whole(self.chat.restore(session)), session.conversation.system]

    def open_file(self, request: gr.Request, path: str | None, saved: str) -> list[Any]:
        session = self._session(request, saved)
        view = self.chat.import_chat(session, Path(path).read_bytes() if path else b"")
        return [*_whole(view), gr.skip() if view.messages is None else session.conversation.system]

    def look(self, request: gr.Request, box: Any, saved: str, *values: Any) -> list[Any]:
        """The line of cost, then the components of all tabs of the panel."""
        look = self.chat.look(self._session(request, saved), _draft(box), values)
        cost = gr.skip() if look.cost is None else html.escape(look.cost)
        if look.sight is None:
            return [cost, *(gr.skip() for tab in self.page.panel for _ in tab)]
        return [cost, *update_panel(self.chat.engine, look.sight)]

    def save_json(self, request: gr.Request, saved: str) -> tuple[Any, Any]:
        return self._save(request, saved, "chat.json", lambda c: export_json(c, self.chat.store, self.chat.engine.name))

    def save_html(self, request: gr.Request, saved: str) -> tuple[Any, Any]:
        engine = self.chat.engine
        return self._save(
            request, saved, "chat.html", lambda c: export_html(c, self.chat.store, engine.name, engine.description)
        )

    def _save(self, request: gr.Request, saved: str, name: str, write: Callable[[Any], str]) -> tuple[Any, Any]:
        """Writes the chat to a file that only this visitor can name; it goes when the tab closes."""
        session = self._session(request, saved)
        if not session.conversation.turns:
            return None, _notice("There is nothing to save yet.")
        folder = Path(self.page.download.GRADIO_CACHE) / f"chat-{secrets.token_hex(16)}"
        try:
            folder.mkdir(parents=True)
            file = folder / name
            file.write_text(write(session.conversation), encoding="utf-8")
        except Exception as problem:
            report(problem, "saving a chat")
            return None, _notice(LOST.format("the export"))
        session.exports.append(file)
        return gr.DownloadButton(value=str(file)), ""

    def webcam(self) -> Any:
        return gr.Group(visible=True)

    def snapshot(self, path: str | None, box: Any) -> tuple[Any, Any, Any]:
        draft = _draft(box)
        if not path:
            return gr.skip(), gr.skip(), gr.skip()
        return None, {"text": draft.text, "files": [*draft.files, path]}, gr.Group(visible=False)

    def ask(self, file: str | None, question: str) -> Iterator[str]:
        """One question, with a picture, a clip or a PDF if you like; streams the answer. Keeps no conversation."""
        try:
            yield from self.chat.ask(Draft(question or "", (file,) if file else ()))
        except UserError as problem:
            raise gr.Error(str(problem), print_exception=False) from None
        except Exception as problem:
            report(problem, "answering a call")
            raise gr.Error(LOST.format(self.chat.engine.name), print_exception=False) from None

    def close(self, request: gr.Request) -> None:
        self.chat.sessions.drop(request.session_hash)

    def _session(self, request: gr.Request, saved: str) -> Session:
        return self.chat.open(request.session_hash, saved if isinstance(saved, str) else None)


def _draft(box: Any) -> Draft:
    box = box if isinstance(box, dict) else {}
    return Draft(box.get("text") or "", tuple(box.get("files") or ()))


def _whole(view: View) -> list[Any]:
    """Composer first, then `_answer`."""
    composer: dict[str, Any] = {}
    if view.busy is not None:
        composer |= {"submit_btn": not view.busy, "stop_btn": view.busy}
    if view.draft is not None:
        composer["value"] = {"text": view.draft.text, "files": [_file(path) for path in view.draft.files]}
    return [gr.MultimodalTextbox(**composer) if composer else gr.skip(), *_answer(view)]


def _answer(view: View) -> list[Any]:
    """Saved, chat, notice, numbers, asked."""
    return [
        gr.skip() if view.saved is None else view.saved,
        gr.skip() if view.messages is None else view.messages,
        gr.skip() if view.notice is None else _notice(view.notice),
        gr.skip() if view.numbers is None else _line(view.numbers),
        gr.skip() if view.prompt is None else secrets.token_hex(8),  # another value, that is all it says
    ]


def _file(path: str) -> dict[str, Any]:
    name = Path(path).name
    kind = "image/webp" if name.endswith(".webp") else mimetypes.guess_type(name)[0]
    return {"path": path, "orig_name": name, "mime_type": kind, "meta": {"_type": "gradio.FileData"}}


def _notice(sentence: str) -> str:
    return f'<p role="alert">{html.escape(sentence)}</p>' if sentence else ""


def _line(numbers: str) -> str:
    return f'<p role="status">{html.escape(numbers)}</p>' if numbers else ""
