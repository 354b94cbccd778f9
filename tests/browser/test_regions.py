"""A region of a picture as the question, a closer look, a crop before sending, and what an answer with boxes offers."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import PIL.Image
import pytest
from playwright.sync_api import Locator, expect

from qwen2vl_demo.processing.messages import Region, Text
from tests.browser.conftest import PHONE, App, Visits
from tests.browser.driver import Tab
from tests.browser.test_axe import AXE, findings
from tests.browser.test_message_rows import press

pytestmark = pytest.mark.slow

# Where the picture itself is in the window: its element is wider or higher.
AREA = """() => {
  const image = document.querySelector("#lightbox img"), outer = image.getBoundingClientRect();
  const k = Math.min(outer.width / image.naturalWidth, outer.height / image.naturalHeight);
  const [width, height] = [image.naturalWidth * k, image.naturalHeight * k];
  return [outer.left + (outer.width - width) / 2, outer.top + (outer.height - height) / 2, width, height];
}"""
MARKED = re.compile(r"/[0-9a-f]{64}\.[0-9a-f]{16}\.webp$")  # a picture of the store with boxes
LOADED = "() => document.querySelector('#lightbox img').naturalWidth > 0"


def drag(tab: Tab, x1: float, y1: float, x2: float, y2: float) -> None:
    """Over the open picture, in shares of its sides."""
    left, top, width, height = tab.page.evaluate(AREA)
    tab.page.mouse.move(left + x1 * width, top + y1 * height)
    tab.page.mouse.down()
    tab.page.mouse.move(left + x2 * width, top + y2 * height, steps=4)
    tab.page.mouse.up()


def opened(tab: Tab, opener: Locator) -> Locator:
    opener.click()
    lightbox = tab.page.get_by_role("dialog", name="Picture")
    expect(lightbox).to_be_visible()
    tab.page.wait_for_function(LOADED)
    return lightbox


def region_in(text: str) -> list[int]:
    """The four numbers of a question's only region."""
    return [int(n) for point in text.split("<|box_")[1].split("(")[1:] for n in point.split(")")[0].split(",")]


def near(numbers: list[int], expected: list[int]) -> bool:
    """To a pixel of a picture that is some hundred px wide on the page."""
    return all(abs(a - b) <= 4 for a, b in zip(numbers, expected, strict=True))


def attached_size(app: App, tab: Tab, index: int) -> tuple[int, int]:
    """(width, height) of a file in the composer, as it lies on the server."""
    tab.quiet()
    sources = tab.page.locator("#composer .thumbnail-item img:not(.poster)").evaluate_all("all => all.map(i => i.src)")
    with PIL.Image.open(sources[index].split("/gradio_api/file=")[1]) as image:
        return image.size


def test_a_region_is_drawn_asked_about_and_reaches_the_model_as_one(fake: Tab, fake_app: App, material: Path) -> None:
    fake.ask("!say a cat", material / "cat.png")
    lightbox = opened(fake, fake.button("Open picture"))
    lightbox.get_by_role("button", name="Mark a region").click()
    drag(fake, 0.1, 0.2, 0.5, 0.6)
    box = lightbox.get_by_role("application")
    expect(box).to_be_focused()
    drag(fake, 0.5, 0.6, 0.6, 0.8)  # a corner
    drag(fake, 0.3, 0.3, 0.4, 0.35)  # the box
    for key in ("ArrowRight", "ArrowDown", "Shift+ArrowLeft", "Shift+ArrowUp"):
        fake.page.keyboard.press(key)
    lightbox.get_by_role("button", name="Ask about this").click()
    expect(lightbox).to_be_hidden()
    expect(fake.text).to_be_focused()
    text = fake.text.input_value()
    assert text.startswith("What is in <|box_start|>(") and text.endswith(")<|box_end|>?")
    # Drawn from (100,200) to (500,600), its corner taken to (600,800), all of it 100 and 50 further; then a step of 10
    # each way with its right bottom corner one back.
    assert near(region_in(text), [210, 260, 700, 850]), text
    fake.send()
    fake.idle()
    (*_, question) = fake_app.engine.heard[-1][0]
    assert question.parts == (Text("What is in "), Region(*region_in(text)), Text("?"))
    bubble = fake.page.locator("#chat .user-row").last
    expect(bubble.locator("code")).to_have_text("box 1")
    expect(bubble).not_to_contain_text("box_start")
    expect(bubble.locator("img")).to_have_attribute("src", MARKED)
    fake.text.fill("Is it like ")
    fake.attach(material / "dog.jpg")
    lightbox = opened(fake, fake.button("Crop dog.jpg"))  # which opens for drawing
    drag(fake, 0, 0, 0.5, 0.5)
    lightbox.get_by_role("button", name="Ask about this").click()
    text = fake.text.input_value()
    assert text.startswith("Is it like <|box_start|>(0,0),(") and text.endswith(")<|box_end|> of picture 2")
    fake.send()
    fake.idle()
    expect(fake.page.locator("#chat .user-row").last.locator("img")).to_have_attribute("src", MARKED)
    press(fake, "question", "Edit")
    expect(fake.text).to_have_value(text.strip())
    # While it is edited, its picture is the second one of the prompt and not the third.
    told = fake.page.evaluate("() => window.qwen2vl.model")
    fake.page.evaluate("model => (window.qwen2vl.model = model)", {**told, "name": "small", "regions": False})
    lightbox = opened(fake, fake.button("Crop dog.jpg"))
    drag(fake, 0, 0, 0.5, 0.5)
    expect(lightbox).to_contain_text('small was not trained on questions with such a box: "Crop" works better with it.')
    lightbox.get_by_role("button", name="Ask about this").click()
    assert fake.text.input_value().endswith(")<|box_end|> of picture 2")
    fake.page.evaluate("model => (window.qwen2vl.model = model)", told)
    fake.text.press("Escape")
    expect(fake.attached).to_have_count(0)


def test_a_closer_look_and_a_crop_have_the_originals_pixels(fake: Tab, fake_app: App, tmp_path: Path) -> None:
    """The chat shows this picture reduced, since it is large."""
    large = tmp_path / "large.png"
    PIL.Image.effect_noise((3000, 2400), 90).save(large)
    fake.ask("!say noise", large)
    lightbox = opened(fake, fake.button("Open picture"))
    mark = lightbox.get_by_role("button", name="Mark a region")
    mark.focus()
    fake.page.keyboard.press("Enter")  # with the keys: a box in the middle, from a quarter to three quarters
    expect(lightbox.get_by_role("application")).to_be_focused()
    lightbox.get_by_role("button", name="Look closer").press("Enter")
    expect(lightbox).to_be_hidden()
    expect(fake.attached).to_have_count(1)
    expect(fake.attached).to_contain_text("large.png, closer")
    assert attached_size(fake_app, fake, 0) == (1500, 1200)
    fake.text.fill("typed")
    lightbox = opened(fake, fake.button("Crop large.png, closer"))
    drag(fake, -0.02, 0.5, 0.5, 0.5)  # begins beside the picture: nothing is drawn
    expect(lightbox.get_by_role("application")).to_be_hidden()
    drag(fake, 0.02, 0.02, 0.5, 1.2)  # to its edge and no further
    # Let go where the page is not told: it learns so from the next move.
    left, top, width, height = fake.page.evaluate(AREA)
    drawn = lightbox.get_by_role("application").get_attribute("aria-label")
    fake.page.mouse.move(left + 0.5 * width, top + 0.9 * height)
    fake.page.mouse.down()
    away = {"type": "mouseMoved", "x": left + 0.9 * width, "y": top + 0.9 * height, "buttons": 0}
    fake.page.context.new_cdp_session(fake.page).send("Input.dispatchMouseEvent", away)
    assert lightbox.get_by_role("application").get_attribute("aria-label") == drawn
    fake.page.mouse.up()
    lightbox.get_by_role("button", name="Crop", exact=True).click()
    expect(fake.attached).to_contain_text("large.png, closer, cropped")
    expect(fake.attached).to_have_count(1)
    expect(fake.text).to_have_value("typed")
    width, height = attached_size(fake_app, fake, 0)
    assert abs(width - 720) <= 6 and abs(height - 1176) <= 6
    expect(fake.panel).to_contain_text("large.png, closer, cropped")
    fake.quiet()
    digest = hashlib.sha256(large.read_bytes()).hexdigest()
    for file in fake_app.demo.parts.store.folder.glob(f"{digest}.png"):
        file.unlink()
    opened(fake, fake.button("Open picture"))
    mark.click()
    drag(fake, 0.1, 0.1, 0.5, 0.5)
    lightbox.get_by_role("button", name="Look closer").click()
    expect(fake.notice).to_contain_text("The picture large.png is no longer kept here. Attach it again to look closer.")
    expect(fake.text).to_have_value("typed")
    fake.quiet()  # what follows on a cut would else meet the next test


def test_an_answer_with_boxes_offers_its_picture_and_the_panel(fake: Tab, material: Path, tmp_path: Path) -> None:
    fake.ask("!boxes", material / "cat.png")
    fake.ask("!say a dog", material / "dog.jpg")
    expect(fake.panel).to_contain_text("dog.jpg")
    fake.page.get_by_role("tab", name="Prompt", exact=True).click()
    with fake.page.expect_download() as saving:
        press(fake, "answer", "Save picture", 0)
    saved = tmp_path / saving.value.suggested_filename
    saving.value.save_as(saved)
    with PIL.Image.open(saved) as image:
        assert (saved.suffix, image.format, image.size) == (".png", "PNG", (320, 240))
        red, green, blue = image.convert("RGB").getpixel((32, 60))  # type: ignore[misc]  # the left edge of a box
        assert (red, green, blue) not in ((244, 239, 230), (255, 0, 0))  # the ground of the picture, and its square
    press(fake, "answer", "Show in panel", 0)
    tab = fake.page.get_by_role("tab", name="Picture", exact=True)
    expect(tab).to_be_focused()
    expect(tab).to_have_attribute("aria-selected", "true")
    expect(fake.page.locator("#lens-picture .lens-title")).to_contain_text("cat.png")
    assert fake.page.locator("#chat .bot-row").last.get_by_role("button", name="Save picture").count() == 0


@pytest.mark.large
def test_what_marks_a_region_fits_a_phone_and_a_finger(fake_app: App, visit: Visits, material: Path) -> None:
    tab = visit(fake_app, viewport=PHONE, has_touch=True)
    tab.attach(material / "cat.png")
    lightbox = opened(tab, tab.button("Crop cat.png"))
    drag(tab, 0.2, 0.2, 0.7, 0.7)
    sizes = lightbox.locator("button:visible, .marked span").evaluate_all(
        """all => all.map(e => { const box = e.getBoundingClientRect();
          return [Math.min(box.width, box.height), box.left, innerWidth - box.right, innerHeight - box.bottom]; })"""
    )
    assert len(sizes) == 3 + 4 + 4  # what can be done, the corners, zoom and Close
    assert all(side >= 24 and min(rest) >= 0 for side, *rest in sizes), sizes
    if AXE.exists():
        tab.page.add_script_tag(content=AXE.read_text("utf-8"))
        assert [found for found in findings(tab) if "thumbnail-wrapper" not in found[1]] == []  # Gradio's, of any file
    # With a second finger it zooms, and what the first one had begun to draw is forgotten.
    tab.page.evaluate(
        """() => {
          const lightbox = document.querySelector("#lightbox");
          lightbox.setPointerCapture = () => {}; // made-up pointers cannot be captured
          const send = (type, pointerId, clientX, clientY) =>
            lightbox.dispatchEvent(new PointerEvent(type, { pointerId, clientX, clientY, buttons: 1, bubbles: true }));
          send("pointerdown", 11, 100, 350);
          send("pointermove", 11, 180, 420);
          send("pointerdown", 12, 300, 350);
          send("pointermove", 12, 380, 350);
          send("pointerup", 12, 380, 350);
          send("pointerup", 11, 180, 420);
        }"""
    )
    assert tab.page.evaluate("new DOMMatrix(getComputedStyle(document.querySelector('#lightbox img')).transform).a") > 1
    expect(lightbox.get_by_role("application")).to_have_attribute("aria-label", re.compile(r"Box from \(2\d\d,"))
