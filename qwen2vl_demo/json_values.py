"""The JSON files of a checkpoint, and values in them, checked. Imports no torch.

The accessors raise UserError, which quotes what is in the file, for values of the wrong type and out of range.
"""

from __future__ import annotations

import json
import math
import reprlib
import stat
from pathlib import Path
from typing import Any, NoReturn

from qwen2vl_demo.errors import UserError

MAX_FILE_BYTES = 4 * 2**20  # of a checkpoint's small files; a config.json has a few kB
MAX_INTEGER = 2**20  # where an accessor is not told a maximum


def shown(value: Any) -> str:
    """A value of a checkpoint's file as an error quotes it: its repr, shortened, also where it is nested or huge."""
    try:
        return _REPR.repr(value)
    except ValueError:  # an integer of thousands of digits
        return "a huge number"


_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 60


def read_text(path: Path, max_bytes: int = MAX_FILE_BYTES) -> str:
    """The UTF-8 text in a file of a checkpoint. Raises UserError, which names the file."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{path} is not a regular file; take the file again from its source.")
        if status.st_size > max_bytes:
            raise UserError(
                f"{path} has {status.st_size:,} bytes, and no Qwen2-VL needs more than {max_bytes:,} there; "
                "take the file again from its source."
            )
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(
            f"There is no {path.name} in {path.parent}; point --model at a Qwen2-VL checkpoint directory."
        ) from None
    except UnicodeDecodeError as broken:
        raise UserError(f"{path} is not valid UTF-8 ({broken}); take the file again from its source.") from None
    except OSError as problem:
        raise UserError(f"{path} cannot be read ({problem.strerror}); look at its permissions.") from None


def read_json_object(path: Path, max_bytes: int = MAX_FILE_BYTES) -> dict[str, Any]:
    """The JSON object in a file of a checkpoint. Raises UserError, which names the file, for anything else."""
    try:
        content = json.loads(read_text(path, max_bytes), parse_constant=_no_constant)
    except RecursionError:
        raise UserError(f"{path} is not valid JSON (nested too deeply); take the file again from its source.") from None
    except ValueError as broken:  # also an integer of more digits than Python reads
        raise UserError(f"{path} is not valid JSON ({broken}); take the file again from its source.") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a JSON object; take the file again from its source.")
    return content


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def need(ok: bool, sentence: str) -> None:
    if not ok:
        raise UserError(f"This config.json is not one that Qwen2-VL can run: {sentence}.")


def object_in(section: dict[str, Any], name: str) -> dict[str, Any]:
    """A nested object; empty where it is missing or null."""
    value = section.get(name)
    need(value is None or isinstance(value, dict), f"its {name} is not an object")
    return value or {}


def value_in(section: dict[str, Any], *names: str, default: Any = None) -> Any:
    """The first of these keys that is set, else the default. Raises UserError where both are missing."""
    value = next((section[name] for name in names if section.get(name) is not None), default)
    if value is None:
        raise UserError(f"This config.json has no {names[0]!r}; take the checkpoint's own config.json again.")
    return value


def integer_in(
    section: dict[str, Any],
    *names: str,
    default: int | None = None,
    minimum: int = 1,
    maximum: int = MAX_INTEGER,
) -> int:
    value = value_in(section, *names, default=default)
    is_valid = type(value) is int and value >= minimum
    need(is_valid, f"its {names[0]} is {shown(value)} and not a whole number of at least {minimum}")
    need(value <= maximum, f"its {names[0]} is {shown(value)}, and {maximum} is the most that can be")
    return int(value)


def number_in(section: dict[str, Any], *names: str, default: float | None = None, maximum: float) -> float:
    value = value_in(section, *names, default=default)
    is_valid = type(value) in (int, float) and value > 0 and (type(value) is int or math.isfinite(value))
    need(is_valid, f"its {names[0]} is {shown(value)} and not a number above 0")
    need(value <= maximum, f"its {names[0]} is {shown(value)}, and {maximum:g} is the most that can be")
    return value


def switch_in(section: dict[str, Any], name: str, default: bool = False) -> bool:
    value = section.get(name)
    need(value is None or type(value) is bool, f"its {name} is {shown(value)} and neither true nor false")
    return default if value is None else bool(value)
