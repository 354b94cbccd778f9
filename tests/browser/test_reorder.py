"""The files in the composer are put into another order before they are sent (ui/static/reorder.js)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import PHONE, App, Visits
from tests.browser.driver import Tab

pytestmark = pytest.mark.slow


def grip(tab: Tab, name: str) -> Locator:
    return tab.page.get_by_role("button", name=re.compile(f"^Move {re.escape(name)}"))


class Fingers:
    """Touches a page as a touchscreen does. A finger is named by a number."""

    def __init__(self, tab: Tab) -> None:
        self._devtools = tab.page.context.new_cdp_session(tab.page)
        self._down: dict[int, tuple[float, float]] = {}

    def _send(self, kind: str) -> None:
        points = [{"id": finger, "x": x, "y": y} for finger, (x, y) in self._down.items()]
        self._devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def press(self, at: tuple[float, float], finger: int = 0) -> None:
        self._down[finger] = at
        self._send("touchStart")

    def move(self, to: tuple[float, float], finger: int = 0, steps: int = 5) -> None:
        x, y = self._down[finger]
        for step in range(1, steps + 1):
            self._down[finger] = (x + (to[0] - x) * step / steps, y + (to[1] - y) * step / steps)
            self._send("touchMove")

    def lift(self, finger: int = 0) -> None:
        del self._down[finger]
        self._send("touchMove" if self._down else "touchEnd")  # a point that is missing is one that was lifted

    def cancel(self) -> None:
        """The system takes the touches away: a call comes in."""
        self._down.clear()
        self._devtools.send("Input.dispatchTouchEvent", {"type": "touchCancel", "touchPoints": []})


def middle(locator: Locator) -> tuple[float, float]:
    box = locator.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_files_change_places_by_mouse_and_by_keyboard_and_reach_the_prompt_in_that_order(
    fake: Tab, fake_app: App, material: Path
) -> None:
    fake.attach(material / "cat.png")
    expect(fake.page.locator("#composer .grip")).to_have_count(0)  # there is nothing to order
    fake.attach(material / "dog.jpg", material / "clip.mp4")
    expect(fake.page.locator("#composer .about b")).to_have_text(["cat.png", "dog.jpg", "clip.mp4"])
    fake.quiet()
    fake.text.fill("Half a")

    # The arrow keys, while the handle keeps the focus.
    grip(fake, "clip.mp4, 3 of 3").focus()
    fake.page.keyboard.press("ArrowLeft")
    expect(fake.page.locator("#composer .about b")).to_have_text(["cat.png", "clip.mp4", "dog.jpg"])
    expect(grip(fake, "clip.mp4, 2 of 3")).to_be_focused()
    expect(fake.page.locator("#reordered")).to_have_text("clip.mp4 is now 2 of 3.")
    fake.quiet(100)
    fake.page.keyboard.press("Home")
    expect(fake.page.locator("#composer .about b")).to_have_text(["clip.mp4", "cat.png", "dog.jpg"])
    fake.quiet(100)

    # The mouse: the last one by its name to the first place.
    dog, clip = (fake.attached.nth(place).bounding_box() for place in (2, 0))
    assert dog is not None and clip is not None
    fake.page.mouse.move(dog["x"] + dog["width"] / 2, dog["y"] + dog["height"] / 2)
    fake.page.mouse.down()
    fake.page.mouse.move(clip["x"] + clip["width"] / 2, clip["y"] + clip["height"] / 2, steps=4)
    expect(fake.attached.nth(0)).to_have_class(re.compile("drop-before"))
    fake.page.mouse.up()
    expect(fake.page.locator("#composer .about b")).to_have_text(["dog.jpg", "clip.mp4", "cat.png"])
    sources = fake.page.locator("#composer .thumbnail-item > :is(img.thumbnail-image, .poster)")
    expect(sources.first).to_have_attribute("src", re.compile("dog"))
    fake.quiet(100)
    expect(fake.text).to_have_value("Half a")  # what is typed stays

    # The panel shows them in this order before they are sent, and the model gets them in it.
    fake.text.press_sequentially(" question")
    fake.send()
    fake.idle()
    messages, _ = fake_app.engine.heard[-1]
    assert [part.name for part in messages[-1].parts if hasattr(part, "name")] == ["dog.jpg", "clip.mp4", "cat.png"]
    assert messages[-1].text == "Half a question"


@pytest.mark.slow
def test_a_finger_moves_a_file_by_its_handle_and_scrolls_with_the_rest(
    fake_app: App, visit: Visits, material: Path
) -> None:
    tab = visit(fake_app, viewport=PHONE, has_touch=True)
    tab.attach(material / "cat.png", material / "dog.jpg", material / "clip.mp4")
    names = tab.page.locator("#composer .about b")
    expect(names).to_have_text(["cat.png", "dog.jpg", "clip.mp4"])
    tab.quiet()
    sizes = tab.page.locator("#composer .grip").evaluate_all(
        "all => all.map(grip => { const box = grip.getBoundingClientRect(); return [box.width, box.height]; })"
    )
    assert len(sizes) == 3 and all(min(size) >= 24 for size in sizes), sizes
    fingers, dialog = Fingers(tab), tab.page.locator("dialog[open]")
    scrolled = "() => [scrollY, document.querySelector('#composer .thumbnails')?.scrollLeft || 0].join()"
    before = tab.page.evaluate(scrolled)

    # By its handle, from the last place to the first; the page stays where it is.
    fingers.press(middle(grip(tab, "clip.mp4")))
    fingers.move(middle(tab.attached.nth(0)))
    expect(tab.attached.nth(0)).to_have_class(re.compile("drop-before"))
    expect(tab.attached.nth(2)).to_have_class(re.compile("dragged"))
    assert tab.page.evaluate(scrolled) == before
    fingers.lift()
    expect(names).to_have_text(["clip.mp4", "cat.png", "dog.jpg"])
    expect(tab.page.locator("#reordered")).to_have_text("clip.mp4 is now 1 of 3.")
    expect(tab.page.locator("#composer .dragged, #composer .drop-before")).to_have_count(0)
    tab.quiet(100)

    # A second finger neither takes the file over nor drops it.
    fingers.press(middle(grip(tab, "clip.mp4")))
    fingers.move(middle(tab.attached.nth(1)))
    expect(tab.attached.nth(1)).to_have_class(re.compile("drop-after"))
    fingers.press((200, 200), finger=1)
    fingers.move((210, 260), finger=1)
    fingers.lift(finger=1)
    expect(tab.attached.nth(1)).to_have_class(re.compile("drop-after"))
    fingers.lift()
    expect(names).to_have_text(["cat.png", "clip.mp4", "dog.jpg"])
    tab.quiet(100)

    # What the system takes away stays where it was; a tap on a handle, and a swipe over the tile, move nothing.
    fingers.press(middle(grip(tab, "dog.jpg")))
    fingers.move(middle(tab.attached.nth(0)))
    expect(tab.attached.nth(0)).to_have_class(re.compile("drop-before"))
    fingers.cancel()
    expect(tab.page.locator("#composer .dragged, #composer .drop-before")).to_have_count(0)
    fingers.press(middle(grip(tab, "dog.jpg")))
    fingers.lift()
    fingers.press(middle(names.nth(2)))
    fingers.move(middle(names.nth(0)))
    fingers.lift()
    tab.quiet(100)
    expect(names).to_have_text(["cat.png", "clip.mp4", "dog.jpg"])
    expect(dialog).to_have_count(0)

    tab.send("Which?")
    tab.idle()
    messages, _ = fake_app.engine.heard[-1]
    assert [part.name for part in messages[-1].parts if hasattr(part, "name")] == ["cat.png", "clip.mp4", "dog.jpg"]
