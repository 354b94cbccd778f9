"""Gradio's folder of uploads: whose each file is, how much of it one visitor may fill, and when a file goes.

Gradio stores an upload as `DIGEST/NAME` and deletes nothing before a day has passed. Here a file is deleted when the
tabs whose calls named it have left their chat or are closed, and one that no call names when it is some minutes old.
Safe for several threads.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from qwen2vl_demo.errors import UserError

MB = 10**6
KEEP_FREE = MB // 2  # of the disk, for everything else
COPIES = 2  # of an upload: Gradio's, and the one in the media store
UNNAMED_AGE = 120.0  # seconds after which an upload that no call has named is deleted


@dataclass
class _Upload:
    visitor: str
    size: int
    tabs: set[str] = field(default_factory=set)  # session hashes of the tabs whose calls named it
    arrivals: int = 0  # the same content under the same name may arrive again, from this visitor or another
    claims: int = 0  # arrivals that a tab's call has named since
    arrived: float = 0.0  # when it last did
    written: int = 0  # its time of modification then, in ns

    @property
    def unused(self) -> bool:
        """No tab names it, and none is about to."""
        return not self.tabs and self.claims >= self.arrivals


class Uploads:
    """The files below one folder. `visitor_mb` and `all_mb` are megabytes. `alone` says that the folder is this page's
    alone, so that what it does not know in there is deleted as well."""

    def __init__(self, folder: Path, *, visitor_mb: int = 1000, all_mb: int = 8000, alone: bool = False) -> None:
        self.folder, self._alone = folder, alone
        self._visitor_mb, self._all_mb = visitor_mb, all_mb
        self._files: dict[Path, _Upload] = {}
        self._arriving: dict[str, int] = {}  # bytes on their way, by visitor
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def arriving(self, visitor: str, size: int) -> Iterator[None]:
        """Reserves room while an upload of `size` bytes arrives. Raises UserError where there is none."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        before = set(self.folder.iterdir())
        with self._lock:
            self._check_room(visitor, size)
            self._arriving[visitor] = self._arriving.get(visitor, 0) + size
        complete = False
        try:
            yield
            complete = True
        finally:
            with self._lock:
                self._arriving[visitor] -= size
                if not self._arriving[visitor]:
                    del self._arriving[visitor]
                alone = not self._arriving
            if alone and not complete:  # half a file; with others on their way it is swept later
                for path in set(self.folder.iterdir()) - before:
                    if path.is_file():
                        path.unlink(missing_ok=True)

    def kept(self, visitor: str, paths: Iterable[str]) -> None:
        """An upload arrived and became these files."""
        for path in map(Path, paths):
            if not path.is_relative_to(self.folder):
                continue
            with contextlib.suppress(OSError), self._lock:
                path.parent.chmod(0o700)
                path.chmod(0o600)
                upload = self._files.setdefault(path, _Upload(visitor, 0))
                found = path.stat()
                upload.visitor, upload.size, upload.written = visitor, found.st_size, found.st_mtime_ns
                upload.arrivals, upload.arrived = upload.arrivals + 1, time.time()

    def at(self, path: str) -> Path | None:
        """The upload of this path; None if it is none."""
        with self._lock:
            return Path(path) if Path(path) in self._files else None

    def named(self, tab: str, paths: Iterable[Path]) -> None:
        """A call of a tab uses these files."""
        with self._lock:
            for path in paths:
                if path in self._files and tab not in self._files[path].tabs:
                    self._files[path].tabs.add(tab)
                    self._files[path].claims += 1

    def release(self, tab: str, keep: Collection[Path] = ()) -> None:
        """A tab left its chat or was closed: deletes what it alone uses, but for the files `keep`.

        What has just arrived once more stays, and so does everything while something is on its way, since that may be
        the same file: `sweep` deletes it later if no call names it.
        """
        with self._lock:
            unused = []
            for path, upload in self._files.items():
                if tab in upload.tabs and path not in keep:
                    upload.tabs.discard(tab)
                    if upload.unused and not self._arriving:
                        unused.append(path)
            for path in unused:  # under the lock, so that the same file cannot arrive meanwhile
                _delete(path, self._files.pop(path).written)

    def sweep(self, open_tabs: Collection[str], now: float | None = None) -> None:
        """Deletes what no open tab uses and no upload has just brought."""
        now = time.time() if now is None else now
        with self._lock:
            for upload in self._files.values():
                upload.tabs.intersection_update(open_tabs)
            used = {path for path, upload in self._files.items() if upload.tabs or now - upload.arrived < UNNAMED_AGE}
            known = list(self._files)
        for path in [*self.folder.glob("*"), *self.folder.glob("*/*")] if self._alone else known:
            with contextlib.suppress(OSError):
                if path.is_file() and path not in used and now - path.stat().st_mtime > UNNAMED_AGE:
                    with self._lock:
                        if path not in self._files:
                            _delete(path)
                        elif now - self._files[path].arrived > UNNAMED_AGE:
                            _delete(path, self._files.pop(path).written)

    def clear(self) -> None:
        """Deletes everything: the page has been closed."""
        with self._lock:
            self._files.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _check_room(self, visitor: str, size: int) -> None:
        mine = sum(upload.size for upload in self._files.values() if upload.visitor == visitor)
        if mine + self._arriving.get(visitor, 0) + size > self._visitor_mb * MB:
            raise UserError(
                f"Your files here would be more than {self._visitor_mb:,} MB; press New chat, which deletes those of "
                "this one from the server."
            )
        everything = sum(upload.size for upload in self._files.values()) + sum(self._arriving.values())
        free = shutil.disk_usage(self.folder).free - sum(self._arriving.values())
        if everything + size > self._all_mb * MB or free < COPIES * size + KEEP_FREE:
            raise UserError("This server has no room for more files now; try again in a few minutes.")


def _delete(path: Path, written: int | None = None) -> None:
    """Deletes a file; with `written` only if nobody has written it since, as another page with this folder may."""
    with contextlib.suppress(FileNotFoundError):
        if written is None or path.stat().st_mtime_ns == written:
            path.unlink()
    with contextlib.suppress(OSError):
        path.parent.rmdir()  # DIGEST, unless it holds the same content under another name
