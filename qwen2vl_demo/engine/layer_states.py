"""The hidden states of one token on its way through the layers, and what the output layer makes of them.

The output layer was trained to read the last of them only. What it says of the others (the "logit lens", nostalgebraist
2020) is an aid to reading: a state that resembles no word may still hold much.

Axes: C width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from qwen2vl_demo.model.capture import Capture
from qwen2vl_demo.model.kv_cache import KVCache, KVPrefix
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.processing.processor import Prompt


@torch.inference_mode()
def hidden_states(
    model: Qwen2VL,
    prompt: Prompt,
    token: int,
    vision: Tensor | None,
    cache: KVCache,
    check_cancelled: Callable[[], None],
) -> Tensor:
    """The states (layers + 1, C) of token number `token` of a prompt: before the first layer, and after each.

    `vision` is the merged token (1, C) itself where it is one. `cache` must hold the tokens before; it is not changed.
    """
    run = slice(token, token + 1)
    ids = torch.from_numpy(prompt.trace.input_ids[run]).to(model.device)
    positions = torch.from_numpy(prompt.trace.position_ids[:, run]).to(model.device)
    capture = Capture([token], states=True)
    model(model.embed(ids[None], vision), positions[:, None], KVPrefix(cache, token), check_cancelled, capture)
    return capture.states(token)


@torch.inference_mode()
def layer_logits(model: Qwen2VL, states: Tensor) -> Tensor:
    """What the final norm and the output layer make of hidden states (n, C): logits (n, V) float32."""
    norm = model.model.norm
    return model.logits(norm(states.to(norm.weight.device))).float()
