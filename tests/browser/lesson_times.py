"""How long each step of the lesson takes to be drawn: `python -m tests.browser.lesson_times [PICTURE ...]`.

Prints the milliseconds from the step's being asked for until its picture has been painted, the median of three, with
the prepared picture and with each one that is named, on the fake engine in a headless Chromium.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import ARGS, CHROMIUM, DESKTOP, PHONE, App
from tests.fake_engine import FakeEngine

TIMES = 3
SETTLED = 4_000  # ms until a new page has restored its chat
DRAWN = """step => new Promise(done => {
  const began = performance.now();
  qwen2vl.lesson.go(step);
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
})"""


def measure(page: Page) -> list[float]:
    """Milliseconds of each of the eight steps."""
    medians = []
    for step in range(8):
        times = []
        for _ in range(TIMES):
            page.evaluate("step => qwen2vl.lesson.go(step)", (step + 1) % 8)
            times.append(float(page.evaluate(DRAWN, step)))
        medians.append(statistics.median(times))
    return medians


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path, nargs="*")
    pictures = parser.parse_args().picture
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        app = App(FakeEngine(), Path(folder), [])
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        for view in (DESKTOP, PHONE):
            for picture in (None, *pictures):
                page = browser.new_page(viewport=view)  # type: ignore[arg-type]
                page.goto(f"{app.url}/?learn=1&example=animals")
                page.locator(".lesson-title").wait_for()
                page.wait_for_timeout(SETTLED)
                if picture:
                    page.locator(".lesson-file").set_input_files(picture)
                    page.wait_for_function("() => qwen2vl.lesson.subject().key === 'own'")
                times = " ".join(f"{time:5.0f}" for time in measure(page))
                print(f"{view['width']:>5} px  {picture.name if picture else 'prepared':<20} {times} ms", flush=True)
                page.close()
        browser.close()
        app.stop()


if __name__ == "__main__":
    main()
