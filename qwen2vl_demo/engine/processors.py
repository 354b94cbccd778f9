"""Processors without a model: what prepares a prompt when the weights are elsewhere, or nowhere.

Contract: no weights are read or downloaded here.
"""

from __future__ import annotations

from dataclasses import replace

from qwen2vl_demo.geometry import MAX_PIXELS, MIN_PIXELS
from qwen2vl_demo.media import MediaLimits
from qwen2vl_demo.model.weights import find_checkpoint
from qwen2vl_demo.processing.chat import ChatTemplate
from qwen2vl_demo.processing.image import ImageConfig
from qwen2vl_demo.processing.processor import Processor
from qwen2vl_demo.resources import NANO

RELEASED_CONTEXT = 32_768  # positions of the released checkpoints


def reference_processor(limits: MediaLimits | None = None) -> Processor:
    """Prepares prompts as the released checkpoints do, with nano's tokenizer in place of theirs.

    Sizes, grids, positions of pictures and the chat template are exact. The ids of words are nano's, whose vocabulary
    is smaller, so a text usually takes more tokens here than there.
    """
    nano = Processor.from_directory(NANO)
    text = replace(nano.config.text, max_position_embeddings=RELEASED_CONTEXT)
    return Processor(
        config=replace(nano.config, text=text),
        image=ImageConfig(min_pixels=MIN_PIXELS, max_pixels=MAX_PIXELS),
        tokenizer=nano.tokenizer,
        template=ChatTemplate.from_directory(NANO),
        limits=limits,
    )


def processor_for(model: str, limits: MediaLimits | None = None) -> Processor:
    """The processor of "nano", of a checkpoint directory or of a hub id; with "none" the reference one."""
    if model == "none":
        return reference_processor(limits)
    return Processor.from_directory(find_checkpoint(model, weights=False), limits)
