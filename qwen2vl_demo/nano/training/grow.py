"""Weights of a smaller nano as the beginning of a larger one, which at first says what the smaller one said.

Contract: `grown` maps state dicts; layers and blocks may become more, tokens may become more and change their ids,
widths stay. New blocks stand before the last one of each tower and begin as the identity: their last matrices are zero.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

_NUMBERED = re.compile(r"(.*?\.(?:layers|blocks)\.)(\d+)(\..*)")
_LAST_MATRICES = ("o_proj.weight", "down_proj.weight", "attn.proj.weight", "attn.proj.bias", "fc2.weight", "fc2.bias")


def grown(
    small: dict[str, Tensor], large: dict[str, Tensor], directory: Path, tokenizer: Tokenizer
) -> dict[str, Tensor]:
    """`large` filled from `small`, the weights of the checkpoint in `directory`, whose tokenizer is read from there.

    A token that the old tokenizer lacks begins as the mean of the old tokens that it is written with.
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
                result[name] = torch.zeros_like(weight) if name.endswith(_LAST_MATRICES) else weight
                continue
        if "embed_tokens" in name or "lm_head" in name:
            result[name] = _rows(
                small[source], weight, Tokenizer.from_file(str(directory / "tokenizer.json")), tokenizer
            )
        else:
            result[name] = small[source]
    return result


def _rows(small: Tensor, large: Tensor, old: Tokenizer, new: Tokenizer) -> Tensor:
    result = large.clone()
    for index in range(len(large)):
        token = new.id_to_token(index)
        assert token is not None
        known = old.token_to_id(token)
        pieces = [known] if known is not None else old.encode(new.decode([index])).ids
        result[index] = small[pieces].mean(0)
    return result
