"""What the composer says about each of its files: the name, how long it is, a poster, and why it cannot be sent."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import secrets
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import PIL.Image

from qwen2vl_demo.errors import Cancelled, UserError
from qwen2vl_demo.media import browser_files
from qwen2vl_demo.media.overview import POSTER_SIDE, Overview
from qwen2vl_demo.ui.chat.conversation import count, duration
from qwen2vl_demo.ui.chat.saved_chat import MAX_NAME, clean
from qwen2vl_demo.ui.media_store import SHOWABLE, MediaStore
from qwen2vl_demo.ui.sessions import Session

PAGES_AT_ONCE = 12  # of a document whose pages are being chosen


@dataclass(frozen=True)
class AttachedFile:
    """One file of the composer, for ui/static/attached.js."""

    id: str  # its path, by which the page is told when it has been read
    name: str
    detail: str = ""  # "40 pages", "12 s", "picture"; "" while it is not known
    poster: str = ""  # a data URI; "" where the browser shows the file itself or nothing can be shown
    problem: str = ""  # the sentence that says why it cannot be sent
    kind: Literal["", "image", "video", "pdf"] = ""  # "" while it is not known
    pages: int = 0  # of a document
    seconds: float | None = None  # of a clip, as its header says; None: it is not known
    part: tuple[float, float | None] | None = None  # (start, end) in s of what is looked at of a clip; None: all of it


def named(path: str, session: Session) -> AttachedFile:
    """A file of which nothing is known but its name, and what was chosen of it."""
    own, chosen = Path(path).name, session.time_ranges.get(path)
    part = (chosen.start, chosen.end) if chosen else None
    return AttachedFile(path, clean(session.names.get(own, own))[:MAX_NAME], part=part)


def as_json(files: Sequence[AttachedFile]) -> str:
    return json.dumps([asdict(file) for file in files])


def looked_at(file: AttachedFile, store: MediaStore, cancel: threading.Event) -> AttachedFile:
    """The same with what its headers say, and its poster. Raises Cancelled once `cancel` is set."""
    path = Path(file.id)
    try:
        seen = store.overview(path, file.name, cancel)
        poster = seen.poster
        if seen.kind == "image":
            poster = _picture(store, path, file.name, cancel)
    except UserError as problem:
        return AttachedFile(file.id, file.name, "cannot be opened", problem=str(problem))
    except OSError:  # it was taken away meanwhile
        return file
    return replace(
        file, detail=_detail(seen), poster=_uri(poster), kind=seen.kind, pages=seen.pages, seconds=seen.seconds
    )


def pages_as_json(path: str, name: str, first: int, store: MediaStore, cancel: threading.Event) -> str:
    """The posters of PAGES_AT_ONCE pages of a document from `first` on, for ui/static/pages.js. Raises Cancelled."""
    try:
        posters = store.page_posters(Path(path), name, first, PAGES_AT_ONCE, cancel)
    except (UserError, OSError):  # why was said when the file was attached
        posters = ()
    # `new` makes it another value each time: the page is told of nothing else.
    return json.dumps({"id": path, "first": first, "posters": [*map(_uri, posters)], "new": secrets.token_hex(4)})


def make_view(file: AttachedFile, store: MediaStore, cancel: threading.Event) -> None:
    """Makes what the chat will show of a clip, while the question is still being typed; ends once `cancel` is set."""
    if file.kind == "video":
        with contextlib.suppress(UserError, OSError, Cancelled):  # it will be said when the file is sent
            for medium in store.upload(Path(file.id), file.name, cancel=cancel).media:
                store.view(medium, cancel)


def _picture(store: MediaStore, path: Path, name: str, cancel: threading.Event) -> bytes:
    """A poster of a picture that browsers do not show, or not upright: it is cropped as it is seen."""
    (medium,) = store.upload(path, name, cancel=cancel).media
    if medium.file.rpartition(".")[2] in SHOWABLE and browser_files.is_turned_by_browsers(path):
        return b""
    if (view := store.view(medium)) is None:
        return b""
    with PIL.Image.open(view) as picture:  # written by this page itself
        picture.thumbnail((POSTER_SIDE, POSTER_SIDE))
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP")
    return buffer.getvalue()


def _uri(poster: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(poster).decode('ascii')}" if poster else ""


def _detail(seen: Overview) -> str:
    if seen.kind == "pdf":
        return count(seen.pages, "page")
    if seen.kind == "video":
        return "clip" if seen.seconds is None else duration(seen.seconds)
    return "picture"
