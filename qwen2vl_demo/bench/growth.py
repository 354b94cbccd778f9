"""How cost grows: time to the first token and peak memory by pixels, pictures, turns and frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from qwen2vl_demo.bench import models
from qwen2vl_demo.bench.media import write_clip
from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Part, Text, Video

MEGAPIXELS = (0.1, 0.2, 0.5, 1.0, 2.5)
PICTURES = (1, 2, 4, 8)
TURNS = 6
FRAMES = (4, 8, 16, 32)
QUESTION = Text("What is in it?")


def growth(shape: str, device: torch.device, log: Callable[[str], None]) -> list[dict[str, Any]]:
    """A record for each point: what grows, its size, seconds to the first token, tokens of the prompt and of these
    reused, and peak memory in MB.

    The peak is that of the whole run so far, so it only means something for a point at which it rises.
    """
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    engine = models.engine_of(models.random_model(shape, device, dtype))
    records: list[dict[str, Any]] = []

    def point(what: str, size: float, messages: list[Message], media: MediaOptions | None = None) -> None:
        options = GenerationOptions(max_new_tokens=1, media=media or MediaOptions())
        result = None
        for chunk in engine.stream(messages, options):
            result = chunk.result or result
        assert result is not None
        record = {
            "grows": what,
            "size": size,
            "first_token_s": round(result.timings["first_token"], 4),
            "prompt_tokens": result.prompt_tokens,
            "reused_tokens": result.reused_tokens,
            "peak_mb": peak_megabytes(device),
        }
        records.append(record)
        log("  ".join(f"{name} {value}" for name, value in record.items()))

    point("warm-up", 0, [Message("user", [Image(models.picture(99, (112, 112))), QUESTION])])
    _turns(engine, point)
    for frames in FRAMES:
        _clip(frames, point)
    for count in PICTURES:
        pictures: list[Part] = [Image(models.picture(10 * count + i, (280, 280))) for i in range(count)]
        point("pictures", count, [Message("user", [*pictures, QUESTION])])
    for megapixels in MEGAPIXELS:
        side = round((megapixels * 1e6) ** 0.5)
        image = Image(models.picture(round(megapixels * 10), (side, side)))
        point("megapixels", megapixels, [Message("user", [image, QUESTION])], MediaOptions(max_pixels=3_000_000))
    return records


def _turns(engine: LocalEngine, point: Callable[..., None]) -> None:
    messages = [Message("user", [Image(models.picture(7, (448, 448))), QUESTION])]
    for turn in range(1, TURNS + 1):
        point("turns", turn, messages)
        messages += [Message("assistant", "A red circle."), Message("user", [Text("And what else is there?")])]


def _clip(frames: int, point: Callable[..., None]) -> None:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_clip(path, frames=frames * 15, key_every=30)
        media = MediaOptions(fps=2.0, max_pixels=128 * 784)
        point("frames", frames, [Message("user", [Video(path), QUESTION])], media)


def peak_megabytes(device: torch.device) -> int:
    """Peak memory so far in MB: that of the GPU's allocator, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) // 10**6
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 // 10**6
