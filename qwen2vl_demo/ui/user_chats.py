"""The chats that `--keep-chats` keeps on the server for each user of `--auth`.

Each user has a folder of their own, named by a digest of the user's name, with `index.json`, a text for each chat (as
the browser keeps it, kept_chat.py) and the media of all chats, each once. Whose chats are meant is what Gradio knows of
the login, never what a browser says; ids of chats are checked before they become names of files.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.lru_cache import LRUCache
from qwen2vl_demo.ui.chat.conversation import Conversation
from qwen2vl_demo.ui.chat.kept_chat import MAX_TITLE, keep, read_kept
from qwen2vl_demo.ui.chat.saved_chat import CACHE_SALT, FILE_NAME, clean
from qwen2vl_demo.ui.media_store import MediaStore

log = logging.getLogger(__name__)

MAX_CHATS = 1000  # of one user
MAX_WRITERS = 10_000
FULL = "Your chats on this server have no more room, so this one is in this browser only. Delete some to make room."
FILES_FULL = "Your chats on this server have no room for the files of this one; its words are kept."
ELSEWHERE = " (as in another browser)"


@dataclass(frozen=True)
class ListedChat:
    """What the list needs to know of a chat."""

    id: str
    title: str
    at: float  # milliseconds since 1970, as in browsers: when it was last written
    version: str  # another one whenever the text is
    files: tuple[str, ...] = ()  # names in the media store
    bytes: int = 0  # of the text
    name: str = ""  # that the user gave it
    pinned: bool = False


class UserChats:
    """The folder. Safe for several threads."""

    def __init__(self, folder: Path, store: MediaStore, max_bytes: int) -> None:
        """`max_bytes` is what one user may fill."""
        self._folder, self.store, self._max_bytes = folder, store, max_bytes
        self._writers: LRUCache[tuple[str, str], str] = LRUCache(MAX_WRITERS)  # the tab that wrote a chat last
        self._locks = tuple(threading.Lock() for _ in range(16))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def owner(self, user: str) -> str:
        """Tells users apart without saying who they are."""
        return hashlib.sha256(user.encode("utf-8", "replace")).hexdigest()[:32]

    def list(self, user: str) -> tuple[ListedChat, ...]:
        with self._of(user) as folder:
            return tuple(_read(folder).values())

    def text(self, user: str, chat: str) -> str:
        """A chat as its browser keeps it; "" for one that is not this user's."""
        with self._of(user) as folder, contextlib.suppress(OSError):
            if chat in _read(folder):
                return (folder / f"{chat}.txt").read_text("utf-8")
        return ""

    def keep(self, user: str, conversation: Conversation, writer: str) -> str:
        """Keeps a chat as it is now, with its files; without a question it is deleted. `writer` is the tab it is from.

        Where another browser has gone on with the chat meanwhile, what that wrote becomes a chat of its own. Returns a
        sentence if something is not kept, else "".
        """
        chat = conversation.cache_salt
        if not conversation.turns:
            self.delete(user, chat)
            return ""
        with self._of(user) as folder:
            index = _read(folder)
            try:
                if chat in index and self._writers.get((user, chat)) != writer:
                    self._set_aside(folder, index, conversation)
                said = self._write(folder, index, conversation)
            except OSError as problem:
                log.warning("a chat cannot be kept: %s", problem.strerror)
                return FULL
        self._writers.put((user, chat), writer)
        return said

    def note(self, user: str, chat: str, name: str, pinned: bool) -> None:
        """What the user called a chat, and whether it stands first."""
        with self._of(user) as folder:
            index = _read(folder)
            if chat in index:
                index[chat] = replace(index[chat], name=clean(name)[:MAX_TITLE], pinned=pinned)
                _put(folder / "index.json", json.dumps([asdict(entry) for entry in index.values()]))

    def delete(self, user: str, chat: str) -> None:
        """Deletes a chat, and its files but for those that another chat of this user has."""
        with self._of(user) as folder:
            index = _read(folder)
            if index.pop(chat, None) is None:
                return
            _put(folder / "index.json", json.dumps([asdict(entry) for entry in index.values()]))
            (folder / f"{chat}.txt").unlink(missing_ok=True)
            needed = {name for entry in index.values() for name in entry.files}
            for path in _media(folder):
                if path.name not in needed:
                    path.unlink(missing_ok=True)

    def restore(self, user: str, names: Collection[str]) -> None:
        """Puts media that this user's chats have back into the media store, where they are no longer there."""
        with self._of(user) as folder:
            kept = [folder / "files" / name for name in names if FILE_NAME.fullmatch(name)]
        for path in kept:
            if path.is_file() and not (self.store.folder / path.name).is_file():
                with contextlib.suppress(UserError, OSError):  # then the chat says that it is not here
                    self.store.add(path, path.name)

    def _write(self, folder: Path, index: dict[str, ListedChat], conversation: Conversation) -> str:
        text = keep(conversation, self.store)
        about, chat = json.loads(text.split("\n")[1]), conversation.cache_salt
        size, old = len(text.encode()), index.get(chat)
        others = sum(entry.bytes for entry in index.values()) - (old.bytes if old else 0)
        media = {path.name: path.stat().st_size for path in _media(folder)}
        room = self._max_bytes - others - sum(media.values()) - size
        if room < 0 or (old is None and len(index) >= MAX_CHATS):
            return FULL
        said = ""
        for turn in conversation.all_turns:
            for medium in turn.media:
                path = self.store.path(medium)
                if medium.file in media or path is None:
                    continue
                needed = path.stat().st_size
                if needed > room:
                    said = FILES_FULL
                    continue
                _copy(path, folder / "files" / medium.file)
                media[medium.file] = needed
                room -= needed
        _put(folder / f"{chat}.txt", text)
        version = hashlib.sha256(text.encode()).hexdigest()[:32]
        files = tuple(about["files"])
        entry = ListedChat(chat, about["title"], time.time() * 1000, version, files, size)
        index[chat] = replace(entry, name=old.name, pinned=old.pinned) if old else entry
        _put(folder / "index.json", json.dumps([asdict(entry) for entry in index.values()]))
        return said

    def _set_aside(self, folder: Path, index: dict[str, ListedChat], now: Conversation) -> None:
        """Where the kept chat has something that is not in it `now`, a copy of it becomes another chat."""
        old = index[now.cache_salt]
        try:
            kept = read_kept((folder / f"{old.id}.txt").read_text("utf-8"))
        except (OSError, UserError):
            return
        here = {turn.number: turn for turn in now.all_turns}
        for turn in kept.all_turns:
            same = here.get(turn.number)
            words, said = (t.answer.text if t is not None and t.answer else "" for t in (turn, same))
            if same is None or not same.asks_the_same(turn) or not said.startswith(words):
                copy = replace(kept, cache_salt=secrets.token_hex(16))
                self._write(folder, index, copy)
                if copy.cache_salt in index:
                    name = (old.name or old.title)[: MAX_TITLE - len(ELSEWHERE)] + ELSEWHERE
                    index[copy.cache_salt] = replace(index[copy.cache_salt], name=name)
                return

    @contextlib.contextmanager
    def _of(self, user: str) -> Iterator[Path]:
        """A user's folder, while nobody else changes it."""
        owner = self.owner(user)
        folder = self._folder / owner
        with self._locks[int(owner[:4], 16) % len(self._locks)]:
            if not folder.is_dir():
                (folder / "files").mkdir(parents=True, mode=0o700)
                folder.chmod(0o700)
                _put(folder / "user", user)  # for the operator
            yield folder


def _read(folder: Path) -> dict[str, ListedChat]:
    try:
        entries = json.loads((folder / "index.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    found = (ListedChat(**{**entry, "files": tuple(entry["files"])}) for entry in entries)
    return {entry.id: entry for entry in found if CACHE_SALT.fullmatch(entry.id)}


def _media(folder: Path) -> list[Path]:
    return [path for path in (folder / "files").iterdir() if FILE_NAME.fullmatch(path.name)]


def _copy(path: Path, target: Path) -> None:
    part = target.with_suffix(".part")
    shutil.copyfile(path, part)
    part.chmod(0o600)
    part.replace(target)


def _put(path: Path, text: str) -> None:
    """All of a file or nothing."""
    part = path.with_suffix(".part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8", newline="") as file:
        file.write(text)
    part.replace(path)
