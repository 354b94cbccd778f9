"""The visitors' media on disk, content-addressed, kept apart from Gradio's cache, deleted when no tab shows them.

Gradio's own cache is emptied when the app shuts down; a chat that survives a restart needs its media, so they are
copied here. A file is called `DIGEST.ENDING`: the SHA-256 of its bytes, which says nothing about the visitor and cannot
be guessed without having the file, and the ending of its format, found from its content. Safe to use from several
threads and several processes.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import logging
import math
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import PIL.Image

from qwen2vl_demo import media
from qwen2vl_demo.decoding import Decoding, InProcess, TooCostly
from qwen2vl_demo.errors import Cancelled, UserError
from qwen2vl_demo.lru_cache import LRUCache
from qwen2vl_demo.media import (
    FIRST_PAGES,
    MediaLimits,
    PageChoice,
    browser_files,
    cutout,
    first_pages_only,
    overview,
    page_name,
    playable_copy,
)
from qwen2vl_demo.media.frame_at import frame_at
from qwen2vl_demo.ui.chat.conversation import Conversation, Medium, MediumKind
from qwen2vl_demo.ui.chat.saved_chat import FILE_NAME, MAX_NAME, clean
from qwen2vl_demo.viz.drawn_boxes import DrawnBox, draw_boxes

log = logging.getLogger(__name__)

DAY = 24 * 3600
VIEW_SIDE = 1600  # px, the longer side of a picture made for the browser
SAVED_SIDE = 3000  # px, the longer side of a picture with boxes that is saved
DIRECT_BYTES = 6 * 2**20  # a picture above this is shown reduced
SWEEP_INTERVAL = 600  # seconds between two sweeps, at least
MAX_DOCUMENTS = 256  # PDFs whose pages are remembered
MAX_FAILURES = 4096  # files that could not be opened within limits: they are not tried again
KEEP_AFTER_CLOSE = 30.0  # seconds that a file stays which no open tab shows; a page that is loaded again needs it
KEEP_AFTER_START = 600.0  # the same for what another run left: browsers ask for it when they find the page again
PART_AGE = 3600.0  # seconds after which half a file belongs to nobody
TOUCH_INTERVAL = 3600  # seconds; the time of last use is no more precise than this
STILL, COPY, FRAMES = ".view.webp", ".copy.mp4", ".frames.webp"  # endings of views
OLD_ENDINGS = ("bin", "tif", "mpeg", "m4v")  # given by earlier versions in place of those of media.ENDINGS
DIGEST = re.compile(r"[0-9a-f]{64}")
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_SPACE = "The disk of this server is full, so nothing new can be kept; try again later."
SHOWABLE = {"png", "jpg", "gif", "webp"}
# What stands for a clip that browsers do not play, the best one that can be made
CLIP_VIEWS: tuple[tuple[str, Callable[..., bytes | None]], ...] = (
    (COPY, playable_copy.playable_copy),
    (FRAMES, playable_copy.sampled_frames),
    (STILL, browser_files.still_webp),
)
REMARKS = {
    COPY: "Browsers do not play this file, so a small copy without sound stands here. The model gets the file itself.",
    FRAMES: "Browsers do not play this file, and a copy would take too long, so some of its frames stand here. "
    "The model gets the file itself.",
    STILL: "Browsers do not play this file, so one of its frames stands here. The model gets the file itself.",
}


def view_remark(medium: Medium, view: Path) -> str:
    """The sentences that stand below a view of a clip that is not the clip itself; "" for any other."""
    ending = view.name[len(_digest_in(view)) :]
    return REMARKS.get(ending, "") if medium.kind == "video" else ""


@dataclass(frozen=True)
class Upload:
    """What an uploaded file became."""

    media: tuple[Medium, ...]
    left_out: str = ""  # one sentence where only the first pages of a document were read


@dataclass(frozen=True)
class _StoredPages:
    count: int  # pages of the document
    files: dict[int, str]  # file name in the store, by page number


class MediaStore:
    """A folder of media and of the views that were made of them.

    Files unused for `max_age` seconds are deleted, and the least recently used ones while all files together exceed
    `max_bytes`. `limits` bounds the files that are opened; `decoding` is where they are, by default in this process.
    """

    def __init__(
        self,
        folder: Path,
        *,
        limits: MediaLimits | None = None,
        decoding: Decoding | None = None,
        max_bytes: int = 4 * 2**30,
        max_age: float = 7 * DAY,
    ) -> None:
        self.folder = folder
        self.limits = limits if limits is not None else MediaLimits()
        self._decoding = decoding if decoding is not None else InProcess()
        self.max_bytes, self.max_age = max_bytes, max_age
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._pages: LRUCache[tuple[str, PageChoice], _StoredPages] = LRUCache(MAX_DOCUMENTS)  # by a document's digest
        self._refused: LRUCache[tuple[str, PageChoice], str] = LRUCache(MAX_FAILURES)  # why it is too costly, likewise
        self._without_view: LRUCache[str, bool] = LRUCache(MAX_FAILURES)  # names of views that cannot be made
        self._playing: LRUCache[str, bool] = LRUCache(MAX_FAILURES)  # whether browsers play a clip, by its digest
        self._viewing = tuple(threading.Lock() for _ in range(16))
        self._last_sweep = 0.0
        self.sweep()
        self._storing = threading.Lock()
        found = time.time() + KEEP_AFTER_START - KEEP_AFTER_CLOSE
        self._last_use = {_digest_in(path): found for _, _, path in _files(folder)}  # by digest, of a tab that shows it

    def add(self, path: Path, name: str, cancel: threading.Event | None = None) -> tuple[Medium, ...]:
        """`upload` of a file whose pages are not chosen; its media."""
        return self.upload(path, name, cancel=cancel).media

    def upload(
        self, path: Path, name: str, choice: PageChoice = FIRST_PAGES, cancel: threading.Event | None = None
    ) -> Upload:
        """Stores an uploaded file; of a document the chosen pages, each as a picture.

        The type is found from the file's headers; pixels are not decoded, which processing does anyway. Raises
        UserError for anything that is not a picture, a clip or a PDF, and Cancelled once `cancel` is set.
        """
        found = self._decoding.run(media.identify_file, path, self.limits, name, label=name, cancel=cancel)
        if found.document:
            return self._add_pages(path, name, choice, cancel)
        assert found.kind != "pdf", "a PDF is a document"
        stored = self._store(path, found.kind, found.ending, name)
        self._playing.put(_digest_of(stored), found.plays)
        return Upload((stored,))

    def overview(self, path: Path, name: str, cancel: threading.Event | None = None) -> overview.Overview:
        """What an uploaded file is at a glance; stores nothing. Raises UserError, and Cancelled like `upload`."""
        return self._decoding.run(overview.look_over, path, self.limits, name, label=name, cancel=cancel)

    def page_posters(self, path: Path, name: str, first: int, count: int, cancel: threading.Event) -> tuple[bytes, ...]:
        """Small pictures of the pages of an uploaded document. Raises UserError, and Cancelled like `upload`."""
        arguments = (path, first, count, self.limits, name)
        return self._decoding.run(overview.page_posters, *arguments, label=name, cancel=cancel)

    def cut_out(
        self, path: Path, name: str, shares: cutout.Shares, cancel: threading.Event | None = None
    ) -> tuple[bytes, str]:
        """A part of a picture file as a file of its own, and the ending of that; stores nothing. Raises UserError, and
        Cancelled like `upload`."""
        return self._decoding.run(cutout.cut_out, path, self.limits, name, shares, label=name, cancel=cancel)

    def add_bytes(self, data: bytes, expected: Medium) -> Medium:
        """Stores a medium of an imported chat. Raises UserError unless it has the digest and the kind of `expected` and
        can be opened. The ending of `expected.file` is not considered; the result has the right one."""
        if hashlib.sha256(data).hexdigest() != _digest_of(expected):
            raise UserError(f"This saved chat cannot be read: {expected.name} is not the file that it was saved with.")
        name = expected.name
        with self._part() as part:
            part.write_bytes(data)
            found = self._decoding.run(media.identify_file, part, self.limits, name, label=name)
            if found.kind == "pdf":
                raise UserError(f"This saved chat cannot be read: {name} is not one picture or clip.")
            if found.kind != expected.kind:
                raise UserError(f"This saved chat cannot be read: {name} is not what it is said to be.")
            if found.kind == "image":
                self._decoding.run(browser_files.check_opens, part, self.limits, name, label=name)
            return self._store(part, found.kind, found.ending, expected.name)

    def path(self, medium: Medium) -> Path | None:
        """The stored file of a medium, or None if it is no longer there.

        Chats saved by earlier versions may name it with another ending, so it is looked up by its digest as well.
        """
        if not FILE_NAME.fullmatch(medium.file):
            return None
        path = self.folder / medium.file
        return path if path.is_file() else self._find(_digest_of(medium))

    def view(self, medium: Medium, cancel: threading.Event | None = None) -> Path | None:
        """A file that a browser can show for a medium, made once where the stored one is of another format; of a clip
        that browsers do not play a small copy, or what `view_remark` says. None where nothing can be shown."""
        path = self.path(medium)
        if path is None:
            return None
        try:
            if medium.kind == "video":
                return path if self._plays(path, medium.name) else self._clip_view(path, medium.name, cancel)
            small = path.suffix[1:] in SHOWABLE and path.stat().st_size <= DIRECT_BYTES
            if small and browser_files.is_turned_by_browsers(path):
                return path
        except FileNotFoundError:  # the chat has been cleared meanwhile
            return None
        return self._made(path, STILL, browser_files.still_webp, medium.kind, medium.name, cancel)

    def _plays(self, path: Path, name: str) -> bool:
        """Whether browsers play a stored clip as it is."""
        plays = self._playing.get(path.stem)
        if plays is None:
            try:
                plays = self._decoding.run(media.identify_file, path, self.limits, name, label=name).plays
            except (UserError, Cancelled):
                plays = False
            self._playing.put(path.stem, plays)
        return plays

    def _clip_view(self, path: Path, name: str, cancel: threading.Event | None) -> Path | None:
        with self._viewing[int(path.stem[:2], 16) % len(self._viewing)]:  # one copy is not made twice at a time
            for ending, make in CLIP_VIEWS:
                if view := self._made(path, ending, make, "video", name, cancel):
                    return view
        return None

    def _made(
        self,
        path: Path,
        ending: str,
        make: Callable[..., bytes | None],
        kind: MediumKind,
        name: str,
        cancel: threading.Event | None,
    ) -> Path | None:
        """The view with this ending, written unless it is there; None where it cannot be made."""
        view = self.folder / f"{path.stem}{ending}"
        if view.is_file():
            return view
        if view.name in self._without_view or (cancel is not None and cancel.is_set()):
            return None
        content, over = None, False  # over: when it is asked for again it may go well
        try:
            sides = (kind, self.limits, VIEW_SIDE) if ending == STILL else (self.limits, name)
            content = self._decoding.run(make, path, *sides, label=name, cancel=cancel)
            if content is not None:
                self._write(view, content)
                return view
        except Cancelled:
            over = True
        except (UserError, OSError) as problem:
            over = str(problem) == NO_SPACE
            log.warning("no view %s of a stored %s (%s)", ending, kind, path.suffix)
        if not over:
            self._without_view.put(view.name, True)
        return None

    def boxed(self, medium: Medium, boxes: Sequence[DrawnBox], seconds: float | None = None) -> Path | None:
        """A picture, or the frame of a clip at so many `seconds`, with boxes drawn on it, made once."""
        path = self.path(medium)
        if path is None:
            return None
        frame = None if seconds is None else self._frame_file(path, seconds)
        drawn = self.folder / f"{path.stem}.{hashlib.sha256(repr((boxes, seconds)).encode()).hexdigest()[:16]}.webp"
        if not drawn.is_file():
            if drawn.name in self._without_view:
                return None
            try:
                if seconds is None or frame is None:
                    arguments = (path, medium.kind, self.limits, VIEW_SIDE)
                    pixels = self._decoding.run(browser_files.still, *arguments, label=medium.name)
                else:
                    pixels = self._decoding.run(frame_at, path, seconds, VIEW_SIDE, self.limits, label=medium.name)
                    self._write(frame, browser_files.encode_webp(PIL.Image.fromarray(pixels)))
                marked = draw_boxes(PIL.Image.fromarray(pixels), boxes)
                self._write(drawn, browser_files.encode_webp(marked))
            except (UserError, OSError, Cancelled) as problem:
                if isinstance(problem, UserError) and str(problem) != NO_SPACE:
                    self._without_view.put(drawn.name, True)
                return None
        return drawn

    def unmarked(self, medium: Medium, seconds: float | None = None) -> Path | None:
        """The picture, or the frame, on which `boxed` drew, without its boxes; None where it is gone."""
        if seconds is None:
            return self.view(medium)
        path = self.path(medium)
        frame = None if path is None else self._frame_file(path, seconds)
        return frame if frame is not None and frame.is_file() else None

    def _frame_file(self, path: Path, seconds: float) -> Path:
        return self.folder / f"{path.stem}.{hashlib.sha256(repr(seconds).encode()).hexdigest()[:16]}.frame.webp"

    def boxed_png(self, medium: Medium, boxes: Sequence[DrawnBox]) -> bytes | None:
        """The same as the bytes of a PNG file, larger than what the chat shows; None where the file is gone."""
        path = self.path(medium)
        if path is None:
            return None
        arguments = (path, medium.kind, self.limits, SAVED_SIDE)
        pixels = self._decoding.run(browser_files.still, *arguments, label=medium.name)
        buffer = io.BytesIO()
        draw_boxes(PIL.Image.fromarray(pixels), boxes).save(buffer, "PNG")
        return buffer.getvalue()

    def touch(self, conversation: Conversation) -> None:
        """Marks the media of a chat as used now, so that the sweep deletes others first."""
        for turn in conversation.all_turns:
            for medium in turn.media:
                if path := self.path(medium):
                    _touch(path)

    def sweep(self, now: float | None = None) -> None:
        """Deletes what is too old, then the least recently used while there is too much; at most every 10 minutes."""
        now = time.time() if now is None else now
        if now - self._last_sweep < SWEEP_INTERVAL:
            return
        self._last_sweep = now
        found = sorted(_files(self.folder))
        total = sum(size for _, size, _ in found)
        for used, size, path in found:
            if now - used > self.max_age or total > self.max_bytes:
                path.unlink(missing_ok=True)
                total -= size

    def forget(self, files: Collection[str], in_use: Collection[str] = (), began: float = math.inf) -> None:
        """Deletes media by their file names, with all that was made of them, unless they are in use elsewhere or were
        stored once more after `began`."""
        digests = {file.partition(".")[0] for file in files} - {file.partition(".")[0] for file in in_use}
        for digest in filter(DIGEST.fullmatch, digests):
            with self._storing:
                if self._last_use.get(digest, 0.0) >= began:
                    continue
                self._last_use.pop(digest, None)
                for path in self.folder.glob(f"{digest}.*"):
                    path.unlink(missing_ok=True)

    def release_unused(self, in_use: Collection[str], now: float | None = None) -> None:
        """Deletes what no open tab has shown for a while; `in_use` are the file names of what open tabs show."""
        now = time.time() if now is None else now
        used = {file.partition(".")[0] for file in in_use}
        self._last_use |= dict.fromkeys(used, now)
        for written, _, path in _files(self.folder):
            digest = _digest_in(path)
            if path.suffix == ".part":
                unused = now - written > PART_AGE
            else:
                unused = digest not in used and now - self._last_use.setdefault(digest, now) > KEEP_AFTER_CLOSE
            with self._storing:
                if unused and now - self._last_use.get(digest, 0.0) > KEEP_AFTER_CLOSE:
                    path.unlink(missing_ok=True)
        kept = {_digest_in(path) for _, _, path in _files(self.folder)}
        for digest in set(self._last_use) - kept:
            self._last_use.pop(digest, None)

    def _store(self, path: Path, kind: MediumKind, ending: str, name: str) -> Medium:
        digest = _digest_of_file(path)
        target = self.folder / f"{digest}.{ending}"
        with self._storing:  # what is there is not deleted between this look at it and its use
            self._last_use[digest] = time.time()
            stored = target if target.is_file() else self._find(digest)
        if stored is not None:
            stored.replace(target)  # an earlier version may have stored it under another ending
            _touch(target)
        else:
            self.sweep()
            with self._writing(target) as part:
                shutil.copyfile(path, part)
        return Medium(kind, target.name, clean(name)[:MAX_NAME])

    def _find(self, digest: str) -> Path | None:
        """The stored file with this digest, whatever its ending."""
        paths = (self.folder / f"{digest}.{ending}" for ending in (*media.ENDINGS, *OLD_ENDINGS))
        return next((path for path in paths if path.is_file()), None)

    def _add_pages(self, path: Path, name: str, choice: PageChoice, cancel: threading.Event | None) -> Upload:
        """Renders the chosen pages of a document, unless they were rendered before and are still stored."""
        key = (_digest_of_file(path), choice)
        stored = self._pages.get(key)
        if stored is None or not all((self.folder / file).is_file() for file in stored.files.values()):
            document = self._pages_of(path, key, name, cancel)
            files = {number: self._add_page(page, name).file for number, page in document.pages.items()}
            stored = _StoredPages(document.count, files)
            self._pages.put(key, stored)
        for file in stored.files.values():
            _touch(self.folder / file)
        count, read = stored.count, len(stored.files)
        return Upload(
            tuple(
                Medium("image", file, clean(page_name(name, number, count, read))[:MAX_NAME])
                for number, file in stored.files.items()
            ),
            first_pages_only(clean(name), read, count) if read < count and not choice.ranges else "",
        )

    def _pages_of(
        self, path: Path, key: tuple[str, PageChoice], name: str, cancel: threading.Event | None
    ) -> browser_files.EncodedPages:
        if (reason := self._refused.get(key)) is not None:
            raise TooCostly(name, reason)
        try:
            arguments = (path, self.limits, name, key[1])
            return self._decoding.run(browser_files.document_pages, *arguments, label=name, cancel=cancel)
        except TooCostly as refused:
            self._refused.put(key, refused.reason)
            raise

    def _add_page(self, page: bytes, name: str) -> Medium:
        with self._part() as part:
            part.write_bytes(page)
            return self._store(part, "image", "png", name)

    def _write(self, target: Path, content: bytes) -> None:
        with self._writing(target) as part:
            part.write_bytes(content)

    @contextlib.contextmanager
    def _writing(self, target: Path) -> Iterator[Path]:
        """A file to write that becomes `target` once it is complete."""
        with self._part() as part:
            yield part
            part.chmod(0o600)
            part.replace(target)

    @contextlib.contextmanager
    def _part(self) -> Iterator[Path]:
        """A place for half a file, of which nothing stays. Raises UserError where the disk is full."""
        part = self.folder / f"{secrets.token_hex(16)}.part"
        try:
            yield part
        except OSError as problem:
            raise UserError(NO_SPACE) if problem.errno in DISK_FULL else problem from None
        finally:
            part.unlink(missing_ok=True)


def _digest_in(path: Path) -> str:
    return path.name.partition(".")[0]


def _digest_of(medium: Medium) -> str:
    return medium.file.partition(".")[0]


def _digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _touch(path: Path) -> None:
    """Updates the time of last use, but rarely: a new time stamp makes a processor read the file again."""
    if time.time() - path.stat().st_mtime > TOUCH_INTERVAL:
        os.utime(path)


def _files(folder: Path) -> Iterable[tuple[float, int, Path]]:
    """(time of last use, size in bytes, path) of every file."""
    for path in folder.iterdir():
        try:
            stat = path.stat()
        except FileNotFoundError:  # deleted by another thread
            continue
        if path.is_file():
            yield stat.st_mtime, stat.st_size, path
