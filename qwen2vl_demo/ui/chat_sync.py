"""What a browser asks of the chats that the server keeps for its user (user_chats.py); static/server-chats.js asks.

Answers travel as JSON, the value of one unseen component, with the number of the request.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import gradio as gr

from qwen2vl_demo.ui.chat.controller import kept_conversation
from qwen2vl_demo.ui.chat.saved_chat import CACHE_SALT
from qwen2vl_demo.ui.panel.tab import QUEUED
from qwen2vl_demo.ui.sessions import Session
from qwen2vl_demo.ui.user_chats import UserChats
from qwen2vl_demo.ui.worker_threads import WorkerThreads

CONNECT = """
watch('value', () => window.qwen2vl?.serverChats?.receive(props.value || '{}'));
(window.qwen2vl ||= {}).askServerChats = asked => trigger('select', {index: 0, value: asked});
"""
MAX_NAME = 1000  # characters that are looked at


class ChatSync:
    """Keeps the chats of those who have logged in. Nothing here is for a visitor without a name."""

    def __init__(self, chats: UserChats, threads: WorkerThreads) -> None:
        self._chats, self._threads = chats, threads

    def draw(self) -> None:
        """Draws what is unseen into the open Gradio context."""
        self._component = gr.HTML(
            "", html_template="<i></i>", js_on_load=CONNECT, elem_id="server-chats", visible="hidden"
        )

    def wire(self) -> None:
        async def asked(request: gr.Request, event: gr.SelectData) -> Any:
            if not request.username or not isinstance(event.value, dict):
                return gr.skip()
            answer = await self._threads.run(self._answer, request.username, event.value)
            return gr.skip() if answer is None else json.dumps(answer, ensure_ascii=False)

        self._component.select(asked, None, [self._component], trigger_mode="multiple", **QUEUED)

    def keep(self, request: gr.Request, session: Session) -> str:
        """Keeps the chat of a session as it is now. Returns a sentence if something is not kept, else ""."""
        with session.lock:
            conversation = session.conversation
        if not request.username or not request.session_hash:
            return ""
        return self._chats.keep(request.username, conversation, request.session_hash)

    def restore(self, request: gr.Request, saved: Any) -> None:
        """Before a chat is shown: its files, from what is kept for this user."""
        if request.username and isinstance(saved, str) and saved and not saved.startswith("\n"):
            store = self._chats.store
            turns = kept_conversation(saved, store).all_turns
            self._chats.restore(request.username, {medium.file for turn in turns for medium in turn.media})

    def delete(self, request: gr.Request, chat: str) -> None:
        if request.username:
            self._chats.delete(request.username, chat)

    def _answer(self, user: str, asked: dict[str, Any]) -> dict[str, Any] | None:
        """What a browser asked: {"do": "list"}, {"do": "text", "id": which} or {"do": "note", "id", "name", "pinned"},
        each with a number "re". None for anything else."""
        do, number, chat = asked.get("do"), asked.get("re"), asked.get("id")
        if not isinstance(number, int) or isinstance(number, bool):
            return None
        if do == "list":
            chats = [asdict(entry) for entry in self._chats.list(user)]
            return {"re": number, "owner": self._chats.owner(user), "chats": chats}
        if not isinstance(chat, str) or not CACHE_SALT.fullmatch(chat):
            return None
        if do == "text":
            return {"re": number, "text": self._chats.text(user, chat)}
        name, pinned = asked.get("name"), asked.get("pinned")
        if do != "note" or not isinstance(name, str) or not isinstance(pinned, bool):
            return None
        self._chats.note(user, chat, name[:MAX_NAME], pinned)
        return {"re": number}
