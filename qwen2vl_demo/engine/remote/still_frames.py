"""Clips as pictures, for servers that take no video: each sampled frame is a picture, with its number and time before
it. The prompt that comes of it is longer, since two frames of a clip share their tokens and two pictures do not."""

from __future__ import annotations

from collections.abc import Sequence

import PIL.Image

from qwen2vl_demo.processing.image import VisionInput
from qwen2vl_demo.processing.messages import Image, Message, Part, Text, Video
from qwen2vl_demo.processing.processor import Prompt
from qwen2vl_demo.processing.time_stamps import piece


def has_clips(messages: Sequence[Message]) -> bool:
    return any(isinstance(part, Video) for message in messages for part in message.parts)


def frames_as_pictures(messages: Sequence[Message], prompt: Prompt) -> tuple[list[Message], list[VisionInput]]:
    """The messages of a prompt with pictures in place of its clips, and the pixels of all of their pictures."""
    media = iter(prompt.media)
    shown: list[Message] = []
    pictures: list[VisionInput] = []
    clips = 0
    for message in messages:
        parts: list[Part] = []
        for part in message.parts:
            if isinstance(part, Text):
                parts.append(part)
                continue
            medium = next(media)
            if medium.kind == "image":
                parts.append(part)
                pictures.append(medium)
                continue
            clips += 1
            for number, time in enumerate(medium.timestamps, start=1):
                frame = piece(medium, number - 1, number, "image", f"{medium.name}, frame {number}")
                parts += [
                    Text(f"Clip {clips}, frame {number} at {time:.1f} s: "),
                    Image(PIL.Image.fromarray(frame.frames[0]), frame.name),
                ]
                pictures.append(frame)
        shown.append(Message(message.role, parts))
    return shown, pictures
