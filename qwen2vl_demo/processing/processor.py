"""Turns a conversation into a prompt: pixels, token ids, positions and the record of them. Needs no weights.

`Processor.process` has no side effects except for a bounded cache of decoded pictures and clips, so that a follow-up
question does not decode a video again; what was decoded under another `cache_salt` is not found. It is safe to call
from several threads. Whether a prompt fits into the context or into memory is checked by the engine.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import PIL.Image

from qwen2vl_demo import geometry
from qwen2vl_demo.config import Qwen2VLConfig
from qwen2vl_demo.decoding import Decoding, InProcess, TooCostly
from qwen2vl_demo.errors import Cancelled, UserError
from qwen2vl_demo.geometry import PositionScheme, VisionSpan
from qwen2vl_demo.lru_cache import CacheBudget, LRUCache
from qwen2vl_demo.media import (
    FIRST_PAGES,
    MediaLimits,
    PageChoice,
    TimeRange,
    first_pages_only,
    identify_file,
    open_document,
    page_name,
)
from qwen2vl_demo.memory import cache_bytes, total_memory
from qwen2vl_demo.processing.chat import ChatTemplate, MediaSpan, encode_chat
from qwen2vl_demo.processing.image import ImageConfig, VisionInput, load_image, load_video
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Source, Text, Video
from qwen2vl_demo.processing.time_stamps import with_time_stamps
from qwen2vl_demo.processing.tokenizer import IMAGE_PAD, VIDEO_PAD, Tokenizer
from qwen2vl_demo.trace import MediaTrace, PromptTrace

MAX_DIGESTS = 1024  # files whose digest is remembered
MAX_REFUSED = 1024  # files that are not opened again, since that was too costly
POLL = 0.05  # seconds between two looks at `cancel`
ROLES = ("system", "user", "assistant")


_Key = tuple[str, type, bytes, TimeRange | None, MediaOptions]  # salt, kind and content of a medium, and what is taken


@dataclass(frozen=True, eq=False)
class Prompt:
    """The input of the model, and the record of it."""

    trace: PromptTrace
    media: tuple[VisionInput, ...]  # in the order of trace.media


class Processor:
    """A checkpoint without its weights: configuration, tokenizer, chat template and image preprocessing."""

    def __init__(
        self,
        config: Qwen2VLConfig,
        image: ImageConfig,
        tokenizer: Tokenizer,
        template: ChatTemplate,
        limits: MediaLimits | None = None,
        budget: CacheBudget | None = None,
        decoding: Decoding | None = None,
    ) -> None:
        """Raises UserError for parts that do not match, such as a tokenizer with other placeholder ids than the
        configuration. `budget` bounds the bytes of pixels that are kept for follow-up questions, and of what an engine
        keeps beside them; by default it is a share of this machine's memory. `decoding` is where files are decoded, by
        default in this process."""
        for token, expected in (
            (IMAGE_PAD, config.image_token_id),
            (VIDEO_PAD, config.video_token_id),
            ("<|vision_start|>", config.vision_start_token_id),
            ("<|vision_end|>", config.vision_end_token_id),
        ):
            if (found := tokenizer.special(token)) != expected:
                raise UserError(
                    f"config.json gives {token} the id {expected} but tokenizer.json the id {found}; "
                    "take both files from the same checkpoint."
                )
        if (highest := tokenizer.highest_id) >= config.text.vocab_size:
            raise UserError(
                f"tokenizer.json gives a token the id {highest}, but config.json has a vocabulary of "
                f"{config.text.vocab_size} tokens; take both files from the same checkpoint."
            )
        for key, value in (
            ("temporal_patch_size", geometry.TEMPORAL_PATCH_SIZE),
            ("merge_size", geometry.MERGE_SIZE),
        ):
            if getattr(config.vision, key) != value:
                raise UserError(
                    f"This checkpoint's vision {key} is {getattr(config.vision, key)}, and Qwen2-VL's is {value}; "
                    "choose a Qwen2-VL checkpoint."
                )
        self.config = config
        self.image = image
        self.tokenizer = tokenizer
        self.template = template
        self.limits = limits if limits is not None else MediaLimits()
        self.budget = budget if budget is not None else CacheBudget(cache_bytes(total_memory()))
        self._cache: LRUCache[_Key, VisionInput] = LRUCache(self.budget, weight=_nbytes)
        self.decoding = decoding if decoding is not None else InProcess()
        self._in_progress = _InProgress()
        self._refused: LRUCache[Hashable, str] = LRUCache(MAX_REFUSED)  # the reasons
        self._digests = _FileDigests()

    @classmethod
    def from_directory(
        cls,
        path: str | Path,
        limits: MediaLimits | None = None,
        budget: CacheBudget | None = None,
        decoding: Decoding | None = None,
        *,
        preprocessing: Path | None = None,
    ) -> Processor:
        """Reads config.json, preprocessor_config.json (or processor_config.json), the tokenizer and the chat template
        of a checkpoint directory; all but config.json from `preprocessing`, another directory, where that is given.

        Where only preprocessor_config.json is missing, the values of the released checkpoints are taken. Raises
        UserError for files that are missing or invalid.
        """
        config = Qwen2VLConfig.from_file(Path(path) / "config.json")
        directory = preprocessing if preprocessing is not None else Path(path)
        return cls(
            config=config,
            image=_image_config(directory, config),
            tokenizer=Tokenizer.from_directory(directory),
            template=ChatTemplate.from_directory(directory),
            limits=limits,
            budget=budget,
            decoding=decoding,
        )

    def process(
        self,
        messages: Sequence[Message],
        options: MediaOptions | None = None,
        *,
        add_vision_id: bool = False,
        positions: PositionScheme = "mrope",
        cache_salt: str = "",
        cancel: threading.Event | None = None,
        thumbnails: bool = False,
    ) -> Prompt:
        """The prompt for an answer to the last message.

        With `thumbnails`, media that were resized also have a `VisionInput.thumbnail`, from the same decode. Raises
        UserError for whatever the caller can change, and Cancelled once `cancel` is set.
        """
        check_messages(messages)
        options = options if options is not None else MediaOptions()
        media = []
        for part, default_name in _media_parts(messages):
            if cancel is not None and cancel.is_set():
                raise Cancelled
            name = part.name or _file_name(part.source) or default_name
            media.append(self._load(part, options, name, cache_salt, thumbnails, cancel))
        if options.time_stamps:
            messages, media = with_time_stamps(messages, media)
        return self.assemble(messages, media, add_vision_id=add_vision_id, positions=positions, cache_salt=cache_salt)

    def assemble(
        self,
        messages: Sequence[Message],
        media: Sequence[VisionInput],
        *,
        add_vision_id: bool = False,
        positions: PositionScheme = "mrope",
        cache_salt: str = "",
    ) -> Prompt:
        """The prompt of messages whose pictures and clips are decoded already: `media`, in their order."""
        chat = encode_chat(
            messages,
            self.template,
            self.tokenizer,
            placeholders=[item.merged_tokens for item in media],
            add_vision_id=add_vision_id,
        )
        spans = [VisionSpan(span.start, item.grid_thw) for span, item in zip(chat.media, media, strict=True)]
        position_ids, rope_delta = geometry.positions_under(
            positions, *geometry.mrope_position_ids(len(chat.input_ids), spans)
        )
        trace = PromptTrace(
            input_ids=chat.input_ids,
            position_ids=position_ids,
            rope_delta=rope_delta,
            tokens=tuple(self.tokenizer.token_text(i) for i in chat.input_ids.tolist()),
            media=tuple(_media_trace(item, span) for item, span in zip(media, chat.media, strict=True)),
            context_length=self.config.text.max_position_embeddings,
            opening=len(self._opening) if np.array_equal(chat.input_ids[: len(self._opening)], self._opening) else 0,
            cache_salt=cache_salt,
        )
        return Prompt(trace, tuple(media))

    def forget(self, salt: str) -> None:
        """Drops the media that were decoded under a salt."""
        self._cache.remove(lambda key: key[0] == salt)
        self._digests.forget(salt)

    @cached_property
    def _opening(self) -> np.ndarray:
        """The ids (L,) before the question in the first turn of every conversation without a system prompt."""
        try:
            one, other = (
                encode_chat([Message("user", text)], self.template, self.tokenizer, placeholders=[]).input_ids
                for text in ("a", "1")
            )
        except UserError:  # a template that wants more than a question
            return np.empty(0, dtype=np.int64)
        length = min(len(one), len(other))
        return one[: int(np.argmax(np.append(one[:length] != other[:length], True)))]

    def _load(
        self,
        part: Image | Video,
        options: MediaOptions,
        name: str,
        salt: str,
        thumbnail: bool,
        cancel: threading.Event | None,
    ) -> VisionInput:
        """The decoded medium, from the cache where the same content was decoded with the same options before."""

        def decode() -> VisionInput:
            load = load_video if isinstance(part, Video) else load_image
            arguments = (part, self.config.vision, self.image, options, self.limits, name, thumbnail)
            # A PIL image is the caller's own, so it is safe, and costly to hand to another process.
            decoding = InProcess() if isinstance(part.source, PIL.Image.Image) else self.decoding
            return decoding.run(load, *arguments, label=name, cancel=cancel)

        digest = self._digest(part.source, salt)
        if digest is None:
            return decode()
        time_range = part.time_range if isinstance(part, Video) else None
        key = (salt, type(part), digest, time_range, replace(options, time_stamps=False))
        with self._in_progress.alone(key, cancel):
            if (reason := self._refused.get(key)) is not None:
                raise TooCostly(name, reason)
            item = self._cache.get(key)
            if item is None or (thumbnail and item.thumbnail is None and item.original_size != item.resized_size):
                try:
                    item = decode()
                except TooCostly as refused:
                    self._refused.put(key, refused.reason)
                    raise
                self._cache.put(key, item)
        return replace(item, name=name)

    def _digest(self, source: Source, salt: str) -> bytes | None:
        """Identifies the content of a source; None for a PIL image, which its owner may change at any time, and for a
        file that cannot be opened, for which decoding raises the proper error."""
        if isinstance(source, bytes):
            return hashlib.sha256(source).digest()
        if isinstance(source, str | Path):
            return self._digests.get(source, salt, self.limits.max_file_bytes)
        return None


def _image_config(directory: Path, config: Qwen2VLConfig) -> ImageConfig:
    for name in ("preprocessor_config.json", "processor_config.json"):
        if os.path.lexists(directory / name):  # a link that leads nowhere is named as broken, and not passed over
            return ImageConfig.from_file(directory / name, config.vision)
    return ImageConfig()


def check_messages(messages: Sequence[Message]) -> None:
    """Raises UserError for a conversation to which no answer can be generated."""
    if not messages:
        raise UserError("There is no message yet; ask something first.")
    for message in messages:
        if message.role not in ROLES:
            raise UserError(f'A message is from "{message.role}"; only {", ".join(ROLES)} can speak.')
        # An assistant message may be empty (stopped before its first word), and so may a system prompt.
        if message.role == "user" and all(isinstance(part, Text) and not part.text.strip() for part in message.parts):
            raise UserError("The message is empty; write something or add a picture or a video.")
    if messages[-1].role != "user":
        raise UserError(f"The last message is from the {messages[-1].role}; end with a message from the user.")


def expand_documents(
    messages: Iterable[Message],
    limits: MediaLimits | None = None,
    choice: PageChoice = FIRST_PAGES,
    tell: Callable[[str], None] = lambda sentence: None,
) -> list[Message]:
    """Replaces each picture that is a PDF, or a TIFF of several pages, by the chosen pages, as PIL images.

    Where nothing was chosen and not all pages are read, `tell` is given a sentence that says so. Raises UserError.
    Reading pages is not cached: expand the messages once, before the conversation is stored.
    """
    limits = limits if limits is not None else MediaLimits()
    expanded = []
    for message in messages:
        parts: list[Text | Image | Video] = []
        for part in message.parts:
            if isinstance(part, Image) and _is_document(part, limits):
                assert not isinstance(part.source, PIL.Image.Image)
                name = part.name or _file_name(part.source) or "document"
                document = open_document(part.source, limits, part.name, choice)
                count, read = document.count, len(document.numbers)
                if read < count and not choice.ranges:
                    tell(first_pages_only(name, read, count))
                for number, page in zip(document.numbers, document.pages, strict=True):
                    parts.append(Image(page, page_name(name, number, count, read)))
            else:
                parts.append(part)
        expanded.append(Message(message.role, parts))
    return expanded


def _is_document(part: Image, limits: MediaLimits) -> bool:
    source = part.source
    return not isinstance(source, PIL.Image.Image) and identify_file(source, limits, part.name).document


def _nbytes(item: VisionInput) -> int:
    return item.frames.nbytes + (item.thumbnail.nbytes if item.thumbnail is not None else 0)


class _InProgress:
    """What is being decoded: two threads that need the same medium at the same time decode it once."""

    def __init__(self) -> None:
        self._keys: set[Hashable] = set()
        self._changed = threading.Condition()

    @contextmanager
    def alone(self, key: Hashable, cancel: threading.Event | None) -> Iterator[None]:
        """Context manager that one thread at a time holds for a key. Raises Cancelled while it waits."""
        with self._changed:
            while key in self._keys:
                if cancel is not None and cancel.is_set():
                    raise Cancelled
                self._changed.wait(POLL)
            self._keys.add(key)
        try:
            yield
        finally:
            with self._changed:
                self._keys.remove(key)
                self._changed.notify_all()


class _FileDigests:
    """SHA-256 of files, remembered under a salt for as long as path, inode, size and modification time are the same."""

    def __init__(self) -> None:
        self._digests: LRUCache[tuple[str, Path, int, int, int], bytes] = LRUCache(MAX_DIGESTS)

    def get(self, path: str | Path, salt: str, max_bytes: int) -> bytes | None:
        """None for what is not a regular file of at most `max_bytes`, or cannot be read."""
        try:
            status = Path(path).stat()
            if not stat.S_ISREG(status.st_mode) or status.st_size > max_bytes:
                return None
            key = (salt, Path(path).absolute(), status.st_ino, status.st_size, status.st_mtime_ns)
            digest = self._digests.get(key)
            if digest is None:
                with open(path, "rb") as file:
                    digest = hashlib.file_digest(file, "sha256").digest()
                self._digests.put(key, digest)
            return digest
        except (OSError, ValueError):
            return None

    def forget(self, salt: str) -> None:
        self._digests.remove(lambda key: key[0] == salt)


def _media_parts(messages: Sequence[Message]) -> Iterable[tuple[Image | Video, str]]:
    """Each picture and clip, with the name for one that has none: "picture 2"."""
    counts: Counter[str] = Counter()
    for message in messages:
        for part in message.parts:
            if not isinstance(part, Text):
                word = "video" if isinstance(part, Video) else "picture"
                counts[word] += 1
                yield part, f"{word} {counts[word]}"


def _media_trace(item: VisionInput, span: MediaSpan) -> MediaTrace:
    return MediaTrace(
        kind=item.kind,
        name=item.name,
        message=span.message,
        part=span.part,
        original_size=item.original_size,
        resized_size=item.resized_size,
        grid_thw=item.grid_thw,
        span=(span.start, span.start + span.count),
        min_pixels=item.min_pixels,
        max_pixels=item.max_pixels,
        timestamps=item.timestamps,
        frame_indices=item.frame_indices,
        total_frames=item.total_frames,
        duration=item.duration,
        time_range=item.time_range,
        notices=item.notices,
        digest=item.digest,
        piece=item.piece,
    )


def _file_name(source: Source) -> str:
    return Path(source).name if isinstance(source, str | Path) else ""
