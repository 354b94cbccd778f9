"""One question in the form in which a server takes it; other forms are tried where it refuses the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from qwen2vl_demo.box_forms import BoxForm
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.engine.remote.dialect import Dialect
from qwen2vl_demo.engine.remote.media_parts import MediaParts
from qwen2vl_demo.engine.remote.region_text import with_regions
from qwen2vl_demo.engine.remote.request import request_body, sampling_fields
from qwen2vl_demo.engine.remote.server import Server
from qwen2vl_demo.engine.remote.still_frames import frames_as_pictures, has_clips
from qwen2vl_demo.processing.image import VisionInput
from qwen2vl_demo.processing.messages import Message
from qwen2vl_demo.processing.processor import Processor, Prompt
from qwen2vl_demo.processing.time_stamps import with_time_stamps


@dataclass(frozen=True, eq=False)
class Question:
    """A prompt, the messages that it was made of (`plain_messages`), and how the answer is to be generated."""

    messages: tuple[Message, ...]
    prompt: Prompt
    options: GenerationOptions
    dialect: Dialect
    stills: bool = False  # the frames of clips are pictures
    written: str = ""  # of the answer, which is to go on behind it
    unstamped: tuple[Message, ...] = ()  # the messages before time stamps were written into them; empty if none were

    def body(self, server: Server, parts: MediaParts, pixel_limits: tuple[int, int]) -> dict[str, Any]:
        """The body of the request. `pixel_limits` are the (min_pixels, max_pixels) of the checkpoint."""
        trace = self.prompt.trace
        media = {(t.message, t.part): m for t, m in zip(trace.media, self.prompt.media, strict=True)}
        areas = [height * width for height, width in (t.resized_size for t in trace.media)]
        body = request_body(
            server.model,
            self.messages,
            media,
            self.options,
            parts,
            # Servers refuse more than their context has left; an estimate that leaves nothing may be wrong.
            max_tokens=self._room() or None,
            written=self.written,
            software=server.software,
            own_limits=any(not pixel_limits[0] <= area <= pixel_limits[1] for area in areas),
        )
        return self.dialect.spoken(body)

    def _room(self) -> int:
        """The tokens that the rest of the answer may have. What is written has at most one for each byte."""
        written = len(self.written.encode())
        return max(0, self.prompt.trace.room(self.options.max_new_tokens + written) - written)

    def with_regions(self, form: BoxForm | None, processor: Processor | None = None) -> Question:
        """The same with the regions of questions in the form of the server's model. Without `processor` the prompt has
        them so already."""
        sizes = [medium.resized_size if medium.kind == "image" else None for medium in self.prompt.media]
        messages = with_regions(self.messages, sizes, form)
        if processor is None:
            return replace(self, messages=tuple(messages))
        return self._made_of(messages, self.prompt.media, processor) if messages != list(self.messages) else self

    def without_video(self, processor: Processor) -> Question:
        """The same with the frames of each clip as pictures. `processor` is that of the prompt."""
        question = replace(self, dialect=self.dialect.without_video())
        if not has_clips(self.messages):
            return question
        return replace(question._made_of(*frames_as_pictures(self.messages, self.prompt), processor), stills=True)

    def with_time_stamps(self, processor: Processor) -> Question:
        """The same with the time before each pair of frames of a clip. `processor` is that of the prompt."""
        stamped = self._made_of(*with_time_stamps(self.messages, self.prompt.media), processor)
        return replace(stamped, unstamped=self.messages)

    def _made_of(self, messages: Sequence[Message], media: Sequence[VisionInput], processor: Processor) -> Question:
        salt = self.prompt.trace.cache_salt
        prompt = processor.assemble(messages, media, add_vision_id=self.options.add_vision_id, cache_salt=salt)
        trace = replace(prompt.trace, context_length=self.prompt.trace.context_length)
        return replace(self, messages=tuple(messages), prompt=replace(prompt, trace=trace))

    def notes(self, server: Server) -> tuple[str, ...]:
        """For people: what of the settings and of the clip the server does not take."""
        notes = []
        fields = sampling_fields(self.options, self.options.max_new_tokens, server.software)
        if settings := self.dialect.inactive(fields):
            *most, last = settings
            listed = f"{', '.join(most)} and {last}" if most else last
            verb = "do" if most else "does"
            notes.append(f"{listed} {verb} not act, since the server does not take {'them' if most else 'it'}")
        if self.stills:
            notes.append("the frames of clips were sent as pictures, since the server takes no video")
        return tuple(notes)
