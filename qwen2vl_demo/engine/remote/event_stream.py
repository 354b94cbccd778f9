"""Server-sent events out of the bytes of a response, as the HTML standard defines them.

Written for servers that may do anything: the work is linear in the bytes, and a line or an event has a largest size.
Two things are more tolerant than the standard, because servers need it: an event that the end of the stream cuts off
before its blank line is still delivered, and lines that are JSON or HTML instead of fields are kept as `stray`.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_BYTES = 8 * 10**6  # of a line, and of an event; a token is an event of less than 1 kB
MAX_STRAY_BYTES = 64 * 2**10
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Event:
    """One event that has data."""

    data: str
    name: str = ""  # what `event:` says; "" for a plain message


class TooLong(Exception):
    """A line or an event has more than MAX_BYTES."""


class EventReader:
    """Turns pieces of an event stream, cut anywhere, into events."""

    def __init__(self) -> None:
        self.stray = b""  # lines that are no fields, the first MAX_STRAY_BYTES
        self._line: list[bytes] = []  # the pieces of a line whose end has not come
        self._line_bytes = 0
        self._carriage_return = False  # the last byte was one; a line feed may follow
        self._first_line = True
        self._name = ""
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, content: bytes) -> list[Event]:
        """The events that this piece completes. Raises TooLong."""
        if self._carriage_return:
            content = b"\r" + content
        self._carriage_return = content.endswith(b"\r")
        if self._carriage_return:
            content = content[:-1]
        if b"\r" in content:
            content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *ended, rest = content.split(b"\n")
        events = []
        for end in ended:
            self._append(end)
            if (event := self._end_line()) is not None:
                events.append(event)
        self._append(rest)
        return events

    def finish(self) -> list[Event]:
        """The last events, when the stream has ended."""
        events = [self._end_line()] if self._line_bytes or self._carriage_return else []
        events.append(self._end_event())
        return [event for event in events if event is not None]

    def _append(self, piece: bytes) -> None:
        self._line_bytes += len(piece)
        if self._line_bytes > MAX_BYTES:
            raise TooLong
        if piece:
            self._line.append(piece)

    def _end_line(self) -> Event | None:
        line = b"".join(self._line)
        self._line, self._line_bytes = [], 0
        if self._first_line:
            self._first_line = False
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if not line:
            return self._end_event()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data_bytes += len(value) + 1
            if self._data_bytes > MAX_BYTES:
                raise TooLong
            self._data.append(value)
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")[:100]
        elif line[:1] in (b"{", b"[", b"<") and len(self.stray) < MAX_STRAY_BYTES:
            self.stray += line[:MAX_STRAY_BYTES] + b"\n"
        return None

    def _end_event(self) -> Event | None:
        data, name = b"\n".join(self._data).decode("utf-8", "replace"), self._name
        self._data, self._data_bytes, self._name = [], 0, ""
        return Event(data, name) if data else None
