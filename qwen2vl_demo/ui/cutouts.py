"""Parts of pictures as further pictures of the composer: a closer look at one of the chat, a crop of one not yet sent.

The part is cut out of the file itself, at its full resolution, and becomes an upload of this visitor like any other. It
is made first and put into the composer afterwards, so that nothing that is typed meanwhile is lost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gradio.processing_utils import save_bytes_to_cache

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media.cutout import Shares
from qwen2vl_demo.ui.chat.conversation import gone
from qwen2vl_demo.ui.chat.saved_chat import MAX_NAME, clean
from qwen2vl_demo.ui.gate.uploads import Uploads
from qwen2vl_demo.ui.media_store import DIGEST, MediaStore
from qwen2vl_demo.ui.sessions import Cutout, Draft, Session

SUFFIX = {"closer": ", closer", "crop": ", cropped"}
MAX_STEM = 40  # characters of a name that are kept in that of the file
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Wanted:
    """What a visitor wants cut out."""

    do: Literal["closer", "crop"]  # of a picture of the chat; of one in the composer, which it replaces
    file: str  # the digest of the one, the path of the other
    shares: Shares


def read_wanted(value: Any) -> Wanted:
    """Reads what the page asks for, {do, file, box}. Raises UserError for anything else."""
    asked = value if isinstance(value, dict) else {}
    do, file, box = asked.get("do"), asked.get("file"), asked.get("box")
    sides = box if isinstance(box, list) and all(type(side) in (int, float) for side in box) else []
    if do not in ("closer", "crop") or not isinstance(file, str) or len(sides) != 4:
        raise UserError("This page knows no such region; reload it and try again.")
    left, top, right, bottom = sides
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise UserError("This region lies outside the picture; draw it again.")
    return Wanted(do, file, (float(left), float(top), float(right), float(bottom)))


class Cutouts:
    """Cuts parts out of pictures. Safe for several threads."""

    def __init__(self, store: MediaStore, uploads: Uploads) -> None:
        self._store, self._uploads = store, uploads

    def make(self, session: Session, wanted: Wanted, standing: Draft, visitor: str) -> None:
        """Makes the picture, for `attach` to put into the composer; `standing` is what stands there now, `visitor` for
        whom uploads are counted. Raises UserError, and Cancelled once the tab is closed."""
        path, name = self._source(session, wanted, standing)
        try:
            content, ending = self._store.cut_out(path, name, wanted.shares, session.closed)
        except FileNotFoundError:
            raise UserError(f"The file {name} is no longer here; attach it again.") from None
        suffix = SUFFIX[wanted.do]
        stem = _UNSAFE.sub("-", Path(name).stem).strip("-")[:MAX_STEM] or "picture"
        with self._uploads.arriving(visitor, len(content)):
            made = Path(save_bytes_to_cache(content, f"{stem}-{wanted.do}.{ending}", str(self._uploads.folder)))
            self._uploads.kept(visitor, [str(made)])
        with session.lock:
            session.names[made.name] = name if name.endswith(suffix) else name[: MAX_NAME - len(suffix)] + suffix
            session.cutout = Cutout(str(made), wanted.file if wanted.do == "crop" else "")

    def attach(self, session: Session, standing: Draft) -> Draft | None:
        """The composer with the picture that was made last; None if there is none. A crop takes the place of its
        picture if that still stands there."""
        with session.lock:
            made, session.cutout = session.cutout, None
        if made is None:
            return None
        if made.replaces in standing.files:
            files = tuple(made.path if file == made.replaces else file for file in standing.files)
        else:
            files = (*standing.files, made.path)
        return Draft(standing.text, tuple(dict.fromkeys(files)))

    def _source(self, session: Session, wanted: Wanted, standing: Draft) -> tuple[Path, str]:
        """The file, and what the visitor calls it."""
        if wanted.do == "crop":
            if wanted.file not in standing.files:
                raise UserError("This picture is no longer in the composer; attach it again.")
            own = Path(wanted.file).name
            return Path(wanted.file), clean(session.names.get(own, own))[:MAX_NAME]
        with session.lock:
            media = [medium for turn in session.conversation.all_turns for medium in turn.media]
        found = [m for m in media if m.kind == "image" and m.file.partition(".")[0] == wanted.file]
        if not DIGEST.fullmatch(wanted.file) or not found:
            raise UserError("This picture is no longer part of the chat; attach it again to look closer.")
        path = self._store.path(found[-1])
        if path is None:
            raise UserError(f"{gone(found[-1])} Attach it again to look closer.")
        return path, found[-1].name
