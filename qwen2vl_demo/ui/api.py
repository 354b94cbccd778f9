"""What a program can ask of the page: `/ask` streams an answer, `/inspect` says what a prompt becomes.

Gradio derives the documented types of both endpoints, and those of the tools that `--mcp` offers, from the signatures
and the docstrings here, which therefore hold real types instead of strings. Nothing is kept after a call.
"""

import inspect
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NotRequired, TypedDict
from urllib.parse import unquote

import gradio as gr
from gradio import FileData

from qwen2vl_demo.data_url import data_url_content
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import WHOLE_CLIP, TimeRange
from qwen2vl_demo.ui.chat.attachments import store_files
from qwen2vl_demo.ui.chat.conversation import Answer, Turn, default_question
from qwen2vl_demo.ui.chat.page_update import FAILED, report
from qwen2vl_demo.ui.chat.prompts import PreparedPrompt, Prompts
from qwen2vl_demo.ui.chat.repetition import Repetition
from qwen2vl_demo.ui.chat.saved_chat import MAX_TEXT, MAX_TURNS, check_size, clean
from qwen2vl_demo.ui.chat.streaming import AnswerStream
from qwen2vl_demo.ui.forgetting import LAST_STEP
from qwen2vl_demo.ui.models import Models
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Session
from qwen2vl_demo.ui.settings_form import AnswerSettings

FILES = "The files must be a list of uploads to this page, or of data: URLs; other addresses are not opened."
UPLOADED = "/gradio_api/file="
AT_ONCE = 4  # calls of an endpoint that run at the same time; the others wait in Gradio's queue
GATHER = 0.1  # seconds of new words that are sent together


class Message(TypedDict):
    """One message of an earlier exchange."""

    role: Literal["user", "assistant"]
    content: str
    files: NotRequired[list[FileData]]  # those of a user's message


class Api:
    """The two endpoints. They are given to Gradio by `wire`."""

    def __init__(self, models: Models) -> None:
        self._models = models
        first = models.first  # what is not of one model
        self._store, self._threads, self._forgetting = first.store, first.threads, first.forgetting
        self._uploads = first.uploads

    def wire(self) -> None:
        """Offers both inside the open gr.Blocks."""
        for endpoint, returned in ((self.ask, str), (self.inspect, dict[str, Any])):
            gr.api(_returning(endpoint, returned), api_name=endpoint.__name__, concurrency_limit=AT_ONCE)

    async def ask(
        self,
        question: str = "",
        files: list[FileData] = [],  # noqa: B006
        history: list[Message] = [],  # noqa: B006
        system: str = "",
        max_new_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        repetition_penalty: float | None = None,
        seed: int | None = None,
        max_tokens: int | None = None,
        min_tokens: int | None = None,
        pages: str = "",
        add_vision_id: bool | None = None,
        fps: float | None = None,
        max_frames: int | None = None,
        part: str = "",
        time_stamps: bool | None = None,
        model: str = "",
    ) -> AsyncGenerator[str, None]:
        """Asks Qwen2-VL about pictures, clips, PDFs, or nothing but words. Streams the whole answer so far each time it
        grows, as the model wrote it: boxes stand in it as Qwen2-VL writes them, from 0 to 1000 of width and height.
        What is not given is as the page's settings begin with. Nothing is kept after the call.

        Parameters:
            question: what is asked; empty for a description of the files
            files: pictures, clips or PDFs of this question: uploads to this page, or data: URLs
            history: earlier messages, oldest first, user and assistant in turn; those of a user may have files
            system: the system prompt; empty for the sentence that the model was trained with
            max_new_tokens: the most tokens that the answer may have
            temperature: 0 always takes the likeliest token
            top_p: chooses among the likeliest tokens that together reach this probability
            top_k: chooses among this many likeliest tokens; 0 for all of them
            repetition_penalty: above 1, words that were already used become less likely
            seed: the same seed gives the same answer
            max_tokens: the most tokens of a picture; one stands for 28x28 pixels
            min_tokens: the fewest tokens of a picture
            pages: of a PDF or TIFF, such as "1-3, 7"
            add_vision_id: writes "Picture 1:" before each picture
            fps: frames that are taken from each second of a clip
            max_frames: the most frames of a clip
            part: the part of each clip of this question to look at, in seconds or as "1:05-1:20"
            time_stamps: writes the time before each pair of frames, which Qwen2-VL was not trained with
            model: the model that answers, as the menu of the page names it; empty for the page's first one
        Returns:
            the answer so far
        """
        cancel = threading.Event()
        async with self._call(model, cancel) as (visitor, parts):
            settings = parts.form.read(
                {
                    "system": system,
                    "max_new_tokens": max_new_tokens,
                    "temperature": temperature,
                    "top_p": top_p,
                    "top_k": top_k,
                    "repetition_penalty": repetition_penalty,
                    "seed": seed,
                    "max_tokens": max_tokens,
                    "min_tokens": min_tokens,
                    "pages": pages,
                    "add_vision_id": add_vision_id,
                    "fps": fps,
                    "max_frames": max_frames,
                    "time_stamps": time_stamps,
                }
            ).seeded()
            prepared = await self._threads.run_for(
                visitor, self._prepare, visitor, parts.prompts, question, files, history, part, settings, cancel
            )
            answer, stream = "", AnswerStream(parts.engine, prepared, settings.options, cancel)
            repetition, repeating = Repetition(), False
            try:
                while not stream.ended and len(answer) < MAX_TEXT and not repeating:
                    new = "".join(chunk.text for chunk in await stream.take(GATHER, GATHER))
                    repeating = settings.stop_repetition and repetition.push(new)
                    if new:
                        answer = (answer + new)[:MAX_TEXT]
                        yield answer
            finally:
                stream.close()
            yield answer

    async def inspect(
        self,
        question: str = "",
        files: list[FileData] = [],  # noqa: B006
        history: list[Message] = [],  # noqa: B006
        system: str = "",
        max_tokens: int | None = None,
        min_tokens: int | None = None,
        pages: str = "",
        add_vision_id: bool | None = None,
        fps: float | None = None,
        max_frames: int | None = None,
        part: str = "",
        time_stamps: bool | None = None,
        model: str = "",
    ) -> dict[str, Any]:
        """Says what a prompt becomes in Qwen2-VL, without answering it: of each picture and clip its size, its size
        after resizing, its grid of 14x14 patches (t, h, w) and its merged tokens; then all tokens of the prompt with
        their M-RoPE positions (t, h, w).

        Parameters:
            question: what would be asked; empty for a description of the files
            files: pictures, clips or PDFs of this question: uploads to this page, or data: URLs
            history: earlier messages, oldest first, user and assistant in turn; those of a user may have files
            system: the system prompt; empty for the sentence that the model was trained with
            max_tokens: the most tokens of a picture; one stands for 28x28 pixels
            min_tokens: the fewest tokens of a picture
            pages: of a PDF or TIFF, such as "1-3, 7"
            add_vision_id: writes "Picture 1:" before each picture
            fps: frames that are taken from each second of a clip
            max_frames: the most frames of a clip
            part: the part of each clip of this question to look at, in seconds or as "1:05-1:20"
            time_stamps: writes the time before each pair of frames, which Qwen2-VL was not trained with
            model: the model that would answer, as the menu of the page names it; empty for the page's first one
        Returns:
            the same record that the command `inspect --json` prints
        """
        cancel = threading.Event()
        async with self._call(model, cancel) as (visitor, parts):
            settings = parts.form.read(
                {
                    "system": system,
                    "max_tokens": max_tokens,
                    "min_tokens": min_tokens,
                    "pages": pages,
                    "add_vision_id": add_vision_id,
                    "fps": fps,
                    "max_frames": max_frames,
                    "time_stamps": time_stamps,
                }
            )
            prepared = await self._threads.run_for(
                visitor, self._prepare, visitor, parts.prompts, question, files, history, part, settings, cancel
            )
            return prepared.trace.to_dict()

    @asynccontextmanager
    async def _call(self, model: Any, cancel: threading.Event) -> AsyncIterator[tuple[Session, Parts]]:
        """A session for one call, and the parts of its model. What goes wrong becomes an error that Gradio shows, in
        one sentence."""
        visitor, name = Session(), self._models.first.engine.name
        try:
            async with self._models.lent(_text(model, "The model")) as parts:
                name = parts.engine.name
                yield visitor, parts
        except UserError as problem:
            raise gr.Error(str(problem), print_exception=False) from None
        except Exception as problem:
            report(problem, "answering a call")
            raise gr.Error(FAILED.format(name), print_exception=False) from None
        finally:
            cancel.set()  # also when the caller has gone while a file was opened
            self._forgetting.forget_in(visitor.conversation.cache_salt, LAST_STEP)

    def _prepare(
        self,
        visitor: Session,
        prompts: Prompts,
        question: Any,
        files: Any,
        history: Any,
        part: Any,
        settings: AnswerSettings,
        cancel: threading.Event,
    ) -> PreparedPrompt:
        """Raises UserError for arguments that are none."""
        conversation, time_range = visitor.conversation, TimeRange.parse(_text(part, "The part"), "The part")
        for asked, attached, answer in _exchanges(history):
            turn = self._turn(visitor, asked, attached, settings, cancel)
            conversation = conversation.adding(turn).answered(Answer(answer, "end"))
        turn = self._turn(visitor, _text(question, "The question"), files, settings, cancel, time_range)
        conversation = replace(conversation.adding(turn), system=settings.system)
        check_size(conversation)
        return prompts.prepare(conversation, settings.options, cancel)

    def _turn(
        self,
        visitor: Session,
        text: str,
        files: Any,
        settings: AnswerSettings,
        cancel: threading.Event,
        time_range: TimeRange = WHOLE_CLIP,
    ) -> Turn:
        with ExitStack() as opened:
            paths = self._paths(files, opened)
            for path in paths:
                visitor.choose_time_range(path, time_range)
            media, _ = store_files(self._store, visitor, paths, settings.pages, cancel)
        if not text and not media:
            raise UserError("Give a question, a file or both.")
        return Turn(text or default_question(media), media)

    def _paths(self, files: Any, opened: ExitStack) -> list[str]:
        """Where the files lie: uploads of this page, which the gate has checked, their addresses, or data: URLs, whose
        content lies in a folder until `opened` closes."""
        if not isinstance(files, list):
            raise UserError(FILES)
        paths = []
        for number, file in enumerate(files, 1):
            if isinstance(file, dict) and "path" in file:
                paths.append(file["path"])
            elif isinstance(file, str) and file.startswith("data:"):
                content = data_url_content(file)
                opened.enter_context(self._uploads.arriving("", len(content)))
                path = Path(opened.enter_context(TemporaryDirectory(dir=self._uploads.folder))) / f"file {number}"
                path.write_bytes(content)
                paths.append(str(path))
            elif isinstance(file, str) and (upload := self._uploads.at(unquote(file.rpartition(UPLOADED)[2]))):
                paths.append(str(upload))
            else:
                raise UserError(FILES)
        return paths


def _returning(function: Callable[..., Any], returned: Any) -> Callable[..., Any]:
    """The same function for Gradio, which takes the type of what an endpoint answers from its signature: of a stream
    that of one piece."""
    if inspect.isasyncgenfunction(function):

        @wraps(function)
        async def typed(*arguments: Any) -> AsyncGenerator[Any, None]:
            pieces = function(*arguments)
            try:
                async for piece in pieces:
                    yield piece
            finally:
                await pieces.aclose()

    else:

        @wraps(function)
        async def typed(*arguments: Any) -> Any:
            return await function(*arguments)

    typed.__signature__ = inspect.signature(function).replace(return_annotation=returned)  # type: ignore
    return typed


def _exchanges(history: Any) -> Iterator[tuple[str, Any, str]]:
    """A question, its files and its answer, for each two messages. Raises UserError."""
    order = "The history must be messages of a user and an assistant in turn, beginning with a user's."
    if not isinstance(history, list) or len(history) % 2 or len(history) > 2 * MAX_TURNS:
        raise UserError(order)
    for asked, answered in zip(history[::2], history[1::2], strict=True):
        for message, role in ((asked, "user"), (answered, "assistant")):
            if not isinstance(message, dict) or message.get("role") != role:
                raise UserError(order)
        yield (
            _text(asked.get("content"), "A question of the history"),
            asked.get("files") or [],
            _text(answered.get("content"), "An answer of the history"),
        )


def _text(value: Any, subject: str) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise UserError(f"{subject} must be text of at most {MAX_TEXT:,} characters.")
    return clean(value.strip())
