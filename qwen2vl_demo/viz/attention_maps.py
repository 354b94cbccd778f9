"""Where a word looked, as maps over the pictures and as shares of the whole: arrays in, arrays and plain words out.

Attention sums to one over the sequence, in each head of each layer and in any mean of them. What is drawn is a medium's
part of it, cell by cell, in the raster order of its merged grid. Knows numpy only.

A choice of layer and head is `(layer, head)`: (None, None) is the mean over all, (3, None) the mean over the heads of
layer 3, (3, 5) one head. Heads of the same number in different layers have nothing in common, so there is no mean
over layers of one head.

Axes: S places of the sequence, T H W a medium's merged grid.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from qwen2vl_demo.attention_trace import AttentionTrace

Choice = tuple[int | None, int | None]

AVERAGE: Choice = (None, None)
BUDGET = 150_000  # bytes of maps that travel at once; base64 makes them a third longer
CAVEAT = (
    "Read it with care. A head that needs nothing still has to put its attention somewhere, and parks it where it does "
    "no harm: large models put much of it on the first token whatever is asked, and some on single cells of plain "
    "background (attention sinks). And attention is not an explanation: it shows from where a layer fetched something, "
    "not what that was or what became of it. Single heads do different things, which an average hides."
)
WHOSE = (
    "A token is chosen at the place before it, so this is the attention of the query that produced the word, "
    "not of the word itself."
)


@dataclass(frozen=True)
class Shares:
    """Where the attention went; everything together is one."""

    media: tuple[float, ...]  # each picture or clip
    first: float  # the first token of the sequence
    text: float  # the other tokens of the prompt
    answer: float  # the tokens of the answer before the word

    @property
    def pictures(self) -> float:
        return sum(self.media)


def weights(trace: AttentionTrace, choice: Choice = AVERAGE) -> np.ndarray:
    """The attention over the whole sequence, (S,) float32, which sums to one. Raises IndexError for no such head."""
    layer, head = choice
    if layer is None:
        if head is not None:
            raise ValueError("a head belongs to a layer: choose the layer too")
        return trace.weights.mean(axis=(0, 1))
    return trace.weights[layer].mean(axis=0) if head is None else trace.weights[layer, head]


def shares(trace: AttentionTrace, choice: Choice = AVERAGE) -> Shares:
    row = weights(trace, choice)
    media = tuple(float(row[slice(*m.span)].sum(dtype=np.float64)) for m in trace.prompt.media)
    first, prompt = float(row[0]), float(row[: len(trace.prompt)].sum(dtype=np.float64))
    total = float(row.sum(dtype=np.float64))
    return Shares(media, first, max(0.0, prompt - first - sum(media)), max(0.0, total - prompt))


def cells(trace: AttentionTrace, medium: int, choice: Choice = AVERAGE) -> np.ndarray:
    """The attention on each merged token of one medium, (T, H, W) float32."""
    of = trace.prompt.media[medium]
    return weights(trace, choice)[slice(*of.span)].reshape(of.merged_grid)


@dataclass(frozen=True, eq=False)
class ByteGrid:
    """Cells as bytes: the attention is `values / 255 * top`, exact to half a step."""

    values: np.ndarray  # uint8
    top: float  # the strongest cell

    @classmethod
    def of(cls, values: np.ndarray) -> ByteGrid:
        top = float(values.max(initial=0.0))
        scaled = values * (255 / top) if top > 0 else np.zeros_like(values)
        return cls(np.rint(scaled).astype(np.uint8), top)


def page_data(trace: AttentionTrace, choice: Choice = AVERAGE, budget: int = BUDGET) -> dict[str, Any]:
    """What a page needs to draw the chosen map, and to switch to others without asking again; JSON-ready.

    `maps` holds bytes over the cells of all media, one after the other, by name ("all", "3", "3.5"), each scaled to its
    own strongest cell `top`. The chosen one is always there; then the means, the heads of the chosen layer, and the
    heads of all layers, each only if all of its kind fit into `budget` bytes. `shares` holds
    [each medium ..., first token, other prompt, answer] for every name there is.
    """
    grids = [list(m.merged_grid) for m in trace.prompt.media]
    size = sum(t * h * w for t, h, w in grids)
    groups: list[list[Choice]] = [
        [choice],
        [AVERAGE],
        [(layer, None) for layer in range(trace.layers)],
        [(choice[0], head) for head in range(trace.heads)] if choice[0] is not None else [],
        [(layer, head) for layer in range(trace.layers) for head in range(trace.heads)],
    ]
    chosen: dict[str, Choice] = {}
    for group in groups:
        new = {name_of(c): c for c in group if name_of(c) not in chosen}
        if not chosen or (len(chosen) + len(new)) * size <= budget:
            chosen |= new
    return {
        "word": trace.word.text,
        "tokens": trace.word.end - trace.word.start,
        "layers": trace.layers,
        "heads": trace.heads,
        "grids": grids,
        "kinds": [m.kind for m in trace.prompt.media],
        "maps": {name: _map(trace, c) for name, c in chosen.items()},
        "shares": {name_of(c): _rounded(shares(trace, c)) for c in choices(trace)},
        "chosen": name_of(choice),
        "exact": trace.exact_tokens,
        "seconds": round(trace.seconds, 4),
        "computed": trace.computed_tokens,
        "bytes": trace.weights.nbytes,
    }


def choices(trace: AttentionTrace) -> Iterator[Choice]:
    """Every choice of layer and head that there is."""
    yield AVERAGE
    for layer in range(trace.layers):
        yield layer, None
        for head in range(trace.heads):
            yield layer, head


def name_of(choice: Choice) -> str:
    """ "all", "3" or "3.5" """
    return ".".join(str(part) for part in choice if part is not None) or "all"


def choice_of(name: str) -> Choice:
    """The inverse of `name_of`. Raises ValueError for what is no such name."""
    if name == "all":
        return AVERAGE
    layer, dot, head = name.partition(".")
    if not layer.isdecimal() or (dot and not head.isdecimal()):
        raise ValueError(f"{name!r} names no layer or head")
    return int(layer), int(head) if dot else None


def _map(trace: AttentionTrace, choice: Choice) -> dict[str, Any]:
    row = weights(trace, choice)
    every = [row[slice(*m.span)] for m in trace.prompt.media]
    grid = ByteGrid.of(np.concatenate([np.empty(0, np.float32), *every]))
    return {"top": float(f"{grid.top:.6g}"), "data": base64.b64encode(grid.values.tobytes()).decode("ascii")}


def _rounded(found: Shares) -> list[float]:
    return [round(value, 5) for value in (*found.media, found.first, found.text, found.answer)]
