"""Objects through a socket: a pickle, and behind it the bytes of its arrays, which are not copied into the pickle.

A message is the number of parts (4 bytes), the length of each part (8 bytes each), and the parts: the pickle, then its
buffers (protocol 5, PEP 574). Integers are little-endian.
"""

from __future__ import annotations

import io
import mmap
import pickle
import socket
import struct
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any

REPORT = struct.Struct("<iq")  # of a worker that has ended: its wait status, its peak of memory in bytes
LARGE_BYTES = 2**20  # from here on a buffer gets pages of its own
PACKAGE = "qwen2vl_demo."  # whose dataclasses and named tuples are data
ARRAYS = {  # what numpy's pickles name
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
}
BUFFER_BYTES = 4 * 1024 * 1024  # of a socket: a resized picture fits; the kernel may grant less


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets with large buffers."""
    pair = socket.socketpair()
    for end in pair:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    return pair


def send(connection: socket.socket, value: Any) -> None:
    """Sends a value. Raises OSError where the other end is closed, and what pickle raises."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(head), *(buffer.raw() for buffer in buffers)]
    connection.sendall(struct.pack(f"<I{len(parts)}Q", len(parts), *(part.nbytes for part in parts)))
    for part in parts:
        connection.sendall(part)


def receive(connection: socket.socket, waiting: Callable[[], None] = lambda: None, *, trusted: bool = False) -> Any:
    """Receives a value; its arrays are read-only. Calls `waiting` whenever the socket's timeout has passed.

    Unless the sender is `trusted`, the value consists of data only: a pickle that names anything else could run it.
    Raises EOFError where the other end was closed before the value was complete, and pickle.UnpicklingError for
    anything but data.
    """
    (count,) = struct.unpack("<I", _exactly(connection, 4, waiting))
    lengths = struct.unpack(f"<{count}Q", _exactly(connection, 8 * count, waiting))
    head, *buffers = [memoryview(_exactly(connection, length, waiting)).toreadonly() for length in lengths]
    if trusted:
        return pickle.loads(head, buffers=buffers)
    return _DataUnpickler(io.BytesIO(head), buffers=buffers).load()


class _DataUnpickler(pickle.Unpickler):
    """Builds arrays and records of this package, and what pickle builds without a name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in ARRAYS:
            return super().find_class(module, name)
        if module.startswith(PACKAGE):
            found = super().find_class(module, name)
            if isinstance(found, type) and (is_dataclass(found) or issubclass(found, tuple)):
                return found
        raise pickle.UnpicklingError(f"a worker sent {module}.{name}, which is not data")


def _exactly(connection: socket.socket, length: int, waiting: Callable[[], None]) -> bytearray | mmap.mmap:
    # A bytearray is filled with zeros first, which takes a third of the time of a clip.
    data = bytearray(length) if length < LARGE_BYTES else mmap.mmap(-1, length)
    rest = memoryview(data)
    while rest:
        try:
            received = connection.recv_into(rest)
        except TimeoutError:
            waiting()
            continue
        except ConnectionError:
            raise EOFError from None
        if not received:
            raise EOFError
        rest = rest[received:]
    return data
