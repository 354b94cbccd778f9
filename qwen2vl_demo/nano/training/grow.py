"""Initialise a larger nano with the weights of a smaller one, so that it computes the same function at first.

The number of layers and blocks may grow, and the vocabulary may grow and change its ids; widths stay the same. New
blocks are inserted before the last one of each transformer and start as the identity: their output projections are
zero.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

_NUMBERED = re.compile(r"(.*?\.(?:layers|blocks)\.)(\d+)(\..*)")
_OUTPUT_PROJECTIONS = (
    "o_proj.weight",
    "down_proj.weight",
    "attn.proj.weight",
    "attn.proj.bias",
    "fc2.weight",
    "fc2.bias",
)


def grow_weights(
    small: dict[str, Tensor], large: dict[str, Tensor], directory: Path, tokenizer: Tokenizer
) -> dict[str, Tensor]:
    """A state dict like `large`, filled from `small`, the state dict of the checkpoint in `directory`.

    The old tokenizer is read from `directory`. A token that it lacks starts as the mean of the embeddings of the old
    tokens that spell it.
    """
    result = {}
    depths = [{m[1]: 0 for name in state if (m := _NUMBERED.match(name))} for state in (small, large)]
    for state, depth in zip((small, large), depths, strict=True):
        for name in state:
            if m := _NUMBERED.match(name):
                depth[m[1]] = max(depth[m[1]], int(m[2]) + 1)
    for name, weight in large.items():
        source = name
        if m := _NUMBERED.match(name):
            tower, index, rest = m[1], int(m[2]), m[3]
            before, after = (depth[tower] for depth in depths)
            if index == after - 1:
                source = f"{tower}{before - 1}{rest}"
            elif index >= before - 1:
                result[name] = torch.zeros_like(weight) if name.endswith(_OUTPUT_PROJECTIONS) else weight
                continue
        if "embed_tokens" in name or "lm_head" in name:
            result[name] = _grow_embedding(
                small[source], weight, Tokenizer.from_file(str(directory / "tokenizer.json")), tokenizer
            )
        else:
            result[name] = small[source]
    return result


def _grow_embedding(small: Tensor, large: Tensor, old: Tokenizer, new: Tokenizer) -> Tensor:
    result = large.clone()
    for index in range(len(large)):
        token = new.id_to_token(index)
        assert token is not None
        old_index = old.token_to_id(token)
        pieces = [old_index] if old_index is not None else old.encode(new.decode([index])).ids
        result[index] = small[pieces].mean(0)
    return result
