"""Server-sent events, read as the standard says: bytes in, the data of finished events out.

Lines end with CR LF, LF or CR; an event ends with an empty line; several data lines are joined by a line feed; a line
that begins with a colon is a comment; the last event counts only once its empty line has come. A character may be cut
anywhere by the network. Knows nothing of what the data means. (https://html.spec.whatwg.org/multipage/server-sent-events.html)
"""

from __future__ import annotations

import codecs


class EventParser:
    """Keeps what the pieces of one stream have not finished yet."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("replace").decode  # the standard drops a leading BOM
        self._line = ""  # the line that is not finished yet
        self._after_cr = False  # the next LF belongs to a CR that ended a line already
        self._data: list[str] = []  # data lines of the event that is not finished yet

    def feed(self, piece: bytes) -> list[str]:
        """The data of every event that `piece` finishes, in order."""
        events: list[str] = []
        text = self._decode(piece)
        if self._after_cr and text:
            text = text.removeprefix("\n")
            self._after_cr = False
        self._after_cr = self._after_cr or text.endswith("\r")
        # str.splitlines would also split at U+2028 and friends, which JSON may hold unescaped
        *lines, self._line = (self._line + text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for line in lines:
            if line:
                self._take(line)
            elif self._data:
                events.append("\n".join(self._data))
                self._data = []
        return events

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        if name == "data":
            self._data.append(value.removeprefix(" "))
