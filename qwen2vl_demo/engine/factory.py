"""Creates engines: `load_engine` from arguments, `engine_of` and `options_of` from the app's settings.

torch and httpx are imported only when an engine that needs them is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwen2vl_demo.decoding import Decoding
from qwen2vl_demo.engine.protocol import Engine, GenerationOptions
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import MediaLimits
from qwen2vl_demo.processing.messages import MediaOptions
from qwen2vl_demo.settings import NO_MODEL, Settings

if TYPE_CHECKING:
    from qwen2vl_demo.engine.models.pool import Loader
    from qwen2vl_demo.engine.zerogpu.messages import Lend


def load_engine(
    model: str = "nano",
    device: str = "auto",
    dtype: str = "auto",
    *,
    adapter: str | None = None,
    quantize: str = "none",
    processor: str | None = None,
    engine_url: str | None = None,
    engine_model: str | None = None,
    engine_key: str | None = None,
    engine_timeout: float = 300.0,
    limits: MediaLimits | None = None,
    decoding: Decoding | None = None,
) -> Engine:
    """Loads a model on this machine, or connects to the server at `engine_url`.

    `model` is "nano", a checkpoint directory, a Hugging Face id, or "none" (prepares prompts, answers nothing). It may
    be a LoRA that names its base; `adapter` is one that is merged into the model.
    With `engine_url` the server runs the model, and `model` only selects the tokenizer and the pixel limits with which
    prompts are prepared. `processor` is a directory or a hub id whose tokenizer and image preprocessing are taken, for
    a model that has none. `quantize` ("int8", "int4") holds the weights in 8 or 4 bits. `limits` bounds the files that
    are opened, and `decoding` is where they are decoded, by default in this process. Raises
    UserError for a model that cannot be loaded and a server that does not answer.
    """
    if adapter is not None and (engine_url is not None or model == "none"):
        raise UserError("--adapter is merged into a model that runs here; a server loads its own adapters.")
    if engine_url is not None:
        from qwen2vl_demo.engine.remote.engine import RemoteEngine

        return RemoteEngine.connect(
            engine_url,
            engine_model,
            key=engine_key,
            timeout=engine_timeout,
            checkpoint=model,
            preprocessing=processor,
            limits=limits,
            decoding=decoding,
        )
    if model == "none":
        from qwen2vl_demo.engine.processor_only import ProcessorOnlyEngine

        return ProcessorOnlyEngine.load(limits, decoding)
    from qwen2vl_demo.engine.local import LocalEngine

    return LocalEngine.load(
        model,
        adapter=adapter,
        device=device,
        dtype=dtype,
        quantize=quantize,
        preprocessing=processor,
        limits=limits,
        decoding=decoding,
    )


def engine_of(settings: Settings, decoding: Decoding | None = None, lend: Lend | None = None) -> Engine:
    """The engine that the settings ask for; `decoding` and errors are those of `load_engine`. With `lend` it runs on
    the GPUs that ZeroGPU lends."""
    limits = MediaLimits.for_uploads(
        settings.max_file_mb, max_image_mp=settings.max_image_mp, max_pdf_pages=settings.max_pdf_pages
    )
    if lend is not None:
        _check_zerogpu(settings)
        from qwen2vl_demo.engine.zerogpu.engine import ZeroGpuEngine

        return ZeroGpuEngine.load(
            settings.model,
            lend,
            adapter=settings.adapter,
            dtype=settings.dtype,
            preprocessing=settings.processor,
            limits=limits,
            decoding=decoding,
        )
    return load_engine(
        settings.model,
        settings.device,
        settings.dtype,
        adapter=settings.adapter,
        quantize=settings.quantize,
        processor=settings.processor,
        engine_url=settings.engine_url,
        engine_model=settings.engine_model,
        engine_key=settings.engine_key,
        engine_timeout=settings.engine_timeout,
        limits=limits,
        decoding=decoding,
    )


def loader_of(settings: Settings, decoding: Decoding | None = None) -> Loader | None:
    """What loads the models of `--models`; None where there is no choice. Raises UserError for a list that names
    something which is no model."""
    if not settings.models:
        return None
    from qwen2vl_demo.engine.models.loader import ListedModels

    return ListedModels(settings, decoding)


def _check_zerogpu(settings: Settings) -> None:
    """Raises UserError for settings that a Space on ZeroGPU cannot have: it must use the GPUs that it is lent."""
    if settings.engine_url is not None or settings.model == NO_MODEL or settings.device not in ("auto", "cuda"):
        wanted = "--model none" if settings.model == NO_MODEL else f"--device {settings.device}"
        raise UserError(
            f"{wanted if settings.engine_url is None else '--engine-url'} does not use the GPU of this Space, and "
            "ZeroGPU stops a Space that uses none; choose CPU hardware for the Space."
        )
    if settings.models:
        raise UserError("--models is not for ZeroGPU, where one model is lent a GPU for each answer; leave it.")
    if settings.quantize != "none":
        raise UserError(
            f"--quantize {settings.quantize} is not for ZeroGPU, whose GPUs have room for the 7B in bfloat16; leave it."
        )


def options_of(settings: Settings) -> GenerationOptions:
    """The default generation and media options that the settings ask for."""
    return GenerationOptions(
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        media=MediaOptions(
            min_pixels=settings.min_pixels,
            max_pixels=settings.max_pixels,
            fps=settings.fps,
            max_frames=settings.max_frames,
            time_stamps=settings.time_stamps,
        ),
    )
