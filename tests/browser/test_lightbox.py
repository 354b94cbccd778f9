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
            lightbox.dispatchEvent(
              new PointerEvent(type, { pointerId, clientX, clientY: 400, buttons: 1, bubbles: true })
            );
          send("pointerdown", 11, 600);
          send("pointerdown", 12, 700);
          send("pointermove", 12, 800);
          send("pointerup", 12, 800);
          send("pointerup", 11, 600);
        }"""
    )
    assert two.page.evaluate(SCALE) == pytest.approx(2, abs=0.01)


RECTS = """selector => [...document.querySelectorAll(selector)].filter(e => e.checkVisibility())
  .map(e => { const {left, top, right, bottom} = e.getBoundingClientRect(); return [left, top, right, bottom]; })"""
BOXES, LABELS = "#lightbox .box-layer i", "#lightbox .box-label"


def overlap(a: list[float], b: list[float]) -> bool:
    return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])


def test_boxes_of_an_answer_are_shown_large_light_with_their_names_and_can_be_switched_off(
    fake: Tab, material: Path
) -> None:
    """The picture was 320x240; the square is (100,100) to (400,500) in thousandths of it, wherever it is moved."""
    page = fake.page
    fake.ask("!boxes", material / "cat.png")
    plain = str(page.locator("#chat .user.message img").get_attribute("src"))
    page.locator("#chat .bot.message img").click()
    lightbox = page.get_by_role("dialog", name="Picture")
    page.wait_for_function(LOADED)
    assert lightbox.locator("img").get_attribute("src") == plain  # no box is burnt into it

    def square_stays() -> None:
        (left, top, right, bottom), (x1, y1, x2, y2) = page.evaluate(RECTS, "#lightbox img")[0], boxes()[0]
        margin_free = min((right - left) / 320, (bottom - top) / 240)
        width, height = 320 * margin_free, 240 * margin_free
        left, top = (left + right - width) / 2, (top + bottom - height) / 2
        wanted = [left + 0.1 * width, top + 0.1 * height, left + 0.4 * width, top + 0.5 * height]
        assert [x1, y1, x2, y2] == pytest.approx(wanted, abs=1)

    def boxes() -> list[list[float]]:
        found: list[list[float]] = page.evaluate(RECTS, BOXES)
        return found

    def labels_cover_nothing() -> int:
        labels, named = page.evaluate(RECTS, LABELS), boxes()
        assert not any(overlap(label, box) for label in labels for box in named)
        assert not any(overlap(a, b) for a in labels for b in labels if a is not b)
        return len(labels)

    square_stays()
    assert labels_cover_nothing() == 2
    chips = lightbox.get_by_role("toolbar", name="Boxes on this picture").get_by_role("button")
    expect(chips).to_have_text(["the red square", "a dot"])
    chips.first.hover()
    expect(lightbox.locator(".box-layer .lit")).to_have_count(1)
    expect(lightbox.locator(".box-label.lit")).to_have_text("the red square")
    chips.first.focus()
    page.keyboard.press("ArrowRight")  # to the other name, and not to another picture
    expect(chips.last).to_be_focused()
    page.mouse.move(2, 400)
    expect(lightbox.locator(".box-label.lit")).to_have_text("a dot")
    page.keyboard.press("Enter")  # holds it
    expect(chips.last).to_have_attribute("aria-pressed", "true")
    x1, y1, x2, y2 = boxes()[0]
    page.mouse.move((x1 + x2) / 2, (y1 + y2) / 2)
    expect(chips.first).to_have_class("box-chip lit")
    for _ in range(9):
        page.mouse.wheel(0, -100)
        page.evaluate("() => new Promise(requestAnimationFrame)")
        square_stays()
        labels_cover_nothing()
    page.mouse.down()
    page.mouse.move((x1 + x2) / 2 + 300, (y1 + y2) / 2 - 80, steps=3)
    page.mouse.up()
    square_stays()
    labels_cover_nothing()
    expect(lightbox).to_be_visible()

    page.keyboard.press("b")
    assert (boxes(), page.evaluate(RECTS, LABELS)) == ([], [])
    expect(chips).to_have_count(0)
    page.keyboard.press("ArrowLeft")  # the question's own picture has no boxes
    expect(lightbox.get_by_role("status")).to_have_text("1 of 2")
    switch = lightbox.get_by_role("button", name="Boxes", exact=True)
    expect(switch).to_be_hidden()
    page.keyboard.press("ArrowRight")
    expect(switch).to_have_attribute("aria-pressed", "false")
    switch.click()
    page.wait_for_function(LOADED)
    square_stays()
    page.keyboard.press("Escape")
    expect(lightbox).to_be_hidden()
    expect(page.locator("#chat .box-name.lit")).to_have_text("a dot")  # what is held lights in the chat too
    page.locator("#chat .box-name.lit").click()


def test_the_frame_of_a_clip_is_shown_large_without_what_was_drawn_on_it(fake: Tab, material: Path) -> None:
    page = fake.page
    fake.ask("!say At 1.1 s a bar<|box_start|>(0,0),(500,500)<|box_end|>", material / "clip.mp4")
    page.locator("#chat .bot.message img").click()
    expect(page.locator("#lightbox .box-layer i")).to_have_count(1)
    page.wait_for_function(LOADED)
    assert str(page.locator("#lightbox img").get_attribute("src")).endswith(".frame.webp")
    page.keyboard.press("Escape")
