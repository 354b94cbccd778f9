"""Objects through a socket: a pickle, and behind it the bytes of its arrays, which are not copied into the pickle.

A message is the number of parts (4 bytes), the length of each part (8 bytes each), and the parts: the pickle, then its
buffers (protocol 5, PEP 574). Integers are little-endian.
"""

from __future__ import annotations

import mmap
import pickle
import socket
import struct
from collections.abc import Callable
from typing import Any

REPORT = struct.Struct("<iq")  # of a worker that has ended: its wait status, its peak of memory in bytes
LARGE_BYTES = 2**20  # from here on a buffer gets pages of its own
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


def receive(connection: socket.socket, waiting: Callable[[], None] = lambda: None) -> Any:
    """Receives a value; its arrays are read-only. Calls `waiting` whenever the socket's timeout has passed.

    Raises EOFError where the other end was closed before the value was complete.
    """
    (count,) = struct.unpack("<I", _exactly(connection, 4, waiting))
    lengths = struct.unpack(f"<{count}Q", _exactly(connection, 8 * count, waiting))
    head, *buffers = [memoryview(_exactly(connection, length, waiting)).toreadonly() for length in lengths]
    return pickle.loads(head, buffers=buffers)


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
