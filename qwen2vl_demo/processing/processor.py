"""A conversation becomes a prompt: pixels, ids, positions and the record of them. Needs no weights.

Contract: `process` is pure but for a small cache of resized pictures and clips, so that a follow-up question does not
decode a video again; safe to call from several threads. Does not know the model, nor whether a prompt fits
into the context or the memory: those checks are the engine's.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qwen2vl_demo import geometry
from qwen2vl_demo.config import Qwen2VLConfig
from qwen2vl_demo.errors import Cancelled, UserError
from qwen2vl_demo.geometry import PositionScheme, VisionSpan
from qwen2vl_demo.media import MediaLimits, kind_of, open_pdf
from qwen2vl_demo.processing.chat import ChatTemplate, MediaSpan, encode_chat
from qwen2vl_demo.processing.image import ImageConfig, VisionInput, load_image, load_video
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Source, Text, Video
from qwen2vl_demo.processing.tokenizer import IMAGE_PAD, VIDEO_PAD, Tokenizer
from qwen2vl_demo.trace import MediaTrace, PromptTrace

CACHE_BYTES = 256 * 1024 * 1024  # resized pixels kept for follow-up questions: about 7 pictures of the largest size
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, eq=False)
class Prompt:
    """What goes into the model, and the record of it."""

    trace: PromptTrace
    media: tuple[VisionInput, ...]  # in the order of trace.media


class Processor:
    """Everything of a checkpoint but its weights: configuration, tokenizer, template, pixel budget."""

    def __init__(
        self,
        config: Qwen2VLConfig,
        image: ImageConfig,
        tokenizer: Tokenizer,
        template: ChatTemplate,
        limits: MediaLimits | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        """Refuses parts that do not belong together: a tokenizer whose placeholders are not the configuration's."""
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
        self._cache = _MediaCache(cache_bytes)

    @classmethod
    def from_directory(
        cls, path: str | Path, limits: MediaLimits | None = None, cache_bytes: int = CACHE_BYTES
    ) -> Processor:
        """Reads config.json, preprocessor_config.json (or processor_config.json), the tokenizer and the template of a
        checkpoint directory. Raises UserError for whatever is missing or broken."""
        directory = Path(path)
        config = Qwen2VLConfig.from_file(directory / "config.json")
        image_file = directory / "preprocessor_config.json"
        newer = directory / "processor_config.json"
        return cls(
            config=config,
            image=ImageConfig.from_file(
                newer if newer.exists() and not image_file.exists() else image_file, config.vision
            ),
            tokenizer=Tokenizer.from_directory(directory),
            template=ChatTemplate.from_directory(directory),
            limits=limits,
            cache_bytes=cache_bytes,
        )

    def process(
        self,
        messages: Sequence[Message],
        options: MediaOptions | None = None,
        *,
        add_vision_id: bool = False,
        positions: PositionScheme = "mrope",
        cancel: threading.Event | None = None,
    ) -> Prompt:
        """The prompt that asks for an answer to the last message.

        Raises UserError for whatever the caller can change, and Cancelled when `cancel` is set between two media.
        """
        check_messages(messages)
        options = options if options is not None else MediaOptions()
        media = []
        for part, default_name in _media_parts(messages):
            if cancel is not None and cancel.is_set():
                raise Cancelled
            media.append(self._load(part, options, part.name or _file_name(part.source) or default_name))
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
        )
        return Prompt(trace, tuple(media))

    def _load(self, part: Image | Video, options: MediaOptions, name: str) -> VisionInput:
        settings = (self.config.vision, self.image, options, self.limits, name)

        def load() -> VisionInput:
            return load_video(part, *settings) if isinstance(part, Video) else load_image(part, *settings)

        source = _source_key(part.source)
        if source is None:
            return load()
        return replace(self._cache.get((type(part).__name__, source, options), load), name=name)


def check_messages(messages: Sequence[Message]) -> None:
    """Raises UserError for a conversation that cannot be answered."""
    if not messages:
        raise UserError("There is no message yet; ask something first.")
    for message in messages:
        if message.role not in ROLES:
            raise UserError(f'A message is from "{message.role}"; only {", ".join(ROLES)} can speak.')
        # An assistant's turn may be empty (stopped before its first word), and so may a system prompt (none wanted).
        if message.role == "user" and all(isinstance(part, Text) and not part.text.strip() for part in message.parts):
            raise UserError("The message is empty; write something or add a picture or a video.")
    if messages[-1].role != "user":
        raise UserError(f"The last message is from the {messages[-1].role}; end with a message from the user.")


def expand_documents(messages: Iterable[Message], limits: MediaLimits | None = None) -> list[Message]:
    """The same messages, with each picture that is a PDF replaced by its pages, one picture a page.

    Do this once, before a conversation is kept: a page is a PIL image from then on. Raises UserError.
    """
    limits = limits if limits is not None else MediaLimits()
    expanded = []
    for message in messages:
        parts: list[Text | Image | Video] = []
        for part in message.parts:
            if isinstance(part, Image) and _is_pdf(part.source):
                name = part.name or _file_name(part.source) or "document"
                pages = open_pdf(part.source, limits)
                parts += [Image(page, f"{name}, page {number}") for number, page in enumerate(pages, start=1)]
            else:
                parts.append(part)
        expanded.append(Message(message.role, parts))
    return expanded


class _MediaCache:
    """The least recently used go first once the pixels exceed the budget. Thread-safe; loading happens unlocked."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._items: OrderedDict[Hashable, VisionInput] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable, load: Callable[[], VisionInput]) -> VisionInput:
        with self._lock:
            if (item := self._items.get(key)) is not None:
                self._items.move_to_end(key)
                return item
        item = load()
        with self._lock:
            if key not in self._items and item.frames.nbytes <= self._most_bytes:
                self._items[key] = item
                self._bytes += item.frames.nbytes
                while self._bytes > self._most_bytes:
                    self._bytes -= self._items.popitem(last=False)[1].frames.nbytes
        return item


def _media_parts(messages: Sequence[Message]) -> Iterable[tuple[Image | Video, str]]:
    """Each picture and clip, with the name it gets where it has none: "picture 2"."""
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
        digest=item.digest,
    )


def _source_key(source: Source) -> Hashable | None:
    """What identifies the content of a source; None where that costs as much as loading it (a PIL image)."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).digest()
    if isinstance(source, str | Path):
        try:
            status = Path(source).stat()
        except (OSError, ValueError):  # opening it says what is wrong, in words
            return None
        return str(Path(source).absolute()), status.st_mtime_ns, status.st_size
    return None


def _file_name(source: Source) -> str:
    return Path(source).name if isinstance(source, str | Path) else ""


def _is_pdf(source: Source) -> bool:
    return isinstance(source, str | Path | bytes) and kind_of(source) == "pdf"
