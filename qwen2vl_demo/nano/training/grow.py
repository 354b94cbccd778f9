"""Initialise a larger nano with the weights of a smaller one, so that it computes the same function at first.

The number of layers and blocks may grow, and the vocabulary may grow and change its ids. New blocks are inserted before
the last one of each transformer and start as the identity: their output projections are zero.

The width of the vision transformer may double: every channel gets a twin, which leaves means and variances of a row as
they were, and what reads both takes half of each. Opposite noise on the two halves, which cancels out as long as twins
are equal, lets them become different.
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

TWIN_NOISE = 0.7  # of the weights' standard deviation


def grow_weights(
    small: dict[str, Tensor], large: dict[str, Tensor], directory: Path, tokenizer: Tokenizer
) -> dict[str, Tensor]:
    """A state dict like `large`, filled from `small`, the state dict of the checkpoint in `directory`.

    The old tokenizer is read from `directory`. A token that it lacks starts as the mean of the embeddings of the old
    tokens that spell it.
    """
    if small["visual.merger.ln_q.weight"].shape != large["visual.merger.ln_q.weight"].shape:
        small = small | doubled_vision(small)
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


def doubled_vision(state: dict[str, Tensor], noise: float = TWIN_NOISE) -> dict[str, Tensor]:
    """The weights of a vision transformer twice as wide, which computes the same."""
    result = {}
    generator = torch.Generator().manual_seed(0)
    for name, weight in state.items():
        if not name.startswith("visual."):
            continue
        if name == "visual.merger.mlp.2.bias":  # the merged tokens keep their width
            result[name] = weight
        elif weight.ndim == 1 or "patch_embed" in name:
            # qkv is three parts, each of which has twins of its own
            parts = weight.chunk(3 if "qkv" in name else 1)
            result[name] = torch.cat([part.repeat(2, *[1] * (weight.ndim - 1)) for part in parts])
        else:
            patches = 4 if name == "visual.merger.mlp.0.weight" else 1  # whose channels lie side by side
            halves = weight.unflatten(1, (patches, -1)) / 2  # (O, patches, I)
            difference = torch.randn(halves.shape, generator=generator) * halves.std() * noise
            wide = torch.cat([halves + difference, halves - difference], 2).flatten(1)  # (O, 2 I)
            outputs = wide.chunk(3 if "qkv" in name else 1)
            result[name] = wide if "mlp.2" in name else torch.cat([part.repeat(2, 1) for part in outputs])
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
