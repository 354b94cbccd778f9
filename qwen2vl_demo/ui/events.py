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

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.chat import Chat
from qwen2vl_demo.ui.examples import Example
from qwen2vl_demo.ui.export import export_html, export_json
from qwen2vl_demo.ui.page import Page
from qwen2vl_demo.ui.panel import panel_html
from qwen2vl_demo.ui.sessions import Draft, Session
from qwen2vl_demo.ui.view import LOST, View, report

PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
AT_ONCE: dict[str, Any] = {**PRIVATE, "queue": False}
# No limit: the engine itself takes one conversation at a time, and a question must show on the page while it waits.
ANSWERING: dict[str, Any] = {**PRIVATE, "concurrency_limit": None, "trigger_mode": "multiple"}

RECALL = """async (...values) => {
  for (let i = 0; i < 100 && !window.qwen2vl; i++) await new Promise(done => setTimeout(done, 20));
  return [window.qwen2vl ? await window.qwen2vl.recall() : "", ...values.slice(1)];
}"""
DOWNLOAD = "(file) => { if (file) window.qwen2vl.download(file); return []; }"
TOGGLE_SETTINGS = "() => { document.querySelector('#settings .toggle-button').click(); return []; }"
TOGGLE_THEME = "() => { window.qwen2vl.toggleTheme(); return []; }"


def wire(demo: gr.Blocks, page: Page, chat: Chat, cards: Sequence[Example]) -> None:
    """Connects the components of a page to the handlers of its chat, inside the open gr.Blocks."""
    on = _Handlers(page, chat, cards)
    outputs = [page.saved, page.chatbot, page.composer, page.notice, page.numbers, page.panel]
    restored = [*outputs, page.settings[0]]
    state = [page.saved, *page.settings]
    page.composer.submit(on.send, [page.composer, *state], outputs, **ANSWERING)
    page.chatbot.example_select(on.example, state, outputs, **ANSWERING)
    page.retry.click(on.retry, state, outputs, **ANSWERING)
    page.undo.click(on.undo, state, outputs, **ANSWERING)
    page.composer.stop(on.stop, [page.saved], outputs, **AT_ONCE)
    gr.on([page.clear.click, page.chatbot.clear], on.clear, [page.saved], outputs, **AT_ONCE)
    demo.load(on.load, state, restored, js=RECALL, **ANSWERING)
    page.load.upload(on.open_file, [page.load, *state], restored, **ANSWERING)
    page.cost.input(on.files, [page.composer, *state], [page.cost], **{**ANSWERING, "trigger_mode": "always_last"})
    for button, write in ((page.save_json, on.save_json), (page.save_html, on.save_html)):
        written = button.click(write, [page.saved], [page.download, page.notice], **ANSWERING)
        written.success(None, [page.download], None, js=DOWNLOAD, **AT_ONCE)
    page.webcam_button.click(on.webcam, None, [page.webcam], **AT_ONCE)
    shot = [page.camera, page.composer]
    page.camera.input(on.snapshot, shot, [*shot, page.webcam], **AT_ONCE)
    page.settings_button.click(None, None, None, js=TOGGLE_SETTINGS, **AT_ONCE)
    page.theme.click(None, None, None, js=TOGGLE_THEME, **AT_ONCE)
    file, question, answer, button = page.ask
    button.click(on.ask, [file, question], [answer], api_name="ask", concurrency_limit=4)
    demo.unload(on.close)


class _Handlers:
    """The functions that Gradio calls."""

    def __init__(self, page: Page, chat: Chat, cards: Sequence[Example]) -> None:
        self.page, self.chat, self.cards = page, chat, cards

    def send(self, request: gr.Request, box: Any, saved: str, *values: Any) -> Iterator[list[Any]]:
        yield from _shown(self.chat.send(self._session(request, saved), _draft(box), values))

    def example(self, request: gr.Request, event: gr.SelectData, saved: str, *values: Any) -> Iterator[list[Any]]:
        if isinstance(event.index, int) and 0 <= event.index < len(self.cards):
            card = self.cards[event.index]  # the page says which one; what is in it is ours
            draft = Draft(card.text, tuple(str(file) for file in card.files))
            yield from _shown(self.chat.send(self._session(request, saved), draft, values))
        yield _updates(View())

    def retry(self, request: gr.Request, saved: str, *values: Any) -> Iterator[list[Any]]:
        yield from _shown(self.chat.retry(self._session(request, saved), values))

    def undo(self, request: gr.Request, saved: str, *values: Any) -> Iterator[list[Any]]:
        yield from _shown(self.chat.undo(self._session(request, saved), values))

    def stop(self, request: gr.Request, saved: str) -> list[Any]:
        return _updates(self.chat.stop(self._session(request, saved)))

    def clear(self, request: gr.Request, saved: str) -> list[Any]:
        return _updates(self.chat.clear(self._session(request, saved)))

    def load(self, request: gr.Request, saved: str, *values: Any) -> Iterator[list[Any]]:
        session = self._session(request, saved)
        for view in self.chat.restore(session, values):
            yield [*_updates(view), session.conversation.system]
        yield [*_updates(View()), gr.skip()]

    def open_file(self, request: gr.Request, path: str | None, saved: str, *values: Any) -> Iterator[list[Any]]:
        session = self._session(request, saved)
        before = session.conversation
        for view in self.chat.import_chat(session, Path(path).read_bytes() if path else b"", values):
            changed = session.conversation is not before
            yield [*_updates(view), session.conversation.system if changed else gr.skip()]
        yield [*_updates(View()), gr.skip()]

    def files(self, request: gr.Request, box: Any, saved: str, *values: Any) -> str:
        return html.escape(self.chat.preview(self._session(request, saved), _draft(box), values))

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


def _shown(views: Iterator[View]) -> Iterator[list[Any]]:
    """Views as updates. Gradio sends the last update of a stream twice, so the last one changes nothing."""
    for view in views:
        yield _updates(view)
    yield _updates(View())


def _updates(view: View) -> list[Any]:
    """In the order of `outputs`: saved, chat, composer, notice, numbers, panel."""
    composer: dict[str, Any] = {}
    if view.busy is not None:
        composer |= {"submit_btn": not view.busy, "stop_btn": view.busy}
    if view.draft is not None:
        composer["value"] = {"text": view.draft.text, "files": [_file(path) for path in view.draft.files]}
    return [
        gr.skip() if view.saved is None else view.saved,
        gr.skip() if view.messages is None else view.messages,
        gr.MultimodalTextbox(**composer) if composer else gr.skip(),
        gr.skip() if view.notice is None else _notice(view.notice),
        gr.skip() if view.numbers is None else _line(view.numbers),
        gr.skip() if view.prompt is None else panel_html(*view.prompt),
    ]


def _file(path: str) -> dict[str, Any]:
    name = Path(path).name
    kind = "image/webp" if name.endswith(".webp") else mimetypes.guess_type(name)[0]
    return {"path": path, "orig_name": name, "mime_type": kind, "meta": {"_type": "gradio.FileData"}}


def _notice(sentence: str) -> str:
    return f'<p role="alert">{html.escape(sentence)}</p>' if sentence else ""


def _line(numbers: str) -> str:
    return f'<p role="status">{html.escape(numbers)}</p>' if numbers else ""
