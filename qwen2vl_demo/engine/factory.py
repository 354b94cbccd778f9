"""From settings to what runs: the engine and the options that the settings ask for."""

from __future__ import annotations

from qwen2vl_demo.engine import load_engine
from qwen2vl_demo.engine.protocol import Engine, GenerationOptions
from qwen2vl_demo.media import MediaLimits
from qwen2vl_demo.processing.messages import MediaOptions
from qwen2vl_demo.settings import Settings

MEGABYTE = 1024 * 1024  # bytes


def engine_of(settings: Settings) -> Engine:
    """Loads the model, or reaches the server. Raises UserError."""
    return load_engine(
        settings.model,
        settings.device,
        settings.dtype,
        quantize=settings.quantize,
        engine_url=settings.engine_url,
        engine_model=settings.engine_model,
        engine_key=settings.engine_key,
        engine_timeout=settings.engine_timeout,
        limits=MediaLimits(max_file_bytes=max(MediaLimits.max_file_bytes, settings.max_file_mb * MEGABYTE)),
    )


def options_of(settings: Settings) -> GenerationOptions:
    """How an answer is written and media become pixels, unless somebody asks otherwise."""
    return GenerationOptions(
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        media=MediaOptions(
            min_pixels=settings.min_pixels,
            max_pixels=settings.max_pixels,
            fps=settings.fps,
            max_frames=settings.max_frames,
        ),
    )
