"""The files of a draft, taken into the media store under the names that the visitor gave them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.chat.conversation import Medium
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.ui.sessions import Session

MAX_FILES = 64  # of one turn


def store_files(
    store: MediaStore, session: Session, files: Sequence[str], cancel: threading.Event | None = None
) -> tuple[Medium, ...]:
    """Keeps the files of a draft in the store; a PDF becomes one picture a page. Raises UserError, and Cancelled once
    `cancel` is set."""
    if len(files) > MAX_FILES:
        raise UserError(f"These are {len(files)} files; send at most {MAX_FILES} at once.")
    media: list[Medium] = []
    for path in map(Path, files):
        name = session.names.get(path.name, path.name)
        try:
            media += store.add(path, name, cancel)
        except OSError:
            raise UserError(f"The file {name} could not be read here; attach it again.") from None
    session.names |= {m.file: m.name for m in media}
    return tuple(media)
