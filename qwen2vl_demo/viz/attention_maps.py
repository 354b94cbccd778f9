"""The attention of one word of an answer as maps over the pictures and as shares of the whole.

Attention sums to one over the sequence, in each head of each layer and in any mean of them. A map is a medium's part of
it, one value for each merged token, in the raster order of its merged grid.

A `Selection` is `(layer, head)`: (None, None) is the mean over all, (3, None) the mean over the heads of
layer 3, (3, 5) one head. Heads of the same number in different layers have nothing in common, so there is no mean
over layers of one head.

Axes: S positions of the sequence, T H W a medium's merged grid.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from qwen2vl_demo.attention_trace import AttentionTrace

Selection = tuple[int | None, int | None]

AVERAGE: Selection = (None, None)
SINK = 4.0  # times an even share of the attention on the pictures, from which on a cell is called a sink
MAX_SINKS = 12  # that are told
BUDGET = 150_000  # bytes of maps in one payload, before base64
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
    """Shares of the attention; they sum to one."""

    media: tuple[float, ...]  # each picture or clip
    first: float  # the first token of the sequence
    text: float  # the other tokens of the prompt
    answer: float  # the tokens of the answer that precede the word

    @property
    def pictures(self) -> float:
        return sum(self.media)


def weights(trace: AttentionTrace, selection: Selection = AVERAGE) -> np.ndarray:
    """The attention over the whole sequence, (S,) float32. Raises IndexError if the layer or head does not exist."""
    layer, head = selection
    if layer is None:
        if head is not None:
            raise ValueError("a head belongs to a layer: choose the layer too")
        return trace.weights.mean(axis=(0, 1))
    return trace.weights[layer].mean(axis=0) if head is None else trace.weights[layer, head]


def shares(trace: AttentionTrace, selection: Selection = AVERAGE) -> Shares:
    row = weights(trace, selection)
    media = tuple(float(row[slice(*m.span)].sum(dtype=np.float64)) for m in trace.prompt.media)
    first, prompt = float(row[0]), float(row[: len(trace.prompt)].sum(dtype=np.float64))
    total = float(row.sum(dtype=np.float64))
    return Shares(media, first, max(0.0, prompt - first - sum(media)), max(0.0, total - prompt))


def cells(trace: AttentionTrace, medium: int, selection: Selection = AVERAGE) -> np.ndarray:
    """The attention on each merged token of a medium, (T, H, W) float32."""
    of = trace.prompt.media[medium]
    return weights(trace, selection)[slice(*of.span)].reshape(of.merged_grid)


@dataclass(frozen=True, eq=False)
class ByteGrid:
    """Attention quantised to bytes: `values / 255 * top`, exact to half a step."""

    values: np.ndarray  # uint8
    top: float  # the greatest value

    @classmethod
    def of(cls, values: np.ndarray) -> ByteGrid:
        top = float(values.max(initial=0.0))
        scaled = values * (255 / top) if top > 0 else np.zeros_like(values)
        return cls(np.rint(scaled).astype(np.uint8), top)


def attention_payload(trace: AttentionTrace, selection: Selection = AVERAGE, budget: int = BUDGET) -> dict[str, Any]:
    """The JSON that the page draws maps from; it holds other selections too, so that switching needs no request.

    `maps` holds, by name ("all", "3", "3.5"), the bytes of all media's cells one after the other, scaled to their
    greatest value `top`. The selected map is always included; then the mean over all, the means of the layers, the
    heads of the selected layer and the heads of all layers, each group only if it fits into `budget` bytes as a whole.
    `shares` holds [each medium ..., first token, other prompt, answer] for every selection.
    """
    grids = [list(m.merged_grid) for m in trace.prompt.media]
    size = sum(t * h * w for t, h, w in grids)
    groups: list[list[Selection]] = [
        [selection],
        [AVERAGE],
        [(layer, None) for layer in range(trace.layers)],
        [(selection[0], head) for head in range(trace.heads)] if selection[0] is not None else [],
        [(layer, head) for layer in range(trace.layers) for head in range(trace.heads)],
    ]
    chosen: dict[str, Selection] = {}
    for group in groups:
        new = {selection_name(c): c for c in group if selection_name(c) not in chosen}
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
        "shares": {selection_name(c): _rounded(shares(trace, c)) for c in selections(trace)},
        "chosen": selection_name(selection),
        "exact": trace.exact_tokens,
        "seconds": round(trace.seconds, 4),
        "computed": trace.computed_tokens,
        "bytes": trace.weights.nbytes,
    }


def neutral_payload(trace: AttentionTrace, neutral: AttentionTrace, names: Iterable[str]) -> dict[str, Any]:
    """What a word looked at beyond what a neutral question looks at in the same pictures; JSON-ready.

    `minus` holds, by the names of `maps` in `attention_payload`, the difference of two shares of the attention on all
    pictures, that of the word and that of `neutral`, where it is positive. `sinks` are the cells that draw many times
    an even share of both, in the mean of all layers and heads, the strongest first: [index among all media's cells,
    times of the neutral one]. Raises ValueError where the pictures are not cut alike.
    """
    if [m.merged_grid for m in trace.prompt.media] != [m.merged_grid for m in neutral.prompt.media]:
        raise ValueError("the two prompts do not have the same pictures")
    mine, theirs = _on_pictures(trace, AVERAGE), _on_pictures(neutral, AVERAGE)
    times = np.minimum(mine, theirs) * len(mine)
    order = [int(i) for i in np.argsort(-times, kind="stable")[:MAX_SINKS] if times[i] >= SINK]
    return {
        "minus": {name: _bytes(np.maximum(0, _difference(trace, neutral, parse_selection(name)))) for name in names},
        "sinks": [[i, round(float(theirs[i]) * len(theirs), 1)] for i in order],
    }


def _difference(trace: AttentionTrace, neutral: AttentionTrace, selection: Selection) -> np.ndarray:
    return _on_pictures(trace, selection) - _on_pictures(neutral, selection)


def _on_pictures(trace: AttentionTrace, selection: Selection) -> np.ndarray:
    """The attention on the cells of all media, as shares of their sum."""
    row = weights(trace, selection)
    every = np.concatenate([np.empty(0, np.float32), *(row[slice(*m.span)] for m in trace.prompt.media)])
    return every / max(float(every.sum()), 1e-12)


def selections(trace: AttentionTrace) -> Iterator[Selection]:
    """Every selection that the trace allows."""
    yield AVERAGE
    for layer in range(trace.layers):
        yield layer, None
        for head in range(trace.heads):
            yield layer, head


def selection_name(selection: Selection) -> str:
    """ "all", "3" or "3.5" """
    return ".".join(str(part) for part in selection if part is not None) or "all"


def parse_selection(name: str) -> Selection:
    """The inverse of `selection_name`. Raises ValueError for any other text."""
    if name == "all":
        return AVERAGE
    layer, dot, head = name.partition(".")
    if not layer.isdecimal() or (dot and not head.isdecimal()):
        raise ValueError(f"{name!r} names no layer or head")
    return int(layer), int(head) if dot else None


def _map(trace: AttentionTrace, selection: Selection) -> dict[str, Any]:
    row = weights(trace, selection)
    return _bytes(np.concatenate([np.empty(0, np.float32), *(row[slice(*m.span)] for m in trace.prompt.media)]))


def _bytes(values: np.ndarray) -> dict[str, Any]:
    grid = ByteGrid.of(values)
    return {"top": float(f"{grid.top:.6g}"), "data": base64.b64encode(grid.values.tobytes()).decode("ascii")}


def _rounded(found: Shares) -> list[float]:
    return [round(value, 5) for value in (*found.media, found.first, found.text, found.answer)]
