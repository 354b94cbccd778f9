"""Which calls a page may make: a known event, as many arguments as it has, each of the type that its component sends.

Anybody can post any JSON. Gradio and the handlers behind it get only what passed here, so that a forged call is one
sentence and never a traceback.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import gradio as gr
from gradio.components.api_component import Api

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.chat.saved_chat import MAX_CHAT_MEDIA

SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")
MAX_PATH = 4096
MAX_FILES = 256  # in one argument
MAX_NUMBER = 2.0**64
MAX_DEPTH = 3  # of lists and objects in an argument of an endpoint
EXAMPLE = "example_select"
PAYLOAD_EVENTS = ("select", EXAMPLE)  # these come with an index and a value
FORGED = "This call is not one of this page ({}); reload the page and try again."


class Calls:
    """The calls of one page. `noted` is told which files below `folders` a tab's call names."""

    def __init__(self, demo: gr.Blocks, folders: Sequence[Path], noted: Callable[[str, Sequence[Path]], None]) -> None:
        self._demo, self._folders, self._noted = demo, tuple(folders), noted

    def checked(self, path: str, body: bytes) -> bytes:
        """The body of a call to an API path, as Gradio may read it. Raises UserError for a forged one."""
        call = _parsed(body)
        name = path.rstrip("/").rpartition("/")[2]
        function = self._function(call.get("fn_index"), name)
        session = call.get("session_hash")
        if session is not None and not (isinstance(session, str) and SESSION.fullmatch(session)):
            raise _forged("its session is odd")
        if not isinstance(call.get("trigger_id"), int | None) or isinstance(call.get("batched"), list | dict | str):
            raise _forged("its trigger is odd")
        data = call.get("data")
        inputs = function.inputs
        expected = (len(inputs), sum(not block.skip_api for block in inputs))
        if not isinstance(data, list) or len(data) not in expected:
            raise _forged("it has another number of arguments")
        files: list[Path] = []
        for block, value in zip(inputs, data, strict=False):
            if not self._fits(block, value, files):
                raise _forged(f"its {block.get_block_name()} holds something else")
        if any(target[1] in PAYLOAD_EVENTS for target in function.targets):
            event = call.get("event_data")
            if not isinstance(event, dict) or not {"index", "value"} <= set(event):
                raise _forged("it does not say what was chosen")
            if any(target[1] == EXAMPLE for target in function.targets):
                # Which card it was is enough; the files of a card are known by other names to the browser.
                call["event_data"] = {"index": event["index"], "value": None}
        elif isinstance(call.get("event_data"), bool):
            call["event_data"] = None  # a checkbox says there what its value says
        elif not isinstance(call.get("event_data"), dict | None):
            raise _forged("its event is odd")
        if session and files:
            self._noted(session, files)
        return json.dumps(call, ensure_ascii=False).encode("utf-8", "replace")  # a lone surrogate becomes "?"

    def _function(self, index: Any, name: str) -> Any:
        functions = self._demo.fns
        if index is None:
            found = next((f for f in functions.values() if f.api_name == name), None)
        else:
            found = functions.get(index) if isinstance(index, int) and not isinstance(index, bool) else None
        if found is None or found.fn is None or any(target[1] == "unload" for target in found.targets):
            raise _forged("there is no such event")
        return found

    def _fits(self, block: Any, value: Any, files: list[Path]) -> bool:
        if isinstance(block, gr.Slider):
            return _is_number(value)
        if value is None:
            return True
        if isinstance(block, gr.Number):
            return _is_number(value)
        if isinstance(block, gr.Checkbox):
            return isinstance(value, bool)
        if isinstance(block, gr.Textbox | gr.HTML | gr.Dropdown | gr.Radio):
            return isinstance(value, str)
        if isinstance(block, gr.MultimodalTextbox):
            if not isinstance(value, dict) or not isinstance(value.get("text"), str):
                return False
            attached = value.get("files", [])
            return isinstance(attached, list) and len(attached) <= MAX_FILES and self._are_files(attached, files)
        if isinstance(block, gr.File) and block.file_count == "multiple":
            return isinstance(value, list) and len(value) <= MAX_CHAT_MEDIA and self._are_files(value, files)
        if isinstance(block, Api):
            return self._fits_api(value, files)
        if isinstance(block, gr.File | gr.UploadButton | gr.Image | gr.DownloadButton):
            return self._are_files([value], files)
        return False

    def _fits_api(self, value: Any, files: list[Path], depth: int = 0) -> bool:
        """Whether an argument of an endpoint is not deep and names no other files than this page's; the endpoint itself
        looks at its type."""
        if isinstance(value, dict) and "path" in value:
            return self._are_files([value], files) and len(files) <= MAX_FILES
        if isinstance(value, dict | list):
            inner = value.values() if isinstance(value, dict) else value
            return depth < MAX_DEPTH and all(self._fits_api(item, files, depth + 1) for item in inner)
        return not isinstance(value, int | float) or _is_number(value) or isinstance(value, bool)

    def _are_files(self, values: Sequence[Any], files: list[Path]) -> bool:
        """Whether these are files of this page; those that are gone are named in a sentence."""
        for value in values:
            path = value.get("path") if isinstance(value, dict) else None
            if not isinstance(path, str) or len(path) > MAX_PATH or "\0" in path:
                return False
            if not all(isinstance(value.get(key), str | None) for key in ("url", "orig_name", "mime_type")):
                return False
            place = Path(path)
            if ".." in place.parts or not any(place.is_relative_to(folder) for folder in self._folders):
                return False
            if not isinstance(value.get("meta", {"_type": "gradio.FileData"}), dict):
                return False
            if not place.is_file():
                raise UserError(f"The file {value.get('orig_name') or place.name} is no longer here; attach it again.")
            files.append(place)
        return True


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        call = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise _forged("it is no JSON") from None
    if not isinstance(call, dict):
        raise _forged("it is no object")
    if any(isinstance(n, float) and not math.isfinite(n) for n in _numbers(call.get("data"))):
        raise _forged("a number is too large")
    return call


def _numbers(data: Any) -> Iterator[Any]:
    yield from data if isinstance(data, list) else ()


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_NUMBER


def _forged(what: str) -> UserError:
    return UserError(FORGED.format(what))
