"""The folder of one run of the page, and what an earlier run left behind because it was killed.

Visitors' files lie in `DATA_DIR/runs/ID/`, which only this user of the machine can read. A lock on `ID.lock` says that
the run is alive; the kernel releases it however the process ends. The folder is deleted when the page is closed. What a
killed run left is deleted at the next start, except the media of chats, which may still be open in browsers: these are
taken over, and kept if a tab asks for them soon (`MediaStore.release_unused`).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path
from typing import IO

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.chat.saved_chat import FILE_NAME

try:
    import fcntl
except ImportError:  # not on Windows, where nothing is known about other runs, and so nothing of theirs is deleted
    fcntl = None  # type: ignore[assignment]

MEDIA, UPLOADS = "media", "uploads"


class Workspace:
    """Claims a folder; `close` deletes it."""

    def __init__(self, data_dir: Path) -> None:
        """Raises UserError if nothing can be written below `data_dir`."""
        runs = data_dir / "runs"
        try:
            runs.mkdir(parents=True, exist_ok=True, mode=0o700)
            runs.chmod(0o700)
            self._lock, self.folder = _claimed(runs)
            (self.folder / MEDIA).mkdir(mode=0o700)
            (self.folder / UPLOADS).mkdir(mode=0o700)
            self._take_over(data_dir)
        except OSError as problem:
            raise UserError(
                f"Nothing can be written to {data_dir} ({problem.strerror}); choose another --data-dir."
            ) from None

    def close(self) -> None:
        """Deletes everything that visitors left in this run."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.unlink(self._lock.name)
        self._lock.close()

    def _take_over(self, data_dir: Path) -> None:
        self._adopt(data_dir / MEDIA)  # where earlier versions kept them
        for folder in (data_dir / "runs").iterdir():
            if folder == self.folder or not folder.is_dir():
                continue
            lock = _try_lock(folder.with_suffix(".lock"))
            if lock is not None:
                self._adopt(folder / MEDIA)
                shutil.rmtree(folder, ignore_errors=True)
                os.unlink(lock.name)
                lock.close()

    def _adopt(self, folder: Path) -> None:
        if not folder.is_dir():
            return
        for path in folder.iterdir():
            if FILE_NAME.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                path.replace(self.folder / MEDIA / path.name)
        shutil.rmtree(folder, ignore_errors=True)


def _claimed(runs: Path) -> tuple[IO[str], Path]:
    while True:
        folder = runs / secrets.token_hex(8)
        lock = _try_lock(folder.with_suffix(".lock"))
        if lock is not None:
            folder.mkdir(mode=0o700)
            return lock, folder


def _try_lock(path: Path) -> IO[str] | None:
    """The open and locked file; None where another process has it."""
    file = path.open("w", encoding="utf-8")
    if fcntl is None:
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.stat(path).st_ino == os.fstat(file.fileno()).st_ino:  # else it was deleted between the two
            return file
    except OSError:
        pass
    file.close()
    return None
