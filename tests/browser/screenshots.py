"""Takes all pictures of the page that README and docs show: `python -m tests.browser.screenshots`.

They are taken of the app as it ships, with nano, and are to be looked at before they are committed.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import PIL.Image
from playwright.sync_api import sync_playwright

from qwen2vl_demo.engine import load_engine
from tests.browser.conftest import ARGS, CHROMIUM, DESKTOP, PHONE, App
from tests.browser.driver import Tab
from tests.browser.lens_driver import layer, open_tab, point, seen

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"


def box_and_attention(tab: Tab) -> None:
    example(tab, "A box")
    tab.page.locator("#where [data-part=words] button", has_text="cat").first.click()
    tab.page.wait_for_function("() => window.qwen2vl.lens.state.layer === 'attention'", timeout=60_000)
    tab.quiet()
    point(tab, 5, 5, (6, 9))  # the brightest


def rows(tab: Tab) -> None:
    example(tab, "A chart")
    layer(tab, "h")


def prompt(tab: Tab) -> None:
    example(tab, "Two pictures")
    open_tab(tab, "Prompt")


def variants(tab: Tab) -> None:
    example(tab, "A clip")
    open_tab(tab, "Variants")


def addresses(tab: Tab) -> None:
    lesson(tab, 6)
    tab.page.locator("#lesson button", has_text="Show me").click()


def merging(tab: Tab) -> None:
    """Half of the tokens are on their way."""
    lesson(tab, 4)
    tab.page.get_by_label("From the grid into the row").fill("0.5")


def side_by_side(tab: Tab) -> None:
    tab.page.goto(f"{tab.url}/?chat=where&tab=experiments")
    tab.count("#chat .user.message", 3)
    tab.page.locator("#compare-3 input").click()
    tab.page.get_by_role("option", name="the same position for the whole picture").click()
    tab.page.locator("#experiment-compare").click()
    found = tab.page.locator("#experiment-compare-found")
    found.get_by_text("The answer differs").wait_for()
    tab.quiet()
    found.evaluate("found => found.scrollIntoView({ block: 'end' })")


def lesson(tab: Tab, step: int) -> None:
    tab.page.goto(f"{tab.url}/?learn={step}&example=animals")
    tab.page.locator("#lesson .lesson-title").wait_for()
    tab.quiet()


def example(tab: Tab, name: str) -> None:
    """Asks one of the examples of the empty page, and waits for the answer."""
    tab.page.get_by_role("button", name=name).first.click()
    tab.idle()
    seen(tab, 2 if name == "Two pictures" else 1, draft=False)


@dataclass(frozen=True)
class Shot:
    """A picture of the page: where it goes, what is done before, and how the page is looked at."""

    path: Path
    steps: Callable[[Tab], None]
    view: dict[str, int]
    scheme: str = "light"


SHOTS = (
    Shot(ROOT / "assets" / "screenshot.png", box_and_attention, DESKTOP),
    Shot(IMAGES / "rows.png", rows, DESKTOP, "dark"),
    Shot(IMAGES / "prompt.png", prompt, DESKTOP),
    Shot(IMAGES / "variants.png", variants, DESKTOP),
    Shot(IMAGES / "experiments.png", side_by_side, DESKTOP),
    Shot(IMAGES / "lesson.png", addresses, DESKTOP),
    Shot(IMAGES / "lesson-phone.png", merging, PHONE),
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        app = App(load_engine("nano", device="cpu"), Path(folder), None)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        IMAGES.mkdir(exist_ok=True)
        for shot in SHOTS:
            context = browser.new_context(viewport=shot.view, color_scheme=shot.scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            context.set_default_timeout(60_000)
            tab = Tab(context.new_page(), app.url)
            tab.open()
            shot.steps(tab)
            tab.quiet(1000)
            taken = PIL.Image.open(io.BytesIO(tab.page.screenshot()))
            taken.convert("RGB").save(shot.path, optimize=True)
            print(f"{shot.path.relative_to(ROOT)}: {shot.path.stat().st_size / 1000:.0f} kB", flush=True)
            context.close()
        browser.close()
        app.stop()


if __name__ == "__main__":
    main()
