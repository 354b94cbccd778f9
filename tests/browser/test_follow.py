"""The chat follows an answer that is being written until the visitor scrolls up (ui/static/follow.js)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import App
from tests.browser.driver import Tab

pytestmark = pytest.mark.slow

ENDLESS = "!endless and so it goes on"
TOP = "document.querySelector('#chat .bubble-wrap').scrollTop"
LEFT = "(e => e.scrollHeight - e.scrollTop - e.clientHeight)(document.querySelector('#chat .bubble-wrap'))"
# Gradio draws a message anew: for a moment the chat is shorter, which cuts its position off.
REDRAW = """e => new Promise(done => requestAnimationFrame(() => {
  const message = e.querySelector('.bot.message'), nodes = [...message.childNodes];
  message.replaceChildren();
  const cut = e.scrollTop;
  message.append(...nodes);
  requestAnimationFrame(() => requestAnimationFrame(() => done(cut)));
}))"""
# The chat changes with every frame, as on a machine that is busy.
CHANGE = """e => {
  const mark = document.createComment('');
  e.append(mark);
  window.changing = true;
  const change = () => { mark.data += '.'; if (window.changing) requestAnimationFrame(change); else mark.remove(); };
  change();
}"""

# Selects characters of the first text in the answer, and gives what is selected once the page was told. A text that was
# replaced before that is selected no more.
SELECT = """async ([from, to]) => {
  const answer = document.querySelector('#chat [data-testid=bot]');
  const text = document.createTreeWalker(answer, NodeFilter.SHOW_TEXT, node =>
    node.length > to ? NodeFilter.FILTER_ACCEPT : NodeFilter.FILTER_SKIP).nextNode();
  const told = new Promise(done => document.addEventListener('selectionchange', done, { once: true }));
  getSelection().setBaseAndExtent(text, from, text, to);
  await told;
  return getSelection().toString();
}"""


@pytest.fixture
def writing(fake: Tab, fake_app: App) -> Iterator[Tab]:
    """A tab in which an answer is being written that only Stop ends, however slow the machine is."""
    engine = fake_app.engine
    step, engine.step = engine.step, 0.01
    try:
        fake.send(ENDLESS)
        fake.page.wait_for_function(f"{TOP} > 300")
        engine.step = 0.1  # what has grown takes longer to draw, and a busy machine must keep up
        yield fake
    finally:
        engine.step = step


def test_the_end_is_in_view_while_an_answer_grows(writing: Tab) -> None:
    for _ in range(5):
        writing.page.wait_for_timeout(200)
        writing.page.wait_for_function(f"{LEFT} < 40")
    expect(writing.button("Go to the end of the chat and follow it")).to_be_hidden()


def test_words_selected_in_a_growing_answer_stay_selected(writing: Tab) -> None:
    """Gradio draws the message anew with each piece of it."""
    page = writing.page
    words = next(found for _ in range(50) if (found := page.evaluate(SELECT, [9, 19])))
    selected = "() => getSelection().toString()"
    assert len(words) == 10
    for _ in range(3):
        length = len(writing.answers.last.inner_text())
        page.wait_for_function(f"document.querySelector('#chat .bot.message').innerText.length > {length + 30}")
        assert page.evaluate(selected) == words
    writing.text.click()
    length = len(writing.answers.last.inner_text())
    page.wait_for_function(f"document.querySelector('#chat .bot.message').innerText.length > {length + 30}")
    assert page.evaluate(selected) == ""
    writing.button("Stop").click()


@pytest.mark.parametrize("pressed", [False, True])
def test_selected_words_that_are_gone_for_a_moment_are_selected_again(fake: Tab, pressed: bool) -> None:
    """Unless the visitor did something meanwhile."""
    fake.ask("Say much")
    words = fake.page.evaluate(SELECT, [3, 9])
    assert len(words) == 6
    fake.page.evaluate("() => { window.answer = document.querySelector('#chat [data-testid=bot]'); }")
    fake.page.evaluate("() => { window.taken = [...answer.childNodes]; answer.replaceChildren(); }")
    fake.page.wait_for_timeout(100)  # so that the page is told that nothing is selected
    if pressed:
        fake.page.keyboard.press("Shift")
    fake.page.evaluate("() => answer.append(...taken)")
    fake.page.wait_for_timeout(50)
    assert fake.page.evaluate("() => getSelection().toString()") == ("" if pressed else words)


def touch(page: Page, down: float) -> None:
    """A finger moves down so many pixels over the middle of the chat."""
    box = page.locator("#chat .bubble-wrap").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + 200
    devtools = page.context.new_cdp_session(page)
    for kind, moved in [("touchStart", 0.0), *(("touchMove", down * step / 10) for step in range(1, 11))]:
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y + moved}]})
        page.wait_for_timeout(20)
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    devtools.detach()


def test_an_answer_that_is_drawn_anew_is_still_followed(writing: Tab) -> None:
    """For a moment the chat is shorter, which is no step of the visitor."""
    writing.button("Stop").click()
    writing.idle()
    chat = writing.page.locator("#chat .bubble-wrap")
    for _ in range(3):
        top = writing.page.evaluate(TOP)
        assert chat.evaluate(REDRAW) < top - 100
        assert writing.page.evaluate(LEFT) < 40
    expect(writing.button("Go to the end of the chat and follow it")).to_be_hidden()


@pytest.mark.parametrize(
    "how", ["wheel", "key", *(pytest.param(how, marks=pytest.mark.large) for how in ("finger", "scroll bar"))]
)
def test_one_step_upwards_lets_go_and_down_follows_again(writing: Tab, how: str) -> None:
    page = writing.page
    box = writing.chat.bounding_box()
    assert box
    page.locator("#chat .bubble-wrap").evaluate(CHANGE)
    if how == "finger":
        touch(page, 250)
    elif how == "scroll bar":  # which Chromium hides when no window is there
        page.locator("#chat .bubble-wrap").dispatch_event("pointerdown")
        page.locator("#chat .bubble-wrap").evaluate("e => { e.scrollTop -= 250; }")
    elif how == "wheel":
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 200)
        page.mouse.wheel(0, -250)
    else:
        page.locator("#chat .bubble-wrap").evaluate("e => { e.tabIndex = 0; e.focus(); }")
        page.keyboard.press("PageUp")
    down = writing.button("Go to the end of the chat and follow it")
    expect(down).to_be_visible()
    page.evaluate("window.changing = false")
    page.wait_for_timeout(300)  # a smooth scroll ends
    top, length = page.evaluate(TOP), len(writing.answers.last.inner_text())
    page.wait_for_function(f"document.querySelector('#chat .bot.message').innerText.length > {length + 100}")
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
