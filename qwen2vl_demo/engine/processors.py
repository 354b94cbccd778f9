"""Prompts as engines prepare them, and processors without weights: for engines whose model runs elsewhere or not at
all, and for `inspect`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from qwen2vl_demo.checkpoint.find import find_preprocessing
from qwen2vl_demo.checkpoint.lora import find_base
from qwen2vl_demo.decoding import Decoding
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.geometry import MAX_PIXELS, MIN_PIXELS
from qwen2vl_demo.media import MediaLimits
from qwen2vl_demo.processing.chat import ChatTemplate
from qwen2vl_demo.processing.image import ImageConfig
from qwen2vl_demo.processing.messages import Message, without_unfinished
from qwen2vl_demo.processing.processor import Processor, Prompt
from qwen2vl_demo.released import REFERENCE, RELEASED
from qwen2vl_demo.resources import NANO


def reference_processor(limits: MediaLimits | None = None, decoding: Decoding | None = None) -> Processor:
    """Prepares prompts as the released checkpoints do, but with nano's tokenizer.

    Sizes, grids, positions of pictures and the chat template are exact. The ids of text are nano's, whose vocabulary
    is smaller, so a text usually takes more tokens than with theirs.
    """
    nano = Processor.from_directory(NANO)
    context = RELEASED[REFERENCE].text.max_position_embeddings
    return Processor(
        config=replace(nano.config, text=replace(nano.config.text, max_position_embeddings=context)),
        image=ImageConfig(min_pixels=MIN_PIXELS, max_pixels=MAX_PIXELS),
        tokenizer=nano.tokenizer,
        template=ChatTemplate.from_directory(NANO),
        limits=limits,
        decoding=decoding,
    )


def processor_for(
    model: str,
    limits: MediaLimits | None = None,
    decoding: Decoding | None = None,
    *,
    preprocessing: str | None = None,
) -> Processor:
    """The processor of "nano", a checkpoint directory, a hub id or an adapter's base; for "none" the reference one.

    `preprocessing` is the directory or hub id of another checkpoint, whose tokenizer and image preprocessing are taken.
    """
    if model == "none":
        return reference_processor(limits, decoding)
    directory, _ = find_base(model, weights=False)
    return Processor.from_directory(
        directory, limits, decoding=decoding, preprocessing=find_preprocessing(preprocessing)
    )


def prepare_prompt(
    processor: Processor,
    messages: Sequence[Message],
    options: GenerationOptions,
    cancel: threading.Event | None = None,
    *,
    max_pixels: int | None = None,
    thumbnails: bool = False,
) -> Prompt:
    """The prompt of messages, without an unfinished answer at their end.

    `max_pixels` is that of a picture where the options leave it open, by default the processor's; the rest is as for
    `Processor.process`.
    """
    media = options.media
    if media.max_pixels is None and max_pixels is not None:
        media = replace(media, max_pixels=max(max_pixels, media.min_pixels or 0))
    return processor.process(
        without_unfinished(messages)[0],
        media,
        add_vision_id=options.add_vision_id,
        positions=options.positions,
        cache_salt=options.cache_salt,
        cancel=cancel,
        thumbnails=thumbnails,
    )
