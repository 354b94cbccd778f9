"""The pictures and the clip that the lesson offers to a learner who has none at hand, from assets/examples.

A picture is loaded by the browser when it is first drawn; of a clip the sampled frames travel with the page, since a
browser cannot be relied on to find the same ones. lesson.png is a part of cat.png, 500 x 400 px, neither of which is a
multiple of 28.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import PIL.Image

from qwen2vl_demo.media import read_video
from qwen2vl_demo.resources import EXAMPLES
from qwen2vl_demo.viz.data_uri import encode_frames

CLIP_CHARS = 60_000  # of the data URI of a clip's frames, at most


@dataclass(frozen=True)
class Prepared:
    """A picture or a clip of the lesson, and a question for which the positions of its tokens matter."""

    key: str  # also in the address of a deep link: ?learn=4&example=chart
    label: str
    file: Path
    question: str


SUBJECTS = (
    Prepared("animals", "Animals and things", EXAMPLES / "lesson.png", "Where is the lock?"),
    Prepared("chart", "A chart", EXAMPLES / "chart.png", "Which bar is the highest?"),
    Prepared("receipt", "A receipt", EXAMPLES / "receipt.png", "What is the total?"),
    Prepared("clip", "A clip", EXAMPLES / "clip.mp4", "What happens in this clip?"),
)


def prepared() -> tuple[Prepared, ...]:
    """Those whose files are there."""
    return tuple(subject for subject in SUBJECTS if subject.file.is_file())


def records(subjects: Sequence[Prepared]) -> list[dict[str, Any]]:
    """What the browser is told of each: {"key", "label", "name", "question", "kind", "size": [height, width]}, and for
    a picture its "file", for a clip its frames as a "sheet" (`data_uri.EncodedImage`) and as "clip" {"seconds" between
    the first and the last one, "total": frames of the file}."""
    return [_record(subject) for subject in subjects]


@cache
def _record(subject: Prepared) -> dict[str, Any]:
    told: dict[str, Any] = {
        "key": subject.key,
        "label": subject.label,
        "name": subject.file.name,
        "question": subject.question,
    }
    if subject.file.suffix != ".mp4":
        with PIL.Image.open(subject.file) as picture:
            return told | {"kind": "image", "size": [picture.height, picture.width], "file": str(subject.file)}
    clip = read_video(subject.file, resize=lambda count, size: size)
    return told | {
        "kind": "video",
        "size": list(clip.original_size),
        "sheet": encode_frames(clip.frames, CLIP_CHARS).to_dict(),
        "clip": {"seconds": clip.timestamps[-1] - clip.timestamps[0], "total": clip.total_frames},
    }
