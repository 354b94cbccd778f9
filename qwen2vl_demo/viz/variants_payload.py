"""The JSON from which the page draws one prompt's positions under every variant (ui/static/variants.js).

A run of tokens takes a few numbers, however many tokens it has, so a prompt of 16,000 tokens takes some kilobytes.

    {"length": int, "tokens": [piece or [piece, times], ...],   of the prompt itself, as in lens_payload.py
     "media": [{"name", "kind", "start", "grid": [t, h, w]}, ...],
     "pairs": [[words, first, second], ...],                    tokens that are worth comparing
     "frequencies": [radians per position, ...],
     "variants": [{"key", "name", "layout", "allotment", "source", "note", "live",
                   "axes": [0, 1, 2 or -1, ...],                of each frequency pair; -1: the position is shared
                   "length": int, "following": number,
                   "runs": [{"grid", "medium", "step", "token", "origins": [[t, h, w], ...], "down", "right"}, ...]},
                  ...]}

The fields of a run are those of `positions.layouts.Placed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qwen2vl_demo.positions.layouts import Laid, Placed
from qwen2vl_demo.positions.prompts import qwen3_grid
from qwen2vl_demo.positions.variants import VARIANTS, Variant
from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.viz.bands import Rope
from qwen2vl_demo.viz.lens_payload import grouped


def variants_payload(trace: PromptTrace, rope: Rope, pairs: Sequence[tuple[str, int, int]] = ()) -> dict[str, Any]:
    """The payload of a prompt, for a checkpoint's rotary embeddings. `pairs` are tokens with words about them."""
    return {
        "length": len(trace),
        "tokens": grouped(trace.tokens),
        "media": [
            {"name": m.name, "kind": m.kind, "start": m.span[0], "grid": list(m.merged_grid)} for m in trace.media
        ],
        "pairs": [list(pair) for pair in pairs],
        "frequencies": rope.frequencies.tolist(),
        "variants": [_variant(variant, trace, rope) for variant in VARIANTS],
    }


def _variant(variant: Variant, trace: PromptTrace, rope: Rope) -> dict[str, Any]:
    laid = variant.lay_out(trace)
    return {
        "key": variant.key,
        "name": variant.name,
        "layout": variant.layout_words,
        "allotment": variant.allotment_words,
        "source": variant.source,
        "note": _grid_words(trace, laid) if variant.key == "qwen3" else "",
        "live": variant.live,
        "axes": variant.allotment(rope.sections).tolist(),
        "length": laid.length,
        "following": laid.following,
        "runs": [_run(placed) for placed in laid.runs],
    }


def _run(placed: Placed) -> dict[str, Any]:
    run = placed.run
    return {
        "grid": list(run.grid),
        "medium": run.medium,
        "step": run.step,
        "token": run.token,
        "origins": placed.origins.tolist(),
        "down": list(placed.down),
        "right": list(placed.right),
    }


def _grid_words(trace: PromptTrace, laid: Laid) -> str:
    """How Qwen3-VL's tokens of this prompt differ from those of Qwen2-VL."""
    if not trace.media:
        return ""
    medium = trace.media[-1]
    (rows, columns), (_, here_rows, here_columns) = qwen3_grid(medium), medium.merged_grid
    what = "Each step of the clip" if medium.kind == "video" else "The picture"
    runs = [placed.run for placed in laid.runs]
    stamps = sum(run.length for run in runs if run.medium is None and run.token is None)
    written = f" Time stamps and their markers add {stamps:,} tokens of text." if stamps else ""
    return (
        f"{what} on its own grid, within the same limits in pixels: {rows}x{columns} tokens of 32 px instead of "
        f"{here_rows}x{here_columns} of 28 px.{written}"
    )
