"""What every command shares with the terminal: exit statuses, output that may fail, and text that is safe to print.

Streams may be closed, full or a pipe that nobody reads any more. All of these end a command with one line, or quietly,
never with a traceback.
"""

from __future__ import annotations

import contextlib
import locale
import os
import re
import sys
from collections.abc import Callable
from io import TextIOWrapper

from qwen2vl_demo.errors import UserError

MAX_QUESTION_BYTES = 4 * 2**20  # more text than any context holds
MAX_LINE = 600  # characters of an error, of which a flag's value may be the larger part
# What moves the cursor or changes the terminal: all control characters but tab and newline.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def run(command: Callable[[], int]) -> int:
    """Runs a command and returns its exit status: its own; 2, with one line on standard error, for a `UserError`; 130
    after Ctrl-C; 0 where the reader of the output, such as `head`, has closed the pipe."""
    _open_standard_streams()
    try:
        status = command()
        flush()
        return status
    except UserError as error:
        _complain(f"error: {error.for_operator}")
        return 2
    except KeyboardInterrupt:
        _complain("")
        return 130
    except BrokenPipeError:
        return 0
    except SystemExit as stopped:  # --help and --version
        return _ended(stopped)
    finally:
        _give_up_unwritable()


def write(text: str, end: str = "\n") -> None:
    """Prints to standard output at once. Raises UserError where that fails, and BrokenPipeError for a closed pipe.

    A terminal gets no control characters: an answer or a file name could otherwise rewrite the screen.
    """
    if sys.stdout is None:
        raise _unwritable("it is closed")
    if sys.stdout.isatty():
        text = without_controls(text)
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _unwritable(error.strerror) from None


def require_output() -> None:
    """Raises UserError where standard output is closed, before anything expensive is done for it."""
    if sys.stdout is None:
        raise _unwritable("it is closed")


def flush() -> None:
    """Writes what standard output still holds. Raises like `write`."""
    if sys.stdout is not None:
        write("", end="")


def note(text: str) -> None:
    """One line on standard error. It does not matter whether anybody reads it."""
    _complain(f"note: {text}")


def without_controls(text: str) -> str:
    """The text with each control character but tab and newline replaced by U+FFFD."""
    return _CONTROLS.sub("\ufffd", text)


def read_input(limit: int, what: str) -> bytes:
    """All of standard input. Raises UserError if it is closed, cannot be read, or has more than `limit` bytes, which
    are too many for `what`."""
    if sys.stdin is None:
        raise UserError(f"Standard input is closed, and {what} was to be read from it.")
    try:
        data = sys.stdin.buffer.read(limit + 1)
    except OSError as error:
        raise UserError(
            f"Standard input cannot be read ({error.strerror}), and {what} was to be read from it."
        ) from None
    if len(data) > limit:
        raise UserError(f"Standard input has more than {limit:,} bytes, too many for {what}; send less.")
    return data


def read_question() -> str:
    """The question on standard input, without a byte order mark and the newline at its end. Raises UserError."""
    text = decode(read_input(MAX_QUESTION_BYTES, "the question"))
    return text.removesuffix("\n").removesuffix("\r")


def decode(data: bytes) -> str:
    """Text in UTF-8, in UTF-16 with a byte order mark, or else in the encoding of the locale. Raises UserError."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    else:
        encodings = ["utf-8-sig", *([own] if (own := locale.getencoding()).lower() not in ("utf-8", "ascii") else [])]
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise UserError("Standard input is not text in UTF-8; convert it first, for example with iconv -f latin1 -t utf-8.")


def _open_standard_streams() -> None:
    """Prepares the streams, also closed ones.

    A file that is opened later would otherwise get the free number of a closed stream, and messages of C libraries
    would go into it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")


def _complain(text: str) -> None:
    line = without_controls(" ".join(text.split()))
    if len(line) > MAX_LINE:
        line = f"{line[: MAX_LINE // 2]} ... {line[-MAX_LINE // 2 :]}"
    with contextlib.suppress(OSError):  # nobody reads it
        print(line, file=sys.stderr, flush=True)


def _ended(stopped: SystemExit) -> int:
    try:
        flush()
    except BrokenPipeError:
        return 0
    except UserError as error:
        _complain(f"error: {error.for_operator}")
        return 2
    return stopped.code if isinstance(stopped.code, int) else 0


def _give_up_unwritable() -> None:
    """Sends what cannot be written to nowhere, because Python tries once more when it exits and reports it then."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _unwritable(reason: str | None) -> UserError:
    return UserError(f"Standard output cannot be written ({reason}); send it to another place.")
