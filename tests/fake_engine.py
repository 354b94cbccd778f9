"""A stand-in for an engine: fast, exact and obedient, so that the page can be tested without a model.

It answers with words about what it was sent, one a step, and runs one request at a time like the real one. A question
that begins with a command makes it misbehave: "!boxes", "!markup", "!break", "!late-break", "!refuse", "!silent",
"!slow-start". "!say TEXT" makes it answer TEXT, "!endless TEXT" say TEXT, with a number, again and again until it is
stopped, and "!loop TEXT" the same without a number.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import re
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence

import numpy as np

from qwen2vl_demo.attention_trace import AttentionTrace, Word, split_words
from qwen2vl_demo.engine.cost.estimate import Estimate, last_question, tokens_only
from qwen2vl_demo.engine.protocol import Abilities, Chunk, GenerationOptions, Result, StopReason
from qwen2vl_demo.engine.request_queue import RequestQueue, Ticket, waiting_text
from qwen2vl_demo.errors import Cancelled, UserError
from qwen2vl_demo.geometry import (
    MIN_PIXELS,
    VIDEO_MAX_FRAMES,
    Size,
    VisionSpan,
    grid_thw,
    merged_tokens,
    mrope_position_ids,
    smart_resize,
)
from qwen2vl_demo.media import open_image, read_video
from qwen2vl_demo.processing.image import VisionInput
from qwen2vl_demo.processing.messages import Image, Message, Text, without_unfinished
from qwen2vl_demo.processing.processor import Prompt
from qwen2vl_demo.trace import MediaTrace, PromptTrace
from tests.fake_laboratory import FakeLaboratory

MAX_PIXELS = 1280 * 28 * 28
BOXES = (
    "There is <|object_ref_start|>the red square<|object_ref_end|><|box_start|>(100,100),(400,500)<|box_end|> and "
    "<|object_ref_start|>a dot<|object_ref_end|><|box_start|>(600,600),(800,800)<|box_end|>."
)
MARKUP = (
    "<img src='https://example.com/spy.png'> ![x](https://example.com/spy2.png) [click](https://example.com) "
    "<script>window.hacked = 1</script> **bold** and `<b>code</b>` & 1 < 2"
)


class FakeEngine:
    """Implements qwen2vl_demo.engine.protocol.Engine."""

    name = "fake"
    description = "no model, on this CPU in words"
    pixel_limits = (MIN_PIXELS, MAX_PIXELS)
    max_frames = VIDEO_MAX_FRAMES
    config = None
    abilities = Abilities(laboratory=True)

    def __init__(self, step: float = 0.02, encode: float = 0.05, long_step: float | None = None) -> None:
        """Seconds a word, a word of an answer to a question with "long" in it (5 * step), and before the first."""
        self.step, self.encode = step, encode
        self.long_step = 5 * step if long_step is None else long_step
        self.queue = RequestQueue()
        self.release = threading.Event()  # set by the test that sent "!slow-start"
        self.active = self.most_active = 0
        self.forgotten: list[str] = []  # what forget() was given
        self.heard: list[tuple[list[Message], GenerationOptions]] = []  # what stream() was given

    def warm_up(self) -> None:
        """Nothing has to be measured."""

    def estimate(self, trace: PromptTrace, options: GenerationOptions) -> Estimate:
        return tokens_only(trace)

    def forget(self, cache_salt: str) -> None:
        self.forgotten.append(cache_salt)

    def prepare(self, messages: Sequence[Message], options: GenerationOptions) -> PromptTrace:
        return self.prompt(messages, options).trace

    def prompt(
        self, messages: Sequence[Message], options: GenerationOptions, cancel: threading.Event | None = None
    ) -> Prompt:
        """One id a word; pictures and clips by the real geometry."""
        messages, _ = without_unfinished(messages)
        tokens: list[str] = []
        media: list[MediaTrace] = []
        inputs: list[VisionInput] = []
        spans: list[VisionSpan] = []
        for index, message in enumerate(messages):
            tokens += ["<|im_start|>", message.role]
            for part, piece in enumerate(message.parts):
                if isinstance(piece, Text):
                    tokens += piece.text.split()
                    continue
                trace, pixels = self._medium(piece, options, index, part, len(tokens) + 1)
                media.append(trace)
                inputs.append(pixels)
                spans.append(VisionSpan(trace.span[0], trace.grid_thw))
                pad = "<|image_pad|>" if trace.kind == "image" else "<|video_pad|>"
                tokens += ["<|vision_start|>", *[pad] * trace.merged_tokens, "<|vision_end|>"]
            tokens.append("<|im_end|>")
        tokens += ["<|im_start|>", "assistant"]
        positions, delta = mrope_position_ids(len(tokens), spans)
        trace = PromptTrace(
            np.arange(len(tokens)), positions, delta, tuple(tokens), tuple(media), 32_768, cache_salt=options.cache_salt
        )
        return Prompt(trace, tuple(inputs))

    def stream(
        self,
        messages: Sequence[Message],
        options: GenerationOptions,
        cancel: threading.Event | None = None,
        *,
        prompt: Prompt | None = None,
        ticket: Ticket | None = None,
    ) -> Generator[Chunk, None, None]:
        cancel = cancel or threading.Event()
        started = time.perf_counter()
        self.heard.append((list(messages), options))
        messages, written = without_unfinished(messages)
        trace = (prompt or self.prompt(messages, options)).trace
        words = _behind(written, answer_to(messages, options))
        question = messages[-1].text
        if question.startswith("!refuse"):
            raise UserError("The fake engine refuses this; ask something else.")
        if question.startswith("!break"):
            raise RuntimeError(f"a bug, with the visitor's words in it: {question}")
        text, count, first = "", 0, None
        reason: StopReason = "end"
        with contextlib.ExitStack() as stack:
            ticket = ticket or stack.enter_context(self.queue.join())
            try:
                for position in ticket.positions(cancel):
                    yield Chunk(status=waiting_text(position))
                stack.enter_context(ticket.hold())
            except Cancelled:
                yield Chunk(result=self._result("", "cancelled", 0, started, None, trace))
                return
            stack.enter_context(self._activity())
            if trace.media:
                yield Chunk(status=f"Encoding {len(trace.media)} picture" + "s" * (len(trace.media) > 1))
                time.sleep(self.encode)
            if question.startswith("!slow-start"):
                self.release.wait(120)  # one step that cannot be stopped
            for word in words:
                if cancel.is_set():
                    reason = "cancelled"
                    break
                if count == options.max_new_tokens and not question.startswith(("!endless ", "!loop ")):
                    reason = "length"
                    break
                time.sleep(self.long_step if "long" in question else self.step)
                first = time.perf_counter() - started if first is None else first
                if question.startswith("!late-break") and count == 3:
                    raise RuntimeError("a bug after three words")
                text, count = text + word, count + 1
                yield Chunk(text=word)
        yield Chunk(result=self._result(text, reason, count, started, first, trace))

    @contextlib.contextmanager
    def _activity(self) -> Iterator[None]:
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        try:
            yield
        finally:
            self.active -= 1

    def answer_words(self, trace: PromptTrace, answer: str) -> tuple[Word, ...]:
        """One token a word and the spaces behind it."""
        return split_words([piece.encode() for piece in _tokens(answer)])

    def answer_tokens(self, trace: PromptTrace, answer: str) -> tuple[str, ...]:
        return tuple(_tokens(answer))

    def word_attention(
        self,
        prompt: Prompt,
        answer: str,
        word: int,
        cancel: threading.Event | None = None,
        *,
        ticket: Ticket | None = None,
    ) -> AttentionTrace | None:
        """Two layers of three heads. Half of layer 1, head 2 lies on cell number `word` of each medium, counted round;
        the rest of it, and the other heads, see all places alike but the first, which gets as much as all others."""
        trace = prompt.trace
        found = self.answer_words(trace, answer)[word]
        slow = any("slow" in token for token in trace.tokens[last_question(trace) :])
        if slow and cancel is not None and cancel.wait(30):
            return None
        weights = np.ones((2, 3, len(trace) - 1 + found.end), np.float32)
        weights[:, :, 0] = weights.shape[2] - 1
        weights /= weights.sum(-1, keepdims=True)
        for medium in trace.media:
            weights[1, 2, medium.span[0] + word % medium.merged_tokens] += 1 / len(trace.media)
        weights[1, 2] /= weights[1, 2].sum()
        tokens = _tokens(answer)
        return AttentionTrace(trace, np.arange(len(tokens)), tuple(tokens), found, weights, 0.01, 1)

    def laboratory(self) -> FakeLaboratory:
        return FakeLaboratory(self)

    @staticmethod
    def _result(
        text: str, reason: StopReason, count: int, started: float, first: float | None, trace: PromptTrace
    ) -> Result:
        total = time.perf_counter() - started
        timings = {"total": total} | ({"first_token": first, "decode": total - first} if first is not None else {})
        return Result(text, reason, len(trace), count, timings, trace)

    def _medium(
        self, piece: object, options: GenerationOptions, message: int, part: int, start: int
    ) -> tuple[MediaTrace, VisionInput]:
        least, most = options.media.picture_limits or self.pixel_limits
        limits = {"min_pixels": options.media.min_pixels or least, "max_pixels": options.media.max_pixels or most}
        times: tuple[float, ...] = ()
        indices: tuple[int, ...] = ()
        frames, total, duration, time_range = 1, 1, 0.0, None
        if isinstance(piece, Image):
            picture = open_image(piece.source, label=piece.name)
            original: Size = (picture.height, picture.width)
            size = smart_resize(*original, **limits)
            pixels = np.asarray(picture.resize(size[::-1]))[None]
        else:
            clip = read_video(
                piece.source,
                label=piece.name,
                fps=options.media.fps,
                max_frames=options.media.max_frames or self.max_frames,
                time_range=piece.time_range,
                resize=lambda count, size: smart_resize(*size, **limits),
            )
            original, times, indices, total = clip.original_size, clip.timestamps, clip.indices, clip.total_frames
            duration = clip.duration
            time_range = piece.time_range.within(duration) if piece.time_range else None
            pixels = clip.frames
            frames, size = len(indices), pixels.shape[1:3]
        grid = grid_thw(frames, *size)
        kind = "image" if isinstance(piece, Image) else "video"
        digest = hashlib.sha256(pixels.tobytes()).hexdigest()
        trace = MediaTrace(
            kind=kind,
            name=piece.name,
            message=message,
            part=part,
            original_size=original,
            resized_size=tuple(size),
            grid_thw=grid,
            span=(start, start + merged_tokens(grid)),
            timestamps=times,
            frame_indices=indices,
            total_frames=total,
            duration=duration,
            time_range=time_range,
            digest=digest,
            **limits,
        )
        return trace, VisionInput(kind, piece.name, pixels, grid, original, trace.resized_size, digest=digest, **limits)


def _tokens(answer: str) -> list[str]:
    return re.findall(r"\s*\S+\s*", answer)


def answer_to(messages: Sequence[Message], options: GenerationOptions) -> Iterable[str]:
    """The fake's answer, word by word."""
    questions = [m for m in messages if m.role == "user"]
    question = questions[-1].text
    if question.startswith("!boxes"):
        return [BOXES[i : i + 7] for i in range(0, len(BOXES), 7)]
    if question.startswith("!markup"):
        return [MARKUP[i : i + 7] for i in range(0, len(MARKUP), 7)]
    if question.startswith("!say "):
        return [question[5:][i : i + 20] for i in range(0, len(question), 20)]
    if question.startswith("!silent"):
        return []
    if question.startswith("!endless "):
        return (f"{question[9:]} {number} " for number in itertools.count())
    if question.startswith("!loop "):
        return itertools.repeat(question[6:] + " ")
    media = sum(not isinstance(p, Text) for m in questions for p in m.parts)
    warm = f" at temperature {options.temperature:g} with seed {options.seed}" if options.temperature else ""
    sentence = f"In turn {len(questions)} I see {media} files and was asked{warm}: {question}"
    tale = "".join(f" and so on and so on and so on, {number}" for number in range(33))
    return [w + " " for w in (sentence + (tale if "long" in question else " and so on and so on")).split()]


def _behind(written: str, words: Iterable[str]) -> Iterator[str]:
    """The words of an answer that are not written yet."""
    length = 0
    for word in words:
        length += len(word)
        if length > len(written):
            yield word
