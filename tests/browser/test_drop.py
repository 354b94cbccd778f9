"""Files may be dropped anywhere on the page (ui/static/drop.js)."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.driver import Tab

DRAG = """
([selector, type, name, content]) => {
  const bytes = Uint8Array.from(atob(content), c => c.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, {type: "image/png"}));
  const event = new DragEvent(type, {bubbles: true, cancelable: true, dataTransfer: data});
  document.querySelector(selector).dispatchEvent(event);
  return event.defaultPrevented;
}
"""


@pytest.mark.parametrize("place", ["#header", "#chat", "#side", "#composer"])
def test_a_file_dropped_anywhere_is_attached_once(fake: Tab, material: Path, place: str) -> None:
    """Everywhere but on the composer the browser opened it in place of the page."""
    content = base64.b64encode((material / "cat.png").read_bytes()).decode()
    assert fake.page.evaluate(DRAG, [place, "dragover", "cat.png", content])
    expect(fake.page.locator("#drop")).to_be_visible()
    assert fake.page.evaluate(DRAG, [place, "drop", "cat.png", content])
    expect(fake.page.locator("#drop")).to_be_hidden()
    expect(fake.attached).to_have_count(1)
    fake.page.wait_for_timeout(300)
    expect(fake.attached).to_have_count(1)


def test_text_that_is_dragged_is_the_browser_s_own_matter(fake: Tab) -> None:
    prevented = fake.page.evaluate(
        """() => {
          const data = new DataTransfer();
          data.setData("text/plain", "words");
          const event = new DragEvent("dragover", {bubbles: true, cancelable: true, dataTransfer: data});
          document.querySelector("#chat").dispatchEvent(event);
          return event.defaultPrevented;
        }"""
    )
    assert not prevented
    expect(fake.page.locator("#drop")).to_be_hidden()
