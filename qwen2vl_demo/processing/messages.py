"""The conversation as plain data: messages of parts. What the model gets is made from these and from nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import PIL.Image

Source = str | Path | bytes | PIL.Image.Image
Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Text:
    """Words. Whatever stands in them stays text: a typed `<|image_pad|>` never becomes a special token."""

    text: str


@dataclass(frozen=True)
class Image:
    """A picture: a path, the bytes of a file, or a PIL image."""

    source: Source
    name: str = ""


@dataclass(frozen=True)
class Video:
    """A clip: a path or the bytes of a file."""

    source: str | Path | bytes
    name: str = ""


Part = Text | Image | Video


@dataclass(frozen=True)
class Message:
    """One turn of one speaker. A bare string stands for a single Text."""

    role: Role
    parts: tuple[Part, ...] = field(default=())

    def __init__(self, role: Role, parts: str | list[Part] | tuple[Part, ...]) -> None:
        object.__setattr__(self, "role", role)
        object.__setattr__(self, "parts", (Text(parts),) if isinstance(parts, str) else tuple(parts))

    @property
    def text(self) -> str:
        return "".join(p.text for p in self.parts if isinstance(p, Text))
