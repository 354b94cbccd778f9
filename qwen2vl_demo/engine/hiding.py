"""How likely the tokens of an answer remain when a region of a picture is hidden from the model.

There are two ways to hide a region, and they ask different things. Its merged tokens can be left out of attention: then
the language model cannot look at them, but their neighbours have seen their pixels in the vision transformer and still
carry some of that. Or its pixels can be made grey before the vision transformer: then nothing of them is left, but
there is a grey rectangle, which the picture did not have.

Axes: L tokens of the prompt, A tokens of the answer, M merged tokens of all media, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import torch
from torch import Tensor

from qwen2vl_demo.engine.attention import extend_prompt
from qwen2vl_demo.engine.generate import prefill
from qwen2vl_demo.geometry import TEMPORAL_PATCH_SIZE
from qwen2vl_demo.model.capture import Capture
from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.processing.image import ImageConfig
from qwen2vl_demo.processing.processor import Prompt

FORCED_CHUNK = 64  # tokens of an answer at a time: bounds the attention that is held while they run


@torch.inference_mode()
def answer_log_probabilities(
    model: Qwen2VL,
    prompt: Prompt,
    answer: np.ndarray,
    vision: Tensor | None,
    check_cancelled: Callable[[], None],
    *,
    hidden: Collection[int] = (),
    before: KVCache | None = None,
    unchanged: int = 0,
) -> np.ndarray:
    """The log-probability of each token of an answer (A,), given the prompt and the tokens before it: (A,) float32.

    `vision` are the merged tokens (M, C) of the prompt. `hidden` are indices in the prompt of merged tokens that are
    left out of attention. They are taken out of the sequence, while all others keep their positions; this is the same
    as masking them for every query of every layer, because nothing else passes between tokens.

    `before` is a cache whose first `unchanged` tokens are those of this prompt, none of them hidden; they are not run
    again, and the cache is not changed.
    """
    sequence = extend_prompt(prompt, answer).trace
    length, config = len(prompt.trace), model.config
    ids = torch.from_numpy(sequence.input_ids).to(model.device)
    positions = torch.from_numpy(sequence.position_ids).to(model.device)
    places = (ids[:length] == config.image_token_id) | (ids[:length] == config.video_token_id)
    kept = torch.ones(length, dtype=torch.bool, device=model.device)
    kept[list(hidden)] = False
    if not bool(places[~kept].all()):
        raise ValueError("only merged tokens can be hidden; some of these are tokens of text")
    if before is not None and not bool(kept[:unchanged].all()):
        raise ValueError("what is hidden cannot be read from a cache")
    capacity = int(kept.sum()) + len(answer)
    if before is None:
        cache, unchanged = KVCache(config.text, capacity, device=model.layer_devices, dtype=model.dtype), 0
    else:
        unchanged = min(unchanged, length - 1)  # the last token has to run, since its logits start the answer
        cache = before.copy(unchanged, capacity)
    kept[:unchanged] = False  # these are in the cache
    seen = vision[kept[places]] if vision is not None and bool((places & kept).any()) else None
    logits = [prefill(model, ids[:length][kept], seen, positions[:, :length][:, kept], cache, check_cancelled)[None]]
    if len(answer) > 1:
        rest = slice(length, -1)
        states = model(model.embed(ids[rest][None]), positions[:, rest][:, None], cache, check_cancelled)
        logits.append(model.logits(states[0]))
    likely = torch.cat(logits).float().log_softmax(dim=-1)  # (A, V)
    return likely.gather(1, ids[length:, None].to(likely.device))[:, 0].cpu().numpy()


@torch.inference_mode()
def forced_pass(
    model: Qwen2VL,
    sequence: Prompt,
    queries: range,
    cache: KVCache,
    watched: Collection[int],
    check: Callable[[], None],
) -> tuple[Tensor, np.ndarray]:
    """The logits (A, V) behind the queries at these indices of a sequence, and of the attention of each, in the mean of
    all layers and heads, what lay on the indices `watched`: (A,) float32.

    `cache` must hold the tokens before the first query; it is not changed. The queries must be text tokens.
    """
    own = cache.copy(queries.start, queries.stop)
    logits, shares = [], []
    for start in range(queries.start, queries.stop, FORCED_CHUNK):
        rows = range(start, min(start + FORCED_CHUNK, queries.stop))
        run = slice(rows.start, rows.stop)
        ids = torch.from_numpy(sequence.trace.input_ids[run]).to(model.device)
        positions = torch.from_numpy(sequence.trace.position_ids[:, run]).to(model.device)
        capture = Capture(rows if watched else ())
        states = model(model.embed(ids[None]), positions[:, None], own, check, capture)
        logits.append(model.logits(states[0]))
        for row in rows:
            on = capture.weights(row)[..., sorted(watched)].sum(-1).mean() if watched else 0.0
            shares.append(float(on))
    return torch.cat(logits), np.array(shares, dtype=np.float32)


def greyed(frames: np.ndarray, cells: np.ndarray, image: ImageConfig) -> np.ndarray:
    """Frames (n, H, W, 3) uint8 with the pixels of some merged tokens made grey; `cells` is (t, rows, columns) bool.

    The grey is the mean colour of the normalisation, which the vision transformer sees as nearly zero.
    """
    _, rows, columns = cells.shape
    _, height, width, _ = frames.shape
    steps = np.minimum(np.arange(len(frames)) // TEMPORAL_PATCH_SIZE, len(cells) - 1)
    covered = cells[steps].repeat(height // rows, axis=1).repeat(width // columns, axis=2)  # (n, H, W)
    grey = np.round(np.asarray(image.image_mean) / image.rescale).astype(np.uint8)
    return np.where(covered[..., None], grey, frames)
