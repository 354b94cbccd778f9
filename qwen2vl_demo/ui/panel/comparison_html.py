"""The same picture at other models' resolutions, as HTML: side by side, of the same size, magnified together.

The pixels are really resampled (`viz.compare`) and travel as data URIs; the browser only enlarges them, so that a lost
pixel is seen to be lost. Pointing at one of them moves all. Every name of a file is escaped. Knows no gradio.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from html import escape

import numpy as np

from qwen2vl_demo.trace import MEDIA_NOUN, MediaTrace, PromptTrace
from qwen2vl_demo.ui.chat.conversation import count
from qwen2vl_demo.viz.data_uri import encode
from qwen2vl_demo.viz.other_models import Spend, at_resolution, busiest, compare_words, percent, spends

CHARS = {"224": 70_000, "336": 100_000, "tiles": 120_000, "qwen": 180_000}  # of each picture's data URI, at most
ZOOM = 3  # how much is magnified at first
KEPT = 8  # finished figures
MOST_BYTES = 128 * 2**20  # of pixels that wait to be asked for
GONE = '<div class="lens"><p class="lens-hint">This picture will be compared again after the next question.</p></div>'

# All views of the figure turn to the place under the pointer, or under the keys; no request.
SCRIPT = """
const at = (figure, x, y) => {
  figure.style.setProperty('--x', Math.min(1, Math.max(0, x)).toFixed(4));
  figure.style.setProperty('--y', Math.min(1, Math.max(0, y)).toFixed(4));
};
const value = (figure, name) => parseFloat(getComputedStyle(figure).getPropertyValue(name));
element.addEventListener('pointermove', event => {
  const view = event.target.closest('.cost-view');
  if (!view) return;
  const box = view.getBoundingClientRect();
  at(view.closest('.cost-views'), (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
});
element.addEventListener('keydown', event => {
  const figure = event.target.closest('.cost-views');
  const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
  if (!figure || !step || event.target.matches('input')) return;
  event.preventDefault();
  at(figure, value(figure, '--x') + step[0] * .04, value(figure, '--y') + step[1] * .04);
});
element.addEventListener('input', event => {
  const figure = event.target.closest('.cost-compare');
  if (figure) figure.querySelector('.cost-views').style.setProperty('--zoom', event.target.value);
});
"""


class Comparisons:
    """Pixels that may be asked for, and the figures made of them: both within a budget, the longest unused go first.

    Figures are named by content, so that a growing chat gets the same one again. Safe for several threads.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._pixels: OrderedDict[str, tuple[np.ndarray, np.ndarray | None]] = OrderedDict()
        self._figures: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def remember(self, medium: MediaTrace, resized: np.ndarray, original: np.ndarray | None) -> None:
        """`resized` (H, W, 3) is what Qwen2-VL got, `original` what came (perhaps shrunk; None: the same)."""
        key = _key(medium)
        with self._lock:
            if key in self._pixels:
                self._pixels.move_to_end(key)
                return
            self._pixels[key] = resized.copy(), original  # of a clip, one frame must not keep all the others
            while len(self._pixels) > 1 and sum(map(_bytes, self._pixels.values())) > self._most_bytes:
                self._pixels.popitem(last=False)

    def html(self, medium: MediaTrace) -> str:
        """The figure of what was remembered; a sentence if it was so long ago that it is gone."""
        key = _key(medium)
        with self._lock:
            figure, pixels = self._figures.get(key), self._pixels.get(key)
            if figure is not None:
                self._figures.move_to_end(key)
                return figure
        if pixels is None:
            return GONE
        figure = compare_html(medium, *pixels)
        with self._lock:
            self._figures[key] = figure
            while len(self._figures) > KEPT:
                self._figures.popitem(last=False)
        return figure


def _key(medium: MediaTrace) -> str:
    """Names a picture as it is shown: its pixels, its name, and what is said of it."""
    said = (medium.digest, medium.name, medium.original_size, medium.grid_thw, medium.max_pixels, medium.frame_indices)
    return hashlib.sha256(repr(said).encode()).hexdigest()


def _bytes(pixels: tuple[np.ndarray, np.ndarray | None]) -> int:
    return sum(p.nbytes for p in pixels if p is not None)


def compare_html(medium: MediaTrace, resized: np.ndarray, original: np.ndarray | None) -> str:
    """The figure of one picture, or of the first frame of a clip."""
    source = resized if original is None else original
    spent = spends(medium.original_size, medium.resized_size)
    views = "".join(_view(s, resized if s.rule.key == "qwen" else at_resolution(source, s), medium) for s in spent)
    x, y = busiest(source)
    clip = "" if medium.kind == "image" else " Shown is its first frame; the tokens are those of the whole clip."
    name = escape(medium.name)
    words = (
        compare_words(medium.original_size, spent, medium.max_pixels)
        if medium.kind == "image"
        else _clip_words(medium, spent)
    )
    rules = "".join(f"<dt>{escape(s.rule.name)}</dt><dd>{escape(s.rule.words)}</dd>" for s in spent)
    return (
        '<div class="lens cost cost-compare"><h4>The same picture elsewhere</h4>'
        f'<p class="lens-says">{escape(words)}{clip}</p>'
        f'<div class="cost-views" tabindex="0" role="group" aria-label="{name} at four resolutions, magnified '
        f'together; arrow keys move the place" style="--x:{x:.4f};--y:{y:.4f};--zoom:{ZOOM}">{views}</div>'
        '<label class="lens-check cost-zoom">Magnify <input type="range" min="1" max="10" step="0.5" '
        f'value="{ZOOM}" aria-label="Magnify all four"></label>'
        f'<details class="cost-rules"><summary>What each does</summary><dl class="lens-facts">{rules}</dl></details>'
        "</div>"
    )


def table_html(trace: PromptTrace) -> str:
    """Tokens of every picture and clip by every rule; "" for fewer than two."""
    if len(trace.media) < 2:
        return ""
    all_spent = [(m, spends(m.original_size, m.resized_size)) for m in trace.media]
    names = [s.rule.name for s in all_spent[0][1]]
    rows = "".join(
        f"<tr><th>{escape(m.name or MEDIA_NOUN[m.kind])}</th>{''.join(f'<td>{_tokens(s, m):,}</td>' for s in spent)}</tr>"
        for m, spent in all_spent
    )
    totals = "".join(f"<td>{sum(_tokens(spent[i], m) for m, spent in all_spent):,}</td>" for i in range(len(names)))
    heads = "".join(f"<th>{escape(name)}</th>" for name in names)
    return (
        '<div class="lens cost"><div class="cost-scroll"><table class="cost-table"><thead><tr><th>Tokens</th>'
        f"{heads}</tr></thead><tbody>{rows}<tr><th>together</th>{totals}</tr></tbody></table></div></div>"
    )


def _view(spent: Spend, pixels: np.ndarray, medium: MediaTrace) -> str:
    image = encode(pixels[None], CHARS[spent.rule.key])
    height, width = medium.original_size
    (h, w), tokens = spent.size, _tokens(spent, medium)
    kept = "every pixel" if spent.enlarged else f"{percent(spent.kept)} of the pixels"
    padding = f", {percent(spent.padding_tokens / spent.tokens)} of them padding" if spent.padding_tokens else ""
    alt = escape(f"{medium.name} at {w}x{h} pixels, as {spent.rule.name} gets it", quote=True)
    return (
        f'<figure class="cost-{spent.rule.key}"><div class="cost-view" style="aspect-ratio:{width}/{height}">'
        f'<img src="{image.uri}" alt="{alt}" draggable="false"></div>'
        f"<figcaption><b>{escape(spent.rule.name)}</b> {w}x{h} px, {kept}<br>"
        f"{count(tokens, 'token')}{padding}</figcaption></figure>"
    )


def _tokens(spent: Spend, medium: MediaTrace) -> int:
    """Of a whole clip, a frame costs the others a picture each; Qwen2-VL's are those that ran."""
    if spent.rule.key == "qwen":
        return medium.merged_tokens
    return spent.tokens * max(1, len(medium.frame_indices))


def _clip_words(medium: MediaTrace, spent: tuple[Spend, ...]) -> str:
    *others, ours = spent
    frames = len(medium.frame_indices)
    rest = ", ".join(f"{_tokens(s, medium):,} ({s.rule.name})" for s in others)
    return (
        f"Qwen2-VL fuses the {count(frames, 'frame')} of this clip in pairs and spends {_tokens(ours, medium):,} "
        f"tokens on it. A model that takes each frame as a picture spends {rest}."
    )
