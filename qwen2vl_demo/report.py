"""`inspect --html`: one page that needs nothing but itself, with the resized pictures, their grid and their numbers.

Pure: a trace and its pixels in, HTML out. Opens no file and knows no model. All text that comes from outside (file
names) is escaped; the page has no script and asks no server for anything.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
import PIL.Image

from qwen2vl_demo.geometry import FACTOR, TEMPORAL_PATCH_SIZE
from qwen2vl_demo.trace import MediaTrace, PromptTrace

SHOWN_SIDE = 1280  # px, the longer side of a picture as it is put into the page; its grid is drawn over it exactly
SHOWN_PAIRS = 12  # pairs of frames of a clip that are shown

_STYLE = """
:root { color-scheme: light dark; --ink: light-dark(#1c2430, #e6e9ef); --soft: light-dark(#5b6675, #9aa5b5);
  --paper: light-dark(#fbfaf7, #14171c); --card: light-dark(#ffffff, #1c2128); --rule: light-dark(#e3e0d8, #2d343e);
  --accent: light-dark(#0b6e69, #4cc2b8); }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 70rem; color: var(--ink); background: var(--paper);
  font: 16px/1.55 system-ui, "Segoe UI", sans-serif; font-variant-numeric: tabular-nums; }
h1 { margin: 0 0 .25rem; font-size: 1.7rem; letter-spacing: -.01em; }
h2 { margin: 0 0 1rem; font-size: 1.15rem; overflow-wrap: anywhere; }
h2 span { color: var(--soft); font-weight: 400; }
.lead { margin: 0 0 2rem; color: var(--soft); }
section { margin: 0 0 1.5rem; padding: 1.25rem; background: var(--card); border: 1px solid var(--rule);
  border-radius: 12px; }
.medium { display: grid; gap: 1.25rem; grid-template-columns: minmax(0, 1.6fr) minmax(15rem, 1fr); align-items: start; }
@media (max-width: 44rem) { .medium { grid-template-columns: minmax(0, 1fr); } }
figure { margin: 0; }
.frames { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); }
.picture { position: relative; line-height: 0; }
.picture img, .picture svg { width: 100%; height: auto; border-radius: 4px; }
.picture svg { position: absolute; inset: 0; height: 100%; }
.picture .dark { stroke: #000; stroke-opacity: .55; } .picture .light { stroke: #fff; stroke-opacity: .8; }
.picture path { fill: none; stroke-width: 1px; vector-effect: non-scaling-stroke; }
figcaption { margin-top: .4rem; color: var(--soft); font-size: .875rem; }
label { display: inline-flex; gap: .4rem; margin-bottom: .6rem; color: var(--soft); font-size: .875rem; }
section:has(.grid:not(:checked)) svg { visibility: hidden; }
table { width: 100%; border-collapse: collapse; font-size: .95rem; }
th, td { padding: .4rem 0; border-top: 1px solid var(--rule); text-align: left; vertical-align: top; font-weight: 400; }
tr:first-child > * { border-top: 0; }
th { color: var(--soft); padding-right: 1rem; } td { text-align: right; }
tr.big td { color: var(--accent); font-weight: 650; }
"""


def report_page(trace: PromptTrace, frames: Sequence[np.ndarray]) -> str:
    """The whole page. `frames` holds the resized pixels (n, H, W, 3) uint8 of each of `trace.media`, in order."""
    sections = "".join(
        _section(index, medium, pixels) for index, (medium, pixels) in enumerate(zip(trace.media, frames, strict=True))
    )
    vision = sum(medium.merged_tokens for medium in trace.media)
    prompt = _table(
        [
            ("Tokens in all", f"{len(trace):,}", True),
            ("for pictures and videos", f"{vision:,}", False),
            ("for words and marks", f"{len(trace) - vision:,}", False),
            ("Largest position", f"{int(trace.position_ids.max()):,}", False),
            ("rope_delta", f"{trace.rope_delta:,}", False),
        ]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>What Qwen2-VL sees</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        '<h1>What Qwen2-VL sees</h1>\n<p class="lead">Pictures are resized so that both sides are multiples of '
        f"{FACTOR} pixels. Each square of the grid is 2 × 2 patches and becomes one token. Sizes are height × "
        "width.</p>\n"
        f"{sections}<section>\n<h2>The prompt</h2>\n{prompt}</section>\n</body>\n</html>\n"
    )


def _section(index: int, medium: MediaTrace, frames: np.ndarray) -> str:
    toggle = '<label><input type="checkbox" class="grid" checked>Show the grid</label>'
    name = f"<h2>{escape(medium.name)} <span>{escape(medium.kind)}</span></h2>"
    return (
        f'<section>\n{name}\n<div class="medium">\n<div>{toggle}{_pictures(index, medium, frames)}</div>\n'
        f"{_table(_numbers(medium))}</div>\n</section>\n"
    )


def _numbers(medium: MediaTrace) -> list[tuple[str, str, bool]]:
    (height, width), (new_height, new_width) = medium.original_size, medium.resized_size
    t, h, w = medium.grid_thw
    merged_t, merged_h, merged_w = medium.merged_grid
    rows = [
        ("Original", f"{height:,} × {width:,} px", False),
        ("Resized", f"{new_height:,} × {new_width:,} px", False),
        ("Patches (t, h, w)", f"{t} × {h} × {w}", False),
        ("Merged tokens (t, h, w)", f"{merged_t} × {merged_h} × {merged_w}", False),
        ("Tokens in the prompt", f"{medium.merged_tokens:,}", True),
        ("Places in the prompt", f"{medium.span[0]:,} to {medium.span[1] - 1:,}", False),
        ("Pixel budget", f"{medium.min_pixels:,} to {medium.max_pixels:,}", False),
    ]
    if medium.kind == "video":
        rows.append(("Frames taken", f"{len(medium.frame_indices):,} of {medium.total_frames:,}", False))
    return rows


def _table(rows: Sequence[tuple[str, str, bool]]) -> str:
    cells = ""
    for label, value, big in rows:
        mark = ' class="big"' if big else ""
        cells += f'<tr{mark}><th scope="row">{escape(label)}</th><td>{escape(value)}</td></tr>\n'
    return f"<table>\n{cells}</table>\n"


def _pictures(index: int, medium: MediaTrace, frames: np.ndarray) -> str:
    if medium.kind == "image":
        return _figure(f"grid{index}", medium, frames[0], "")
    pairs = range(0, len(frames), TEMPORAL_PATCH_SIZE)
    figures = "".join(
        _figure(f"grid{index}-{at}", medium, frames[at], _pair_caption(medium, at)) for at in pairs[:SHOWN_PAIRS]
    )
    more = f"<figcaption>and {len(pairs) - SHOWN_PAIRS} more pairs</figcaption>" if len(pairs) > SHOWN_PAIRS else ""
    return f'<div class="frames">{figures}</div>{more}'


def _pair_caption(medium: MediaTrace, at: int) -> str:
    seconds = [f"{s:.2f} s" for s in medium.timestamps[at : at + TEMPORAL_PATCH_SIZE]]
    return f"t = {at // TEMPORAL_PATCH_SIZE}: {' and '.join(seconds)}"


def _figure(grid: str, medium: MediaTrace, pixels: np.ndarray, caption: str) -> str:
    height, width = medium.resized_size
    line = f"M{FACTOR} 0H0V{FACTOR}"
    overlay = (
        f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true"><defs>'
        f'<pattern id="{grid}" width="{FACTOR}" height="{FACTOR}" patternUnits="userSpaceOnUse">'
        f'<path class="dark" d="{line}"/><path class="light" stroke-dasharray="3 3" d="{line}"/></pattern></defs>'
        f'<rect width="{width}" height="{height}" fill="url(#{grid})"/></svg>'
    )
    words = escape(f"{medium.name}, resized to {height} by {width} pixels", quote=True)
    text = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    picture = f'<img src="{_data_uri(pixels)}" width="{width}" height="{height}" alt="{words}">'
    return f'<figure><div class="picture">{picture}{overlay}</div>{text}</figure>'


def _data_uri(pixels: np.ndarray) -> str:
    picture = PIL.Image.fromarray(pixels)
    picture.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=85)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
