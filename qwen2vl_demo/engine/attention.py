"""The attention behind a word of a finished answer, computed by running the word's decoding steps again.

Only the tokens from which the word was sampled are run, one for each of its tokens; everything before them is read
from a KV cache, which is not changed. The steps use the model's own weights: where an answer was decoded with narrower
ones (int8), the two agree up to that rounding.

Axes: S tokens of prompt and answer, H query heads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from qwen2vl_demo.attention_trace import mean_over_queries
from qwen2vl_demo.model.capture import Capture
from qwen2vl_demo.model.kv_cache import KVCache, KVPrefix
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.processing.processor import Prompt


def extend_prompt(prompt: Prompt, answer: np.ndarray) -> Prompt:
    """The prompt followed by ids (A,) of its answer. `trace.tokens` stays that of the prompt alone."""
    trace = prompt.trace
    answer_positions = len(trace) + trace.rope_delta + np.arange(len(answer))
    return Prompt(
        replace(
            trace,
            input_ids=np.concatenate([trace.input_ids, answer]),
            position_ids=np.concatenate([trace.position_ids, np.tile(answer_positions, (3, 1))], axis=1),
        ),
        prompt.media,
    )


@torch.inference_mode()
def capture_attention(
    model: Qwen2VL, sequence: Prompt, queries: range, cache: KVCache, check_cancelled: Callable[[], None]
) -> np.ndarray:
    """The mean attention of the queries at these indices of the sequence: (layers, H, queries[-1] + 1) float32.

    `cache` must hold the tokens before the first query. The queries must be text tokens.
    """
    run = slice(queries.start, queries.stop)
    ids = torch.from_numpy(sequence.trace.input_ids[run]).to(model.device)
    positions = torch.from_numpy(sequence.trace.position_ids[:, run]).to(model.device)
    capture = Capture(queries)
    model(model.embed(ids[None]), positions[:, None], KVPrefix(cache, queries.start), check_cancelled, capture)
    return mean_over_queries([capture.weights(query).numpy() for query in queries])
