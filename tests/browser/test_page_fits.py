"""Nothing on the page covers, clips or displaces something else, at any width and height."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, PHONE, App, Visits
from tests.browser.driver import Tab

pytestmark = pytest.mark.slow

# The tabs, and the button of the menu into which they fold, that reach into "Wide"
COVERED = """() => {
  const wide = document.querySelector('#wide').getBoundingClientRect();
  return [...document.querySelectorAll('#panel-tabs > .tab-wrapper button')]
    .filter(e => !e.closest('.visually-hidden') && e.checkVisibility({visibilityProperty: true, opacityProperty: true}))
    .filter(e => e.getBoundingClientRect().right > wide.left).map(e => e.innerText || e.className);
}"""
OUTSIDE = """() => [...document.querySelectorAll('#tools button, #header button')].filter(e => e.checkVisibility())
  .filter(e => { const box = e.getBoundingClientRect(); return box.left < 0 || box.right > innerWidth; })
  .map(e => e.innerText)"""
LEFT = "e => Math.round(e.getBoundingClientRect().left)"


def test_wide_covers_no_tab(fake: Tab) -> None:
    try:
        for width in (900, 1000, 1080, 1160, 1280):
            fake.page.set_viewport_size({"width": width, "height": 800})
            fake.page.wait_for_function(f"() => ({COVERED})().length === 0", polling=50)
    finally:
        fake.page.set_viewport_size(DESKTOP)


def test_a_short_window_opens_at_the_beginning_and_a_phone_clips_nothing(fake_app: App, visit: Visits) -> None:
    """The first thing seen of the page was its end; of the row of buttons a phone showed five."""
    tab = visit(fake_app, viewport={"width": 1280, "height": 420})
    chat = tab.page.locator("#chat .bubble-wrap")
    assert chat.evaluate("e => e.scrollHeight > e.clientHeight")  # there is something to scroll
    assert (chat.evaluate("e => e.scrollTop"), tab.page.evaluate("scrollY")) == (0, 0)
    expect(tab.page.get_by_role("heading", name="What shall it look at?")).to_be_in_viewport()
    tab.page.set_viewport_size(PHONE)
    tab.quiet()
    assert tab.page.evaluate(OUTSIDE) == []


def test_a_picture_with_boxes_begins_where_the_words_do(fake: Tab, material: Path) -> None:
    """It stood in the middle of a wide answer and at the left of a narrow one."""
    fake.ask("!boxes", material / "cat.png")
    answer = fake.page.locator("#chat .bot.message").last
    before = answer.locator("img").evaluate(LEFT)
    assert abs(before - answer.locator(".prose").last.evaluate(LEFT)) <= 4
    answer.evaluate("e => { e.style.width = '600px'; }")
    assert answer.locator("img").evaluate(LEFT) == before
