"""The files of a draft, taken into the media store under the names that the visitor gave them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import FIRST_PAGES, WHOLE_CLIP, PageChoice
from qwen2vl_demo.ui.chat.conversation import Medium
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.ui.sessions import Session

MAX_FILES = 64  # of one turn
CHOOSE_OTHERS = "Choose others in the settings, under Pages."


def store_files(
    store: MediaStore,
    session: Session,
    files: Sequence[str],
    choice: PageChoice = FIRST_PAGES,
    cancel: threading.Event | None = None,
) -> tuple[tuple[Medium, ...], str]:
    """Keeps the files of a draft in the store; of a document the chosen pages, each as a picture. Raises UserError, and
    Cancelled once `cancel` is set.

    The second value says which files were not read in full and what to do about it; "" if all were.
    """
    if len(files) > MAX_FILES:
        raise UserError(f"These are {len(files)} files; send at most {MAX_FILES} at once.")
    media: list[Medium] = []
    left_out = []
    for path in map(Path, files):
        name = session.names.get(path.name, path.name)
        try:
            upload = store.upload(path, name, choice, cancel)
        except OSError:
            raise UserError(f"The file {name} could not be read here; attach it again.") from None
        session.names |= {m.file: m.name for m in upload.media}  # at once, so that the store keeps what it has again
        time_range = session.time_ranges.get(str(path), WHOLE_CLIP)
        media += (replace(m, time_range=time_range) if m.kind == "video" else m for m in upload.media)
        left_out += [upload.left_out] if upload.left_out else []
    return tuple(media), " ".join([*left_out, CHOOSE_OTHERS]) if left_out else ""
