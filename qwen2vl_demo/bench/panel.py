"""The rows about the panel: time from an upload to its drawing, smoothness while pointing, and bytes transferred.

Measured with the clock of the page, in a Chromium, on the app without weights in a process of its own. Each round
attaches another photograph of 1568x1568 px (3,136 merged tokens), so that neither the app nor the browser has anything
of it cached.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from qwen2vl_demo.bench.first_update import app, browser
from qwen2vl_demo.bench.measure import BenchRow, Series
from qwen2vl_demo.bench.packages import needed
from qwen2vl_demo.errors import UserError

SIDE, TOKENS = 1568, (1568 // 28) ** 2
FRAMES = 120  # per round, in which the pointer moves

# Measures from the choice of a file to the first frame that is painted with its picture and all its tokens.
UPLOAD = """tokens => {
  const lens = window.qwen2vl.lens, before = lens.state.data?.key;
  window.panelDrawn = new Promise(done => document.addEventListener('change', event => {
    if (event.target.type !== 'file') return;
    const chosen = performance.now();
    const check = () => {
      const data = lens.state.data, picture = data?.media[0]?.picture;
      const there = data && data.key !== before && data.media[0]?.merged_tokens === tokens && picture?.complete;
      if (!there) return requestAnimationFrame(check);
      // One frame to draw what was loaded, one to see it painted.
      requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => done(performance.now() - chosen), 0)));
    };
    check();
  }, {capture: true, once: true}));
}"""

# Points at another cell in each frame and returns the duration of each frame in ms.
HOVER = """async frames => {
  const canvas = document.querySelector('#lens-picture .lens-stage canvas'), box = canvas.getBoundingClientRect();
  const spans = [];
  let last = await new Promise(requestAnimationFrame);
  for (let i = 0; i < frames; i++) {
    const clientX = box.left + box.width * (.5 + .48 * Math.sin(i / 7));
    const clientY = box.top + box.height * (.5 + .48 * Math.cos(i / 5));
    canvas.dispatchEvent(new PointerEvent('pointermove', {bubbles: true, pointerId: 1, pointerType: 'mouse', clientX, clientY}));
    const now = await new Promise(requestAnimationFrame);
    spans.push(now - last);
    last = now;
  }
  return spans;
}"""  # noqa: E501


def panel(rounds: int) -> Iterator[BenchRow]:
    """panel_drawn and panel_hover_frame in ms, panel_bytes in kB.

    Raises UserError without playwright, scikit-image or Chromium, and if pointing makes a request.
    """
    needed("playwright")
    data = needed("skimage.data")
    drawn, frames, sent = [], [], []
    with tempfile.TemporaryDirectory() as folder, app("--model", "none") as url, browser("panel_drawn") as chromium:
        photographs = [_photograph(data.astronaut(), Path(folder), number) for number in range(rounds + 1)]
        page = chromium.new_page(viewport={"width": 1440, "height": 900})
        network = _Network(page)
        page.goto(url)
        page.locator("#composer textarea").wait_for()
        page.wait_for_timeout(1500)
        for number, file in enumerate(photographs):
            network.events = 0
            page.evaluate(UPLOAD, TOKENS)
            page.locator("#composer input[type=file]").set_input_files(str(file))
            took = float(page.evaluate("() => window.panelDrawn"))
            sent_bytes = network.events
            page.wait_for_timeout(1500)  # for requests that follow by themselves
            network.requests = 0
            spans = page.evaluate(HOVER, FRAMES)
            if network.requests:
                raise UserError(f"Pointing at the panel made {network.requests} requests; it must make none.")
            if number:  # the first one warms up
                drawn.append(took)
                frames.append(statistics.median(spans))
                sent.append(sent_bytes / 1000)
            page.locator("#composer .thumbnail-item button").first.click()
            page.wait_for_function("() => !window.qwen2vl.lens.state.data")
    check = f"{rounds} photograph{'s' if rounds > 1 else ''}, {TOKENS} tokens each, no request while pointing"
    photograph = f"{SIDE}x{SIDE} photograph"
    yield BenchRow("panel_drawn", Series(tuple(drawn)), None, 1000.0, "ms", f"{photograph}, upload to panel", check)
    yield BenchRow("panel_hover_frame", Series(tuple(frames)), None, 20.0, "ms", f"pointing at {TOKENS} tokens", check)
    yield BenchRow("panel_bytes", Series(tuple(sent)), None, 500.0, "kB", f"{photograph}, sent for the panel", check)


class _Network:
    """Counts the requests of a page, and the bytes of the server's events and API responses.

    Files are left out: they are the picture itself, which the composer shows.
    """

    def __init__(self, page: Any) -> None:
        self.events = self.requests = 0
        self._api: set[str] = set()
        session = page.context.new_cdp_session(page)
        session.on("Network.requestWillBeSent", self._on_request)
        session.on("Network.dataReceived", self._on_data)
        session.send("Network.enable")

    def _on_request(self, event: dict[str, Any]) -> None:
        address = event["request"]["url"]
        if address.startswith(("data:", "blob:")):
            return
        self.requests += 1
        if "/gradio_api/" in address and "/file=" not in address:
            self._api.add(event["requestId"])

    def _on_data(self, event: dict[str, Any]) -> None:
        if event["requestId"] in self._api:
            self.events += event["dataLength"]


def _photograph(pixels: np.ndarray, folder: Path, number: int) -> Path:
    """scikit-image's astronaut scaled up and shifted, so that no two photographs are equal."""
    picture = PIL.Image.fromarray(np.roll(pixels, 16 * number, axis=1))
    file = folder / f"photograph-{number}.jpg"
    picture.resize((SIDE, SIDE), PIL.Image.Resampling.BICUBIC).save(file, quality=92)
    return file
