"""The row about the page: the time from Enter to the first visible update of the chat.

Measured with the clock of the page, in a Chromium, on the app with nano in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qwen2vl_demo.bench.measure import BenchRow, Series
from qwen2vl_demo.bench.packages import needed
from qwen2vl_demo.errors import UserError

CHROMIUM = os.environ.get("CHROMIUM_PATH", "/usr/bin/chromium")

# Measures from the key press to the first frame that is painted after the chat has changed.
WATCH = """() => {
  window.firstUpdate = new Promise(done => {
    let began = null;
    const seen = new MutationObserver(() => {
      if (began === null) return;
      seen.disconnect();
      const pressed = began;
      requestAnimationFrame(() => setTimeout(() => done(performance.now() - pressed), 0));
    });
    seen.observe(document.querySelector('#chat'), {childList: true, subtree: true, characterData: true});
    document.addEventListener('keydown', event => { if (event.key === 'Enter') began ??= event.timeStamp; },
      {capture: true, once: true});
  });
}"""


def first_update(rounds: int) -> Iterator[BenchRow]:
    """ui_first_update, in ms. Raises UserError without playwright or Chromium."""
    needed("playwright")
    times: list[float] = []
    with app("--model", "nano") as url, browser("ui_first_update") as chromium:
        page = chromium.new_page(viewport={"width": 1440, "height": 900})
        page.goto(url)
        box = page.locator("#composer textarea")
        box.wait_for()
        page.wait_for_timeout(1500)
        for turn in range(rounds + 1):
            box.fill("How many shapes are there?")
            page.evaluate(WATCH)
            box.press("Enter")
            took = float(page.evaluate("() => window.firstUpdate"))
            times += [took] if turn else []  # the first one warms up
            page.locator("#composer").get_by_role("button", name="Submit").wait_for(timeout=120_000)
            page.wait_for_timeout(500)
        answers = page.locator("#chat [data-testid=bot]").count()
    if answers != rounds + 1:
        raise UserError(
            f"The page showed {answers} answers to {rounds + 1} questions, so its speed cannot be measured."
        )
    check = f"{answers} questions, {answers} answers"
    yield BenchRow("ui_first_update", Series(tuple(times)), None, 150.0, "ms", "Enter to the first frame, nano", check)


@contextmanager
def browser(row: str) -> Iterator[Any]:
    """A Chromium for the row `row`. Raises UserError if there is none."""
    from playwright.sync_api import sync_playwright

    if not Path(CHROMIUM).exists():
        raise UserError(f"There is no Chromium at {CHROMIUM} for the row {row}; set CHROMIUM_PATH.")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@contextmanager
def app(*flags: str) -> Iterator[str]:
    """Starts `serve` with these flags on a free port and yields its address."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-u", "-m", "qwen2vl_demo", "serve", *flags, "--data-dir", folder]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            for line in server.stdout:
                if line.startswith("Open "):
                    yield line.split()[1]
                    break
            else:
                raise UserError("The page did not start; run python -m qwen2vl_demo serve to see why.")
        finally:
            server.terminate()
            server.wait(timeout=30)
