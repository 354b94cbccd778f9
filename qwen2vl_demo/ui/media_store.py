"""The visitors' media on disk: named by the hash of their bytes, kept apart from Gradio's cache, and swept.

Gradio's own cache is emptied when the app is shut down; a chat that survives a restart needs its pictures, so they
are copied here. A name says nothing of its visitor and cannot be guessed without having the file. Files that nobody
used for `max_age` seconds go, and the longest unused go first when all together exceed `max_bytes`. Knows media.py
and the file system, neither gradio nor sessions. Safe for several threads and several processes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import PIL.Image

from qwen2vl_demo import media
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.chat.conversation import Conversation, Medium, MediumKind
from qwen2vl_demo.ui.chat.saved_chat import FILE_NAME, MAX_NAME, clean
from qwen2vl_demo.viz.boxes import Box, draw_boxes

log = logging.getLogger(__name__)

DAY = 24 * 3600
VIEW_SIDE = 1600  # px, the longer side of a picture made for looking at
DIRECT_BYTES = 6 * 2**20  # a picture above this is shown smaller
SWEEP_EVERY = 600  # seconds between two looks at the folder
PLAYABLE = {"mp4", "webm", "mov", "m4v"}  # what browsers play; of anything else a frame is shown
SHOWABLE = {"png", "jpg", "gif", "webp"}


class MediaStore:
    """A folder of media and of what was drawn from them."""

    def __init__(self, folder: Path, *, max_bytes: int = 4 * 2**30, max_age: float = 7 * DAY) -> None:
        self.folder = folder
        self.max_bytes, self.max_age = max_bytes, max_age
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._swept = 0.0
        self.sweep()

    def add(self, path: Path, name: str) -> tuple[Medium, ...]:
        """Keeps an uploaded file; a PDF becomes one picture a page. Raises UserError for what is none of these."""
        kind = media.kind_of(path)
        if kind == "pdf":
            pages = media.open_pdf(path)
            return tuple(self._add_page(page, f"{name}, page {number}") for number, page in enumerate(pages, 1))
        if kind == "image":
            media.open_image(path)  # a picture that cannot be opened is refused here, before it is anywhere
        return (self._keep(path, kind, name),)

    def add_bytes(self, data: bytes, expected: Medium) -> Medium:
        """Keeps a medium of an imported chat; it must be what its name says. Raises UserError."""
        if hashlib.sha256(data).hexdigest() != expected.file.partition(".")[0]:
            raise UserError(f"This saved chat cannot be read: {expected.name} is not the file that it was saved with.")
        part = self._part()
        try:
            part.write_bytes(data)
            (added,) = self.add(part, expected.name)
            return added
        except ValueError:
            raise UserError(f"This saved chat cannot be read: {expected.name} is not one picture or clip.") from None
        finally:
            part.unlink(missing_ok=True)

    def path(self, medium: Medium) -> Path | None:
        """Where its bytes lie, or None if they are gone."""
        path = self.folder / medium.file
        return path if FILE_NAME.fullmatch(medium.file) and path.is_file() else None

    def view(self, medium: Medium) -> Path | None:
        """A file that a browser can show for it."""
        path = self.path(medium)
        if path is None:
            return None
        ending = path.suffix[1:]
        if medium.kind == "video" and ending in PLAYABLE | {"gif", "webp"}:
            return path
        if medium.kind == "image" and ending in SHOWABLE and path.stat().st_size <= DIRECT_BYTES:
            return path
        view = self.folder / f"{path.stem}.view.webp"
        if not view.is_file():
            try:
                self._save_view(_still(path, medium.kind), view)
            except (UserError, OSError):
                log.warning("no view of a stored %s (%s)", medium.kind, path.suffix)
                return None
        return view

    def boxed(self, medium: Medium, boxes: Sequence[Box]) -> Path | None:
        """The picture with these boxes drawn on it; drawn once."""
        path = self.path(medium)
        if path is None:
            return None
        drawn = self.folder / f"{path.stem}.{hashlib.sha256(repr(boxes).encode()).hexdigest()[:16]}.webp"
        if not drawn.is_file():
            try:
                picture = media.open_image(path)
            except UserError:
                return None
            picture.thumbnail((VIEW_SIDE, VIEW_SIDE))
            self._save_view(draw_boxes(picture, boxes), drawn)
        return drawn

    def touch(self, conversation: Conversation) -> None:
        """Marks the media of a chat as in use, so that the sweep takes others first."""
        for turn in conversation.turns:
            for medium in turn.media:
                if path := self.path(medium):
                    os.utime(path)

    def sweep(self, now: float | None = None) -> None:
        """Deletes what is too old, then the longest unused while there is too much. Looks at most every 10 minutes."""
        now = time.time() if now is None else now
        if now - self._swept < SWEEP_EVERY:
            return
        self._swept = now
        found = sorted(_files(self.folder))
        total = sum(size for _, size, _ in found)
        for used, size, path in found:
            if now - used > self.max_age or total > self.max_bytes:
                path.unlink(missing_ok=True)
                total -= size

    def _keep(self, path: Path, kind: MediumKind, name: str) -> Medium:
        digest = hashlib.sha256()
        with path.open("rb") as stream:
            head = stream.read(64)
            digest.update(head)
            while block := stream.read(1 << 20):
                digest.update(block)
        target = self.folder / f"{digest.hexdigest()}.{_ending(head, path)}"
        if target.is_file():
            os.utime(target)
        else:
            self.sweep()
            part = self._part()
            shutil.copyfile(path, part)
            part.chmod(0o600)
            part.replace(target)
        return Medium(kind, target.name, clean(name)[:MAX_NAME])

    def _add_page(self, page: PIL.Image.Image, name: str) -> Medium:
        part = self._part()
        try:
            page.save(part, "PNG")
            return self._keep(part, "image", name)
        finally:
            part.unlink(missing_ok=True)

    def _save_view(self, picture: PIL.Image.Image, target: Path) -> None:
        picture.thumbnail((VIEW_SIDE, VIEW_SIDE))
        part = self._part()
        picture.save(part, "WEBP", quality=88)
        part.chmod(0o600)
        part.replace(target)

    def _part(self) -> Path:
        return self.folder / f"{secrets.token_hex(16)}.part"


def _still(path: Path, kind: MediumKind) -> PIL.Image.Image:
    """A picture, or the first sampled frame of a clip."""
    if kind == "image":
        return media.open_image(path)
    clip = media.read_video(path, fps=1.0, min_frames=2, max_frames=2, resize=lambda count, size: _even(size))
    return PIL.Image.fromarray(clip.frames[0])


def _even(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, VIEW_SIDE / max(size))
    return max(2, round(size[0] * scale)), max(2, round(size[1] * scale))


def _ending(head: bytes, path: Path) -> str:
    """The file's ending by its first bytes, so that a name cannot make the browser take it for something else."""
    for magic, ending in ((b"\x89PNG", "png"), (b"\xff\xd8\xff", "jpg"), (b"GIF8", "gif")):
        if head.startswith(magic):
            return ending
    if head[:4] == b"RIFF":
        return {b"WEBP": "webp", b"AVI ": "avi"}.get(head[8:12], "bin")
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand[:3] in (b"hei", b"hev", b"mif", b"msf", b"avi"):
            return "avif" if brand[:3] == b"avi" else "heic"
        return "mov" if brand == b"qt  " else "mp4"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "webm" if b"webm" in head else "mkv"
    suffix = path.suffix[1:].lower()
    return suffix if suffix in ("bmp", "tif", "tiff", "ppm", "mpg", "mpeg", "ts", "flv", "wmv") else "bin"


def _files(folder: Path) -> Iterable[tuple[float, int, Path]]:
    """(last use, bytes, path) of every file."""
    for path in folder.iterdir():
        try:
            stat = path.stat()
        except FileNotFoundError:  # another thread was quicker
            continue
        if path.is_file():
            yield stat.st_mtime, stat.st_size, path
