"""A picture of the chat opens large (ui/static/lightbox.js); before, its button did nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.driver import Tab

pytestmark = pytest.mark.slow

LOADED = "() => { const i = document.querySelector('#lightbox img'); return i.complete && i.naturalWidth; }"
SCALE = "() => new DOMMatrix(getComputedStyle(document.querySelector('#lightbox img')).transform).a"


@pytest.fixture
def two(fake: Tab, material: Path) -> Iterator[Tab]:
    """A chat with two pictures."""
    fake.ask("!say one", str(material / "cat.png"))
    fake.ask("!say two", str(material / "dog.jpg"))
    yield fake
    fake.page.keyboard.press("Escape")


def opened(page: Page, number: int) -> Locator:
    page.get_by_role("button", name="Open picture").nth(number).click()
    lightbox = page.get_by_role("dialog", name="Picture")
    expect(lightbox).to_be_visible()
    page.wait_for_function(LOADED)
    return lightbox


def test_a_click_opens_the_picture_and_escape_returns_to_it(two: Tab) -> None:
    lightbox = opened(two.page, 0)
    small, large = two.page.locator("#chat .image-container img").first, lightbox.locator("img")
    assert large.get_attribute("src") == small.evaluate("e => e.currentSrc")
    two.page.keyboard.press("Escape")
    expect(lightbox).to_be_hidden()
    assert two.page.evaluate("document.activeElement.getAttribute('aria-label')") == "Open picture"


def test_arrow_keys_go_through_the_pictures_of_the_chat(two: Tab) -> None:
    lightbox, press = opened(two.page, 0), two.page.keyboard.press
    first = lightbox.locator("img").get_attribute("src")
    expect(lightbox.get_by_role("status")).to_have_text("1 of 2")
    press("ArrowRight")
    expect(lightbox.get_by_role("status")).to_have_text("2 of 2")
    assert lightbox.locator("img").get_attribute("src") != first
    press("ArrowRight")  # there is no other
    expect(lightbox.get_by_role("status")).to_have_text("2 of 2")
    press("ArrowLeft")
    assert lightbox.locator("img").get_attribute("src") == first
    lightbox.get_by_role("button", name="Close").click()
    expect(lightbox).to_be_hidden()


def test_the_wheel_zooms_around_the_pointer_and_dragging_moves(two: Tab) -> None:
    lightbox, page = opened(two.page, 0), two.page
    image = lightbox.locator("img")
    box = image.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 4, box["y"] + box["height"] / 4
    page.mouse.move(x, y)
    page.mouse.wheel(0, -400)
    page.wait_for_function(f"{SCALE} > 2")
    after = image.bounding_box()
    assert after  # the point under the pointer is the same point of the picture
    assert (x - after["x"]) / after["width"] == pytest.approx(0.25, abs=0.01)
    assert (y - after["y"]) / after["height"] == pytest.approx(0.25, abs=0.01)
    page.mouse.down()
    page.mouse.move(x + 60, y + 40, steps=4)
    page.mouse.up()
    dragged = image.bounding_box()
    assert dragged
    assert (dragged["x"] - after["x"], dragged["y"] - after["y"]) == pytest.approx((60, 40), abs=1)
    expect(lightbox).to_be_visible()
    page.keyboard.press("0")
    page.wait_for_function(f"{SCALE} === 1")
    for _ in range(30):
        page.keyboard.press("+")
    assert page.evaluate(SCALE) == 16


def test_a_click_beside_the_picture_closes_it(two: Tab) -> None:
    lightbox = opened(two.page, 0)
    two.page.mouse.click(4, 4)
    expect(lightbox).to_be_hidden()


def test_two_fingers_zoom(two: Tab) -> None:
    opened(two.page, 0)
    two.page.evaluate(
        """() => {
          const lightbox = document.querySelector("#lightbox");
          lightbox.setPointerCapture = () => {}; // made-up pointers cannot be captured
          const send = (type, pointerId, clientX) =>
            lightbox.dispatchEvent(new PointerEvent(type, { pointerId, clientX, clientY: 400, bubbles: true }));
          send("pointerdown", 11, 600);
          send("pointerdown", 12, 700);
          send("pointermove", 12, 800);
          send("pointerup", 12, 800);
          send("pointerup", 11, 600);
        }"""
    )
    assert two.page.evaluate(SCALE) == pytest.approx(2, abs=0.01)
