"""One step of the model, run again to see what it looked at: the attention behind a word that is already written.

Contract: the tokens before the word are read from a KV cache that is not changed; only the tokens from which the word
was chosen are run, one a token of the word, which costs about what writing them did. They are run with the model's own
weights: where an answer was written with narrower ones (int8), the two agree to that rounding. Knows the model, a
cache and numbers; knows neither messages nor text.

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


def going_on(prompt: Prompt, answer: np.ndarray) -> Prompt:
    """The prompt with tokens (A,) of its answer behind it; the record's readable tokens stay those of the prompt."""
    trace = prompt.trace
    following = len(trace) + trace.rope_delta + np.arange(len(answer))
    return Prompt(
        replace(
            trace,
            input_ids=np.concatenate([trace.input_ids, answer]),
            position_ids=np.concatenate([trace.position_ids, np.tile(following, (3, 1))], axis=1),
        ),
        prompt.media,
    )


@torch.inference_mode()
def look_again(
    model: Qwen2VL, sequence: Prompt, queries: range, known: KVCache, checkpoint: Callable[[], None]
) -> np.ndarray:
    """What the queries at these places attend to, on average: (layers, H, queries[-1] + 1) float32.

    `known` must hold the tokens before the first query; the queries themselves are words, not pictures.
    """
    here = slice(queries.start, queries.stop)
    ids = torch.from_numpy(sequence.trace.input_ids[here]).to(model.device)
    positions = torch.from_numpy(sequence.trace.position_ids[:, here]).to(model.device)
    capture = Capture(queries)
    model(model.embed(ids[None]), positions[:, None], KVPrefix(known, queries.start), checkpoint, capture)
    return mean_over_queries([capture.weights(place).numpy() for place in queries])
