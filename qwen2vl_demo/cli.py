"""The command line: `ask` streams an answer, `inspect` shows how media are preprocessed without any weights, `check`
says whether a checkpoint runs here, `bench` measures, `drill` attacks the page, `serve` starts it.

Only answers and JSON go to standard output. Status messages go to standard error, and only if that is a terminal. Exit
statuses are in `console.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen2vl_demo import console
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.settings import NO_MODEL, Parser, Settings, add_flags, variable_name

if TYPE_CHECKING:
    from qwen2vl_demo.engine.protocol import Engine, GenerationOptions, Result
    from qwen2vl_demo.media import MediaLimits
    from qwen2vl_demo.processing.messages import Message
    from qwen2vl_demo.trace import PromptTrace

_MEDIA_FLAGS = (
    "model", "processor", "min_pixels", "max_pixels", "fps", "max_frames", "time_stamps", "max_file_mb",
    "max_image_mp", "max_pdf_pages",
)  # fmt: skip
_ENGINE_FLAGS = ("adapter", "device", "dtype", "quantize", "engine_url", "engine_model", "engine_key", "engine_timeout")
_ANSWER_FLAGS = ("max_new_tokens", "temperature")


class _AddMedium(argparse.Action):
    """Collects --image and --video in the order in which they are given, as (kind, path) in `namespace.media`."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        namespace.media = [*namespace.media, ((option_string or "").lstrip("-"), values)]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    return console.run(lambda: _command(argv))


def _command(argv: Sequence[str] | None) -> int:
    given = _parser().parse_args(argv)
    if given.run is not _serve:
        console.require_output()
    return int(given.run(given))


def _parser() -> argparse.ArgumentParser:
    as_module = Path(sys.argv[0]).name == "__main__.py"  # otherwise the console script of the installed package
    parser = Parser(
        prog="python -m qwen2vl_demo" if as_module else "qwen2vl-demo", description="Qwen2-VL on the command line."
    )
    parser.add_version_flag()
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    ask = commands.add_parser(
        "ask",
        help="ask about pictures and videos; streams the answer",
        description="Asks about pictures and videos, in the order given, and streams the answer to standard output.",
    )
    ask.add_argument("question", help="what to ask; - reads it from standard input")
    _add_media(ask)
    add_flags(ask, (*_MEDIA_FLAGS, *_ENGINE_FLAGS, *_ANSWER_FLAGS))
    ask.add_argument(
        "--top-p", type=float, metavar="P", help="sample from the likeliest tokens that reach this probability"
    )
    ask.add_argument("--seed", type=int, metavar="N", help="the same seed gives the same answer")
    ask.add_argument("--json", action="store_true", help="print one JSON object instead of streaming")
    ask.set_defaults(run=_ask)

    inspect = commands.add_parser(
        "inspect",
        help="show what pictures and videos become; needs no weights",
        description="Shows what pictures and videos become: sizes, grids, tokens and positions. Needs no weights. "
        "Without --model the limits are those of the released checkpoints and words are counted with nano's tokenizer.",
    )
    inspect.add_argument(
        "question", nargs="?", default="", help="a question behind them; - reads it from standard input"
    )
    _add_media(inspect)
    add_flags(inspect, _MEDIA_FLAGS)
    output = inspect.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print one JSON object")
    output.add_argument("--html", type=Path, metavar="OUT", help="write a page that needs nothing but itself")
    inspect.set_defaults(run=_inspect)

    check = commands.add_parser(
        "check",
        help="say what a checkpoint is, what it needs, and whether it runs here",
        description="Says what a checkpoint is, how much memory it needs in each number format, and whether it runs on "
        "this machine, without loading its weights. The status is 2, with one sentence, where it does not.",
    )
    check.add_argument("model", metavar="DIR|HUB_ID", help="a checkpoint directory or a Hugging Face id")
    add_flags(check, ("adapter", "processor", "device", "dtype", "quantize"))
    check.set_defaults(run=_check)

    bench = commands.add_parser(
        "bench",
        help="measure beside transformers, on random weights",
        description="Measures beside transformers, side by side in one process, on random weights of a true shape. "
        "Progress and the table go to standard error.",
    )
    bench.add_argument("--rows", metavar="A,B", help="these rows only; or files with such names")
    bench.add_argument("--rounds", type=int, metavar="N", help="rounds of each row; 5, or 3 where a round is long")
    bench.add_argument("--shape", choices=("2b", "2b_quarter", "7b", "small"), default="2b", help="default 2b")
    bench.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where both sides run, default cpu")
    bench.add_argument("--no-peer", action="store_true", help="time our side alone in the rows that generate text")
    bench.add_argument("--growth", action="store_true", help="how cost grows with pixels, pictures, turns and frames")
    bench.add_argument("--files", action="store_true", help="read a corpus of real-world files as uploads are read")
    bench.add_argument("--hostile", action="store_true", help="the same with files that were made to do harm")
    bench.add_argument("--json", action="store_true", help="print one JSON object")
    bench.set_defaults(run=_bench)

    drill = commands.add_parser(
        "drill",
        help="attacks, faults and a crowd of visitors against the served page",
        description="Starts the page with nano, does what strangers and failing machines do to it, and prints "
        "what came of it. The status is 0 if all that docs/security.md promises holds.",
    )
    drill.add_argument("--only", metavar="A,B", help="attacks, faults or visitors; all three without it")
    drill.add_argument("--visitors", type=int, default=50, metavar="N", help="visitors at the same time, default 50")
    drill.add_argument("--hostile", type=int, default=8, metavar="N", help="how many of them mean harm, default 8")
    drill.add_argument("--minutes", type=float, default=10.0, metavar="M", help="how long they come and go, default 10")
    drill.add_argument("--json", action="store_true", help="print one JSON object")
    drill.set_defaults(run=_drill)

    serve = commands.add_parser(
        "serve",
        help="start the page, as python app.py does",
        description="Chat with Qwen2-VL about pictures and videos, and see what it sees.",
    )
    add_flags(serve)
    serve.set_defaults(run=_serve)
    return parser


def _serve(given: argparse.Namespace) -> int:
    from qwen2vl_demo.serve import serve

    serve(Settings.from_namespace(given))
    return 0


def _check(given: argparse.Namespace) -> int:
    settings = Settings.from_namespace(given)
    if settings.model == NO_MODEL:
        raise UserError("There is nothing to check; give a checkpoint directory or a Hugging Face id.")
    from qwen2vl_demo.engine.check import check

    check(settings, console.write)
    return 0


def _bench(given: argparse.Namespace) -> int:
    if given.files or given.hostile:
        from qwen2vl_demo.bench import files

        return files.run(hostile=given.hostile, only=given.rows, as_json=given.json)
    from qwen2vl_demo.bench.run import run

    return run(given)


def _drill(given: argparse.Namespace) -> int:
    from qwen2vl_demo.bench.drill.run import run

    return run(given)


def _add_media(command: argparse.ArgumentParser) -> None:
    command.set_defaults(media=[])
    command.add_argument(
        "--image",
        action=_AddMedium,
        metavar="FILE",
        help="a picture or PDF, or - for standard input; again for more",
    )
    command.add_argument("--video", action=_AddMedium, metavar="FILE", help="a video, likewise")
    command.add_argument(
        "--pages", default="", metavar="1-3,7", help="which pages of a PDF or TIFF; without it the first"
    )
    command.add_argument(
        "--part",
        default="",
        metavar="2-4",
        help="which part of the videos to look at, in seconds or as 1:05-1:20; all frames are taken from it",
    )
    command.add_argument("--system", metavar="TEXT", help="what the model is told to be")


def _ask(given: argparse.Namespace) -> int:
    from qwen2vl_demo.media import MediaLimits

    settings = Settings.from_namespace(given)
    limits = MediaLimits.for_uploads(
        settings.max_file_mb, max_image_mp=settings.max_image_mp, max_pdf_pages=settings.max_pdf_pages
    )
    messages = _messages(given, limits)
    from qwen2vl_demo.engine.factory import engine_of, options_of

    options = options_of(settings)
    if given.top_p is not None:
        options = replace(options, top_p=given.top_p)
    options = replace(options, seed=given.seed)
    messages = _with_pages(messages, given, limits)
    status = _Status()
    status.show("Loading the model")
    with _silenced(logging.getLogger("qwen2vl_demo.server")):  # what it says is printed here as an error or a note
        result = _stream(engine_of(settings), messages, options, status, quiet=given.json)
    if given.json:
        _print_json(_answer_record(result))
    elif result.trace:
        for medium in result.trace.media:
            for notice in medium.notices:
                print(f"({medium.name}: {notice})", file=sys.stderr)
    return 0


@contextlib.contextmanager
def _silenced(log: logging.Logger) -> Iterator[None]:
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(level)


def _stream(
    engine: Engine, messages: list[Message], options: GenerationOptions, status: _Status, *, quiet: bool
) -> Result:
    """Prints the answer as it is generated (unless quiet) and returns the result of the last chunk."""
    result = None
    for chunk in engine.stream(messages, options):
        if chunk.status is not None:
            status.show(chunk.status)
        if chunk.text and not quiet:
            status.clear()
            console.write(chunk.text, end="")
        result = chunk.result or result
    status.clear()
    assert result is not None, "an engine ends with a result"
    if not quiet:
        console.write("", end="" if result.text.endswith("\n") else "\n")
        if result.stop_reason == "length" and sys.stderr.isatty():
            print(f"(cut after {result.new_tokens} tokens; allow more with --max-new-tokens)", file=sys.stderr)
        for note in filter(None, (*result.notes, result.remark)):
            print(f"({note})", file=sys.stderr)
    return result


def _answer_record(result: Result) -> dict[str, Any]:
    return {
        "answer": result.text,
        "stop_reason": result.stop_reason,
        "prompt_tokens": result.prompt_tokens,
        "new_tokens": result.new_tokens,
        "media": [medium.to_dict() for medium in result.trace.media] if result.trace else [],
        "timings": {name: round(seconds, 4) for name, seconds in result.timings.items()},
    }


def _inspect(given: argparse.Namespace) -> int:
    if not given.media and not given.question:
        raise UserError("There is nothing to inspect; give at least one --image or --video.")
    from qwen2vl_demo.media import MediaLimits

    settings = Settings.from_namespace(given, {variable_name("model"): NO_MODEL, **os.environ})
    limits = MediaLimits.for_uploads(
        settings.max_file_mb, max_image_mp=settings.max_image_mp, max_pdf_pages=settings.max_pdf_pages
    )
    messages = _messages(given, limits)
    from qwen2vl_demo.engine.factory import options_of
    from qwen2vl_demo.engine.processors import processor_for

    processor = processor_for(settings.model, limits, preprocessing=settings.processor)
    messages = _with_pages(messages, given, limits)
    prompt = processor.process(messages, options_of(settings).media, thumbnails=given.html is not None)
    if given.json:
        _print_json(prompt.trace.to_dict())
    elif given.html:
        from qwen2vl_demo.report import report_page

        page = report_page(
            prompt.trace,
            [medium.frames for medium in prompt.media],
            [medium.thumbnail for medium in prompt.media],
            limits=(processor.image.min_pixels, processor.image.max_pixels),
        )
        try:
            given.html.write_text(page, encoding="utf-8")
        except OSError as error:
            raise UserError(f"{given.html} cannot be written ({error.strerror}); give --html another place.") from None
        console.write(str(given.html))
    else:
        console.write(_summary(prompt.trace))
    return 0


def _summary(trace: PromptTrace) -> str:
    """A human-readable summary of a trace, several lines."""
    lines = []
    for medium in trace.media:
        (height, width), (new_height, new_width), (t, h, w) = medium.original_size, medium.resized_size, medium.grid_thw
        lines += [
            f"{medium.kind} {medium.name}",
            f"  {height}x{width} px, resized to {new_height}x{new_width} (height x width)",
            f"  grid {t}x{h}x{w} patches = {medium.merged_tokens} merged tokens, prompt places {medium.span[0]} to "
            f"{medium.span[1] - 1}",
        ]
        if medium.timestamps:
            lines.append(
                f"  {len(medium.timestamps)} of {medium.total_frames} frames, from {medium.timestamps[0]:.2f} s to "
                f"{medium.timestamps[-1]:.2f} s"
            )
        lines += [f"  {notice}" for notice in medium.notices]
    lines.append(f"prompt: {len(trace)} tokens, rope_delta {trace.rope_delta}")
    return "\n".join(lines)


def _messages(given: argparse.Namespace, limits: MediaLimits) -> list[Message]:
    """The conversation that the arguments describe. PyTorch is not loaded yet, so that errors appear at once."""
    from qwen2vl_demo.media import TimeRange
    from qwen2vl_demo.media_arguments import STANDARD_INPUT, read_argument
    from qwen2vl_demo.processing.messages import Image, Message, Part, Video, question_parts

    from_input = [given.question, *(argument for _, argument in given.media)].count(STANDARD_INPUT)
    if from_input > 1:
        raise UserError("Standard input can be read once; give - for the question or for one file, not for several.")
    question = console.read_question() if given.question == STANDARD_INPUT else given.question
    for text in (question, given.system or ""):
        if not _is_unicode(text):
            raise UserError("The text is not UTF-8; convert it first, or set the encoding of the terminal to UTF-8.")
    time_range = TimeRange.parse(given.part, "--part")
    if time_range and not any(kind == "video" for kind, _ in given.media):
        raise UserError("--part chooses a part of a video; give one with --video.")
    parts: list[Part] = []
    for kind, argument in given.media:
        source, name = read_argument(argument, limits)
        parts.append(Image(source, name) if kind == "image" else Video(source, name, time_range))
    if question:
        parts += question_parts(question)
    system = [Message("system", given.system)] if given.system is not None else []
    return [*system, Message("user", parts)]


def _with_pages(messages: list[Message], given: argparse.Namespace, limits: MediaLimits) -> list[Message]:
    """Replaces PDFs by their pages."""
    from qwen2vl_demo.media import PageChoice
    from qwen2vl_demo.processing.processor import expand_documents

    notes: list[str] = []
    messages = expand_documents(messages, limits, PageChoice.parse(given.pages, "--pages"), notes.append)
    for sentence in notes:
        console.note(f"{sentence} Choose others with --pages, as in --pages 1-3,7.")
    return messages


def _is_unicode(text: str) -> bool:
    """Whether an argument was text. Python turns bytes that are not into lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _print_json(record: dict[str, Any]) -> None:
    text = json.dumps(record, ensure_ascii=False)
    console.write(re.sub("[\x7f-\x9f]", lambda found: f"\\u{ord(found[0]):04x}", text))  # as json escapes the others


class _Status:
    """A status line on a terminal, until the answer begins; nothing where standard error is not a terminal."""

    def __init__(self) -> None:
        self._enabled = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = False

    def show(self, text: str) -> None:
        if self._enabled:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
            self._shown = True

    def clear(self) -> None:
        """Removes the status line. No other is shown after it, so that the answer is not overwritten."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        self._shown = self._enabled = False
