"""Configuration of the app: every flag of `python app.py` with its QWEN2VL_* variable, its default and its check.

Each field of `Settings` is a flag and a variable: `max_file_mb` is `--max-file-mb` and `QWEN2VL_MAX_FILE_MB`. A flag
takes precedence over its variable, and a variable over the default. This module opens no files, makes no requests and
imports neither torch nor gradio, so that `--help` and errors in flags appear immediately.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any, NoReturn
from urllib.parse import urlsplit

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.version import __version__

PREFIX = "QWEN2VL_"
DEVICE = r"auto|mps|cpu|cuda(:\d{1,2}(,\d{1,2})*)?"
DTYPES = ("auto", "bfloat16", "float32")
QUANTIZE = ("none", "int8", "int4")
NANO = "nano"  # the checkpoint in assets/nano
NO_MODEL = "none"  # prompts are prepared, but not answered

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UserError, with one sentence, instead of printing its usage and exiting."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def add_version_flag(self) -> None:
        """Adds `--version`, which prints `qwen2vl-demo X.Y.Z` and exits."""
        self.add_argument("--version", action="version", version=f"qwen2vl-demo {__version__}")

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message[:1].upper()}{message[1:]} (see {self.prog} --help).")


def _text(value: str) -> str:
    return value


def _integer(value: str) -> int:
    return int(value.replace("_", ""))


def _number(value: str) -> float:
    number = float(value)
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError(value)
    return number


def _switch(value: str) -> bool:
    if value.strip().lower() in _TRUE:
        return True
    if value.strip().lower() in _FALSE:
        return False
    raise ValueError(value)


def _device(value: str) -> str:
    if not re.fullmatch(DEVICE, value, re.ASCII):
        raise ValueError(value)
    return value


_KIND = {
    _device: "auto, cuda, mps or cpu; or one card or several, as in cuda:1 and cuda:0,1",
    _integer: "a whole number",
    _number: "a number",
    _switch: "1 or 0",
}


def _flag(
    default: Any,
    help: str,
    *,
    convert: Callable[[str], Any] = _text,
    metavar: str = "",
    choices: Sequence[str] = (),
    secret: bool = False,
) -> Any:
    metadata = {"help": help, "convert": convert, "metavar": metavar, "choices": choices, "secret": secret}
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True)
class Settings:
    """The settings of one run of the app or of a command. Raises UserError for invalid values."""

    # the model
    model: str = _flag(
        NANO,
        "nano (ships with this project), a checkpoint directory, a Hugging Face id, or none: look only, answer nothing",
        metavar="nano|DIR|HUB_ID|none",
    )
    models: str | None = _flag(
        None,
        "visitors choose their model from these: nano, checkpoint directories or folders of them, Hugging Face ids, "
        "addresses of servers; with commas between them",
        metavar="LIST",
    )
    adapter: str | None = _flag(
        None,
        "a LoRA directory or Hugging Face id that is merged into the model while it is loaded",
        metavar="DIR|HUB_ID",
    )
    processor: str | None = _flag(
        None,
        "a directory or Hugging Face id with the tokenizer and the image preprocessing, where the model has none",
        metavar="DIR|HUB_ID",
    )
    device: str = _flag(
        "auto",
        "where it runs; auto takes the first of cuda, mps and cpu that is there; cuda:1 is the second card, "
        "cuda:0,1 lays the layers over two",
        convert=_device,
        metavar="auto|cuda|cuda:0,1|mps|cpu",
    )
    dtype: str = _flag("auto", "the numbers it runs in; auto takes what is fast on the device", choices=DTYPES)
    quantize: str = _flag(
        "none",
        "int8 or int4 hold the weights in 8 or 4 bits, half or a third of the memory, at some loss of accuracy; "
        "int8 is slow on a GPU",
        choices=QUANTIZE,
    )

    # or a server instead of it
    engine_url: str | None = _flag(
        None, "an OpenAI-compatible server (vLLM, SGLang) that answers instead of the model here", metavar="URL"
    )
    engine_model: str | None = _flag(
        None, "the model's name on that server; needed if it serves several or lists none", metavar="NAME"
    )
    engine_key: str | None = _flag(None, "the server's key; better given as the variable", metavar="KEY", secret=True)
    engine_timeout: float = _flag(
        300.0, "seconds that the server may take to start, or stay silent", convert=_number, metavar="SECONDS"
    )

    # the page
    host: str | None = _flag(None, "address to listen on; 0.0.0.0 opens the page to the network", metavar="ADDRESS")
    port: int | None = _flag(
        None, "port to listen on; without it the first free one from 7860", convert=_integer, metavar="N"
    )
    auth: str | None = _flag(
        None,
        "ask visitors for this name and password; @FILE for several users, with one USER:PASS on each line",
        metavar="USER:PASS|@FILE",
        secret=True,
    )
    keep_chats: str | None = _flag(
        None,
        "a folder in which the chats of each user of --auth are kept, so that another browser finds them",
        metavar="DIR",
    )
    keep_chats_mb: int = _flag(
        500, "megabytes of chats and their files that are kept for one user", convert=_integer, metavar="N"
    )
    share: bool = _flag(False, "open a public gradio.live link to this machine", convert=_switch)
    max_file_mb: int = _flag(50, "largest file that a visitor may upload, in megabytes", convert=_integer, metavar="N")
    visitor_files_mb: int = _flag(
        1000, "megabytes of files that one visitor may have here at once", convert=_integer, metavar="N"
    )
    all_files_mb: int = _flag(
        8000, "megabytes of files that all visitors may have here at once", convert=_integer, metavar="N"
    )
    max_pdf_pages: int = _flag(12, "most pages read of a PDF or TIFF at once", convert=_integer, metavar="N")
    share_cache: bool = _flag(
        False,
        "visitors share what was computed: faster if many ask the same, but one can find out what others ask",
        convert=_switch,
    )
    mcp: bool = _flag(
        False, "assistants can call the page as tools, at /gradio_api/mcp; needs the package mcp", convert=_switch
    )
    max_image_mp: int = _flag(
        120,
        "largest picture that is decoded, in million pixels; larger JPEGs are decoded at reduced size",
        convert=_integer,
        metavar="N",
    )
    decode_seconds: int = _flag(
        10, "processor time that opening one file of a visitor may take, in seconds", convert=_integer, metavar="N"
    )
    data_dir: str | None = _flag(
        None, "where the page keeps its working files; without it ~/.cache/qwen2vl-demo", metavar="DIR"
    )

    # defaults of the page, which a visitor can change
    min_pixels: int | None = _flag(
        None, "fewest pixels of a resized picture; without it the checkpoint's limit", convert=_integer, metavar="N"
    )
    max_pixels: int | None = _flag(
        None,
        "most pixels of a resized picture or frame; without it what the checkpoint and the device allow",
        convert=_integer,
        metavar="N",
    )
    fps: float = _flag(2.0, "frames taken from a second of video", convert=_number, metavar="N")
    max_frames: int | None = _flag(
        None, "most frames taken from a video; without it the checkpoint's limit", convert=_integer, metavar="N"
    )
    time_stamps: bool = _flag(
        False,
        "write the time before each pair of frames of a video, as in <2.0 seconds>; Qwen2-VL was not trained with that",
        convert=_switch,
    )
    max_new_tokens: int = _flag(512, "longest answer, in tokens", convert=_integer, metavar="N")
    temperature: float = _flag(
        0.0, "0 always takes the likeliest token; higher is more varied", convert=_number, metavar="T"
    )

    def __post_init__(self) -> None:
        _check(bool(self.model.strip()), "model", "it is empty; give nano, a checkpoint directory or a Hugging Face id")
        _check(
            self.processor is None or self.model not in (NANO, NO_MODEL),
            "processor",
            f"it needs {flag_name('model')}, a checkpoint without a tokenizer, beside it",
        )
        if self.engine_url is not None:
            _check(
                _is_server_address(self.engine_url),
                "engine_url",
                f"{self.engine_url!r} is not the address of a server; it looks like http://localhost:8000/v1",
            )
        else:
            _check(self.engine_model is None, "engine_model", f"it needs {flag_name('engine_url')} beside it")
            _check(self.engine_key is None, "engine_key", f"it needs {flag_name('engine_url')} beside it")
        _check(self.engine_timeout > 0, "engine_timeout", f"it must be above 0 seconds, not {self.engine_timeout:g}")
        _check(self.port is None or 1 <= self.port <= 65_535, "port", f"{self.port} is not between 1 and 65535")
        if self.auth is not None:
            _check(
                bool(re.fullmatch(r"@.+|[^:@][^:]*:.+", self.auth)),
                "auth",
                "it must be a name, a colon and a password, or @ and a file of such lines",
            )
        _check(
            self.keep_chats is None or self.auth is not None,
            "keep_chats",
            f"it needs {flag_name('auth')} beside it, which says whose a chat is",
        )
        megabytes = self.keep_chats_mb
        _check(1 <= megabytes <= 1_000_000, "keep_chats_mb", f"{megabytes} is not between 1 and 1000000 megabytes")
        _check(1 <= self.max_file_mb <= 4096, "max_file_mb", f"{self.max_file_mb} is not between 1 and 4096 megabytes")
        _check(
            1 <= self.visitor_files_mb <= self.all_files_mb,
            "visitor_files_mb",
            f"{self.visitor_files_mb} is not between 1 and the {self.all_files_mb} megabytes of all visitors",
        )
        _check(self.all_files_mb <= 10**7, "all_files_mb", f"{self.all_files_mb} is more than 10000000 megabytes")
        _check(1 <= self.max_pdf_pages <= 1000, "max_pdf_pages", f"{self.max_pdf_pages} is not between 1 and 1000")
        _check(1 <= self.max_image_mp <= 1000, "max_image_mp", f"{self.max_image_mp} is not between 1 and 1000 million")
        seconds = self.decode_seconds
        _check(1 <= seconds <= 3600, "decode_seconds", f"{seconds} is not between 1 and 3600 seconds")
        least = self.min_pixels
        if least is not None:
            _check(least >= 784, "min_pixels", f"{least} is less than one merged token, 28x28 = 784 pixels")
        if self.max_pixels is not None:
            _check(
                self.max_pixels >= max(784, least or 0),
                "max_pixels",
                f"{self.max_pixels} is less than "
                + (f"the least, {least}" if least and least > 784 else "one merged token, 28x28 = 784 pixels"),
            )
        _check(0 < self.fps <= 240, "fps", f"{self.fps:g} is not above 0 and at most 240 frames per second")
        frames = self.max_frames
        _check(frames is None or 2 <= frames <= 768, "max_frames", f"{frames} is not between 2 and 768")
        _check(
            1 <= self.max_new_tokens <= 32_768, "max_new_tokens", f"{self.max_new_tokens} is not between 1 and 32768"
        )
        _check(0 <= self.temperature <= 5, "temperature", f"{self.temperature:g} is not between 0 and 5")

    @property
    def auth_file(self) -> str | None:
        """The file that `--auth` names, if it names one."""
        return self.auth[1:] if self.auth is not None and self.auth.startswith("@") else None

    @property
    def credentials(self) -> tuple[str, str] | None:
        """Name and password of `--auth`, unless it names a file. The password may contain colons."""
        if self.auth is None or self.auth_file is not None:
            return None
        name, _, password = self.auth.partition(":")
        return name, password

    @classmethod
    def from_args(cls, argv: Sequence[str], environ: Mapping[str, str] | None = None) -> Settings:
        """Settings of `python app.py ARGV`. `--help` and `--version` print and exit; a wrong flag raises UserError."""
        parser = Parser(
            prog="app.py", description="Chat with Qwen2-VL about pictures and videos, and see what it sees."
        )
        parser.add_version_flag()
        add_flags(parser)
        return cls.from_namespace(parser.parse_args(list(argv)), environ)

    @classmethod
    def from_namespace(cls, given: argparse.Namespace, environ: Mapping[str, str] | None = None) -> Settings:
        """Settings from parsed flags, else from the environment (`os.environ`), else from the defaults."""
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for spec in fields(cls):
            flag_value = getattr(given, spec.name, None)
            variable = environ.get(variable_name(spec.name))
            if flag_value is not None:
                values[spec.name] = flag_value
            elif variable is not None and variable.strip():
                values[spec.name] = _convert(spec, variable.strip(), variable_name(spec.name))
        return cls(**values)


def flag_name(name: str) -> str:
    """`max_file_mb` -> `--max-file-mb`"""
    return "--" + name.replace("_", "-")


def variable_name(name: str) -> str:
    """`max_file_mb` -> `QWEN2VL_MAX_FILE_MB`"""
    return PREFIX + name.upper()


def add_flags(parser: argparse.ArgumentParser, names: Iterable[str] | None = None) -> None:
    """Adds the flags of the settings `names` (default: all). A flag that is not given is parsed as None."""
    selected = None if names is None else set(names)
    for spec in fields(Settings):
        if selected is not None and spec.name not in selected:
            continue
        text = spec.metadata["help"].replace("%", "%%") + f" ({variable_name(spec.name)}{_default_note(spec)})"
        if spec.metadata["convert"] is _switch:
            parser.add_argument(flag_name(spec.name), action="store_const", const=True, default=None, help=text)
            continue
        choices = spec.metadata["choices"]
        parser.add_argument(
            flag_name(spec.name),
            type=_argument(spec),
            default=None,
            metavar=spec.metadata["metavar"] or "|".join(choices),
            help=text,
        )


def table() -> list[tuple[str, str, str, str]]:
    """(flag, variable, default, meaning) of every setting, for docs/settings.md, the README and their test."""
    rows = []
    for spec in fields(Settings):
        default = "off" if spec.default is False else "" if spec.default is None else f"{spec.default}"
        rows.append((flag_name(spec.name), variable_name(spec.name), default.removesuffix(".0"), spec.metadata["help"]))
    return rows


def _default_note(spec: Field[Any]) -> str:
    return "" if spec.default is None or spec.default is False else f", default {spec.default}".removesuffix(".0")


def _argument(spec: Field[Any]) -> Callable[[str], Any]:
    def parse(value: str) -> Any:
        return _convert(spec, value, flag_name(spec.name))

    return parse


def _convert(spec: Field[Any], value: str, origin: str) -> Any:
    choices, convert = spec.metadata["choices"], spec.metadata["convert"]
    if choices and value not in choices:
        raise UserError(f"{origin} is {value!r}; choose one of {', '.join(choices)}.")
    try:
        return convert(value)
    except ValueError:
        raise UserError(f"{origin} is {value!r}, but it must be {_KIND[convert]}.") from None


def _is_server_address(text: str) -> bool:
    try:
        url = urlsplit(text)
        return (
            url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        )  # an invalid port raises ValueError
    except ValueError:
        return False


def _check(ok: bool, name: str, sentence: str) -> None:
    if not ok:
        raise UserError(f"{flag_name(name)} ({variable_name(name)}) cannot be used: {sentence}.")
