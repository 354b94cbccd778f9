"""The files in the composer are put into another order before they are sent (ui/static/reorder.js)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import App
from tests.browser.driver import Tab

pytestmark = pytest.mark.slow


def grip(tab: Tab, name: str) -> Locator:
    return tab.page.get_by_role("button", name=f"Move {name}", exact=False)


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
