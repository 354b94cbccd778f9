"""The chat follows an answer that is being written until the visitor scrolls up (ui/static/follow.js)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import App
from tests.browser.driver import Tab

ENDLESS = "!endless and so it goes on"
TOP = "document.querySelector('#chat .bubble-wrap').scrollTop"
LEFT = "(e => e.scrollHeight - e.scrollTop - e.clientHeight)(document.querySelector('#chat .bubble-wrap'))"


@pytest.fixture
def writing(fake: Tab, fake_app: App) -> Iterator[Tab]:
    """A tab in which an answer is being written that only Stop ends, however slow the machine is."""
    engine = fake_app.engine
    step, engine.step = engine.step, 0.01
    try:
        fake.send(ENDLESS)
        fake.page.wait_for_function(f"{TOP} > 300")
        engine.step = 0.05  # what has grown takes longer to draw
        yield fake
    finally:
        engine.step = step


def test_the_end_is_in_view_while_an_answer_grows(writing: Tab) -> None:
    for _ in range(5):
        writing.page.wait_for_timeout(200)
        writing.page.wait_for_function(f"{LEFT} < 40")
    expect(writing.button("Go to the end of the chat and follow it")).to_be_hidden()


@pytest.mark.parametrize("how", ["wheel", "key"])
def test_one_step_upwards_lets_go_and_down_follows_again(writing: Tab, how: str) -> None:
    page = writing.page
    box = writing.chat.bounding_box()
    assert box
    if how == "wheel":
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 200)
        page.mouse.wheel(0, -250)
    else:
        page.locator("#chat .bubble-wrap").evaluate("e => { e.tabIndex = 0; e.focus(); }")
        page.keyboard.press("PageUp")
    down = writing.button("Go to the end of the chat and follow it")
    expect(down).to_be_visible()
    page.wait_for_timeout(300)  # a smooth scroll ends
    top, length = page.evaluate(TOP), len(writing.answers.last.inner_text())
    page.wait_for_function(f"document.querySelector('#chat .bot.message').innerText.length > {length + 300}")
    assert page.evaluate(TOP) == top
    down.click()
    page.wait_for_function(f"{LEFT} < 40")
    expect(down).to_be_hidden()
    writing.button("Stop").click()


def test_a_new_question_is_followed_wherever_one_was(writing: Tab) -> None:
    writing.button("Stop").click()
    writing.idle()
    writing.page.locator("#chat .bubble-wrap").evaluate("e => { e.scrollTop = 0; }")
    expect(writing.button("Go to the end of the chat and follow it")).to_be_visible()
    writing.ask("And now?")
    writing.page.wait_for_function(f"{LEFT} < 40")
