"""The JSON body of an OpenAI-compatible chat completion.

Pictures and frames are sent as resized for the trace, so that the server has nothing left to resize and its token
counts equal ours, as long as its own pixel limits are not narrower.

vLLM accepts clips as sampled frames (`data:video/jpeg;base64,FRAME,FRAME,...`) and keeps all of them. Other servers
open a file and sample it at 2 frames per second: they get an MP4 of our frames at that rate, from which they sample
exactly these frames.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import av
import numpy as np
import PIL.Image

from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.geometry import VIDEO_FPS
from qwen2vl_demo.processing.messages import Image, Message, Text, Video

PNG_BYTES = 1_000_000  # a picture whose PNG is larger than this is sent as a JPEG
JPEG = {"format": "JPEG", "quality": 95, "subsampling": 0}
# Not OpenAI's; vLLM and SGLang know them.
EXTRAS = ("top_k", "repetition_penalty", "skip_special_tokens", "cache_salt")

# Servers tokenize the rendered chat template, in which a typed special token would become a real one.
_TYPED = re.compile(r"<\|(?=[a-z_]+\|>)")
_TYPED_IN_ANSWER = re.compile(r"<\|(?=(?!box_|quad_|object_ref_)[a-z_]+\|>)")  # an answer may hold boxes


def request_body(
    model: str,
    messages: Sequence[Message],
    frames: Mapping[tuple[int, int], np.ndarray],
    options: GenerationOptions,
    *,
    sampled_clips: bool,
) -> dict[str, Any]:
    """The body of `POST /chat/completions`, streaming.

    `frames` are the resized frames (n, H, W, 3) uint8 of each medium, by (index of the message, index of the part).
    `sampled_clips`: the server accepts sampled frames (vLLM).
    """
    body: dict[str, Any] = {
        "model": model,
        "messages": _conversation(messages, frames, options.add_vision_id, sampled_clips),
        "max_tokens": options.max_new_tokens,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "stream": True,
        "stream_options": {"include_usage": True},
        "skip_special_tokens": False,  # boxes are written with special tokens
    }
    if options.seed is not None:
        body["seed"] = options.seed
    if options.top_k:
        body["top_k"] = options.top_k
    if options.repetition_penalty != 1:
        body["repetition_penalty"] = options.repetition_penalty
    if options.cache_salt:  # the server's prefix cache must not tell one visitor what others ask
        body["cache_salt"] = options.cache_salt
    return body


def _conversation(
    messages: Sequence[Message], frames: Mapping[tuple[int, int], np.ndarray], add_vision_id: bool, sampled_clips: bool
) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    count = {"Picture": 0, "Video": 0}
    for at, message in enumerate(messages):
        if message.role != "user":
            if not all(isinstance(part, Text) for part in message.parts):
                raise UserError(
                    f"A server takes media from the user only, but a message of the {message.role} holds one."
                )
            typed = _TYPED_IN_ANSWER if message.role == "assistant" else _TYPED
            sent.append({"role": message.role, "content": _plain(message.text, typed)})
            continue
        content: list[dict[str, Any]] = []
        for index, part in enumerate(message.parts):
            if isinstance(part, Text):
                content.append({"type": "text", "text": _plain(part.text, _TYPED)})
                continue
            kind = "Picture" if isinstance(part, Image) else "Video"
            count[kind] += 1
            if add_vision_id:
                content.append({"type": "text", "text": f"{kind} {count[kind]}: "})
            content.append(_media(part, frames[at, index], sampled_clips))
        sent.append({"role": "user", "content": content})
    return sent


def _plain(text: str, typed: re.Pattern[str]) -> str:
    """The text with a zero-width space in each typed special token, so that it is none."""
    return typed.sub("<\u200b|", text)


def _media(part: Image | Video, frames: np.ndarray, sampled_clips: bool) -> dict[str, Any]:
    if isinstance(part, Image):
        return {"type": "image_url", "image_url": {"url": picture_uri(frames[0])}}
    if sampled_clips:
        pieces = ",".join(_base64(_encoded(frame, **JPEG)) for frame in frames)
        return {"type": "video_url", "video_url": {"url": f"data:video/jpeg;base64,{pieces}"}}
    return {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{_base64(clip_file(frames))}"}}


def picture_uri(pixels: np.ndarray) -> str:
    """A picture (H, W, 3) uint8 as a `data:` URI: PNG, or JPEG where that would be large."""
    png = _encoded(pixels, format="PNG", compress_level=1)
    if len(png) <= PNG_BYTES:
        return f"data:image/png;base64,{_base64(png)}"
    return f"data:image/jpeg;base64,{_base64(_encoded(pixels, **JPEG))}"


def clip_file(frames: np.ndarray, fps: int = int(VIDEO_FPS)) -> bytes:
    """An MP4 (H.264) of frames (n, H, W, 3) uint8 with even sides, at `fps` frames per second."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "12"})
        stream.pix_fmt = "yuv420p"
        stream.height, stream.width = frames.shape[1:3]
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def _encoded(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, **options)
    return buffer.getvalue()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
