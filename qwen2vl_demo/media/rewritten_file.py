"""A file with another beginning or end, so that a decoder gets it without the parts that are of no use to it."""

from __future__ import annotations

import io
import os
from typing import BinaryIO


class RewrittenFile(io.RawIOBase):
    """Reads `head`, then the bytes of `file` from `offset` on, then `tail`. Closing it leaves `file` open."""

    def __init__(self, head: bytes, file: BinaryIO, offset: int, tail: bytes = b"") -> None:
        self._head, self._file, self._offset, self._tail = head, file, offset, tail
        self._middle = max(0, file.seek(0, os.SEEK_END) - offset)  # number of bytes taken from `file`
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        size = len(self._head) + self._middle + len(self._tail)
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes; fewer only at the end."""
        wanted = len(self._head) + self._middle + len(self._tail) if size < 0 else size
        found = []
        position = self._position
        if position < len(self._head):
            found.append(self._head[position : position + wanted])
            position += len(found[-1])
            wanted -= len(found[-1])
        inside = position - len(self._head)
        if wanted > 0 and inside < self._middle:
            self._file.seek(self._offset + inside)
            found.append(self._file.read(min(wanted, self._middle - inside)))
            position += len(found[-1])
            wanted -= len(found[-1])
            inside += len(found[-1])
        if wanted > 0 and inside >= self._middle:
            after = inside - self._middle
            found.append(self._tail[after : after + wanted])
            position += len(found[-1])
        self._position = position
        return found[0] if len(found) == 1 else b"".join(found)
