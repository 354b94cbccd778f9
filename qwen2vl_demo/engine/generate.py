"""The two phases of generation: `prefill` runs the prompt, `decode_step` one token; `generate_tokens` is the loop.

Axes: L tokens of the prompt, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

import torch
from torch import Tensor

from qwen2vl_demo.engine.sampling import Sampler
from qwen2vl_demo.model.decoder import Decoder
from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.model.qwen2vl import Qwen2VL

PREFILL_CHUNK = 2048  # tokens at a time: bounds the activations of a long prompt, and the wait for a Stop


@torch.inference_mode()
def prefill(
    model: Qwen2VL,
    input_ids: Tensor,
    vision: Tensor | None,
    position_ids: Tensor,
    cache: KVCache,
    check_cancelled: Callable[[], None],
) -> Tensor:
    """Runs a prompt (L,) at position_ids (3, L) into the cache; returns the logits (V,) after its last token.

    `vision` are the merged tokens of its placeholders. `check_cancelled` is called before every layer and may raise.
    """
    embeddings = model.embed(input_ids[None], vision)
    positions = position_ids[:, None]
    hidden = embeddings
    for start in range(0, embeddings.shape[1], PREFILL_CHUNK):
        chunk = slice(start, start + PREFILL_CHUNK)
        hidden = model(embeddings[:, chunk], positions[:, :, chunk], cache, check_cancelled, last_only=True)
    return model.logits(hidden[0, -1:])[0]


def generate_tokens(
    decoder: Decoder, sampler: Sampler, logits: Tensor, rope_delta: int, cache: KVCache
) -> Generator[int, None, None]:
    """Yields the tokens of an answer without end, the first sampled from the logits (V,) after the prompt.

    When a token is yielded, the cache holds everything before it and not yet the token itself.
    """
    while True:
        token = sampler.choose(logits)
        yield token
        logits = decode_step(decoder, token, rope_delta, cache)


def decode_step(decoder: Decoder, token: int, rope_delta: int, cache: KVCache) -> Tensor:
    """Runs one token after the cached ones and appends it; returns the logits (V,) of the next token."""
    return decoder.step(token, cache.length + rope_delta, cache)
