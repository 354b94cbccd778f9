"""What --image and --video accept: a file, `-` for standard input, a pipe, or a file: or data: address.

Whoever starts a command may read any file here, so a file: address is as good as its path. The page takes uploads
only and never gets here. Nothing is ever fetched.
"""

from __future__ import annotations

import os
import stat
from urllib.parse import unquote_to_bytes, urlsplit

from qwen2vl_demo import console
from qwen2vl_demo.data_url import data_url_content
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import MediaLimits

STANDARD_INPUT = "-"


def read_argument(argument: str, limits: MediaLimits) -> tuple[str | bytes, str]:
    """(source, name) of an argument: its path, or the bytes of what has none. The name is for errors and traces; "" is
    the path's own.

    Raises UserError for an address that cannot be read, and for a pipe of more than `limits.max_file_bytes`.
    """
    lowered = argument[:8].lower()
    if argument == STANDARD_INPUT:
        return console.read_input(limits.max_file_bytes, "a picture or video"), "standard input"
    if lowered.startswith("data:"):
        return data_url_content(argument), "data: address"
    path = _path_of(argument) if lowered.startswith("file:") else argument
    own = os.path.basename(path)
    name = os.fsencode(own).decode("utf-8", errors="replace")  # a name on disk is bytes, which need not be UTF-8
    if _is_pipe(path):
        return _read_pipe(path, name, limits), name
    return path, name if name != own else ""


def _path_of(address: str) -> str:
    url = urlsplit(address)
    if url.netloc.lower() not in ("", "localhost"):
        raise UserError(f"{address} is on another machine, {url.netloc}; copy the file here and give its path.")
    return os.fsdecode(unquote_to_bytes(os.fsencode(url.path)))


def _is_pipe(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False  # opening it says what is wrong


def _read_pipe(path: str, name: str, limits: MediaLimits) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(limits.max_file_bytes + 1)
    except OSError as error:
        raise UserError(f"{name} cannot be read ({error.strerror}); give another file.") from None
    if len(data) > limits.max_file_bytes:
        raise UserError(f"{name} has more than {limits.max_file_bytes:,} bytes (--max-file-mb); send a smaller file.")
    return data
