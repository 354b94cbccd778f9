"""The lesson in a browser: walked by keyboard alone, left and resumed, with a picture of the learner's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL.Image
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DESKTOP, PHONE, App, Visits
from tests.browser.driver import Tab

pytestmark = pytest.mark.slow

TITLES = [
    *("A picture is a table of numbers", "It is made to fit squares of 28", "It is cut into patches of 14 x 14"),
    *("Four patches become one token", "One row, with the words", "An address for every token"),
    *("A clip: frames in pairs", "Take the addresses away"),
]
SHIFTS = """() => {
  window.shifted = 0;
  new PerformanceObserver(list => list.getEntries().forEach(entry => {
    if (!entry.hadRecentInput) window.shifted += entry.value;
  })).observe({type: "layout-shift", buffered: false});
}"""
# Everything of the lesson that reaches beyond the width of the window, or is cut off where it cannot be scrolled.
CLIPPED = """() => [...document.querySelectorAll("#lesson *")].filter(e => {
  const box = e.getBoundingClientRect();
  if (!box.width || e.closest(".lesson-stage, .lesson-cells") !== e && e.closest(".lesson-stage")) return false;
  return box.right > innerWidth + 1 || box.left < -1;
}).map(e => e.className || e.tagName)"""


def at(tab: Tab, number: int) -> None:
    """Until a step is there and has the focus on its heading."""
    expect(tab.page.locator(".lesson-count")).to_have_text(f"Step {number} of 8")
    expect(tab.page.locator(".lesson-title")).to_have_text(TITLES[number - 1])
    tab.page.wait_for_function("() => document.activeElement.classList.contains('lesson-title')")


def guess(page: Page, number: int) -> None:
    """From the heading: a guess, committed with Enter; the answer has the focus then."""
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.activeElement.closest('.lesson-guess')")
    if page.locator(".lesson-guess fieldset").count():
        page.keyboard.press("Space")
    else:
        page.keyboard.type(str(number))
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.activeElement.classList.contains('revealed')")


def walk(tab: Tab, desk: bool) -> list[str]:
    """The whole lesson by keyboard; the verdicts of its steps."""
    page = tab.page
    page.evaluate(SHIFTS)
    verdicts = []
    for number in range(1, 9):
        at(tab, number)
        guess(page, 100 + number)
        if number == 8:
            expect(page.locator(".lesson-verdict")).not_to_contain_text("being asked")
        verdicts.append(page.locator(".lesson-verdict").inner_text())
        expect(page.locator(".lesson-takeaway")).to_be_visible()
        page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert page.evaluate(CLIPPED) == []
        assert tab.width() <= page.viewport_size["width"]  # type: ignore[index]
        if desk:  # all of a step is on one screen
            hidden = page.evaluate(
                "() => document.querySelector('.lesson-answer').scrollHeight - "
                "document.querySelector('.lesson-answer').clientHeight"
            )
            foot = page.locator(".lesson-foot").bounding_box()
            assert hidden <= 0, (number, hidden)
            assert foot and foot["y"] + foot["height"] <= page.viewport_size["height"]  # type: ignore[index]
        page.keyboard.press("Enter")
    expect(page.locator("#lesson")).to_be_hidden()
    assert page.evaluate("window.shifted") < 0.1
    return verdicts


LOOKS = [
    pytest.param(DESKTOP, "light", id="desk"),
    pytest.param(DESKTOP, "dark", id="desk-dark", marks=pytest.mark.large),
    pytest.param(PHONE, "light", id="phone", marks=pytest.mark.large),
    pytest.param(PHONE, "dark", id="phone-dark", marks=pytest.mark.large),
]


@pytest.mark.parametrize(("view", "colours"), LOOKS)
def test_the_whole_lesson_is_walked_by_keyboard(
    fake_app: App, visit: Visits, view: dict[str, int], colours: str
) -> None:
    """The prepared picture: 500 x 400 px become 504 x 392, 36 x 28 patches, 18 x 14 tokens. The prompt has 15 tokens
    before them and 12 behind; of at most 24 tokens there are 5 x 4, so that the text goes on at 15 + 5. The clip's 6
    frames are 3 pairs of 13 x 11 tokens each."""
    tab = visit(fake_app, viewport=view)
    tab.page.emulate_media(color_scheme=colours, reduced_motion="reduce")  # type: ignore[arg-type]
    tab.page.evaluate("dark => document.body.classList.toggle('dark', dark)", colours == "dark")
    tab.page.locator("#learn-button").focus()
    tab.page.keyboard.press("Enter")
    verdicts = walk(tab, view is DESKTOP)
    truths = ["600,000 numbers", "504 pixels", "1,008 patches", "252 tokens", "nine tenths", "20", "429 tokens", ""]
    assert all(truth in verdict for truth, verdict in zip(truths, verdicts, strict=True)), verdicts
    expect(tab.page.locator("#learn-button")).to_be_focused()


def test_left_with_one_key_and_resumed_after_a_reload(fake_app: App, visit: Visits) -> None:
    tab = visit(fake_app)
    page = tab.page
    page.locator('#chat .placeholder a[href$="#learn"]').click()  # the invitation
    at(tab, 1)
    page.keyboard.press("ArrowRight")
    at(tab, 2)
    guess(page, 500)
    expect(page.locator(".lesson-verdict")).to_contain_text("504 pixels")
    page.keyboard.press("ArrowRight")
    at(tab, 3)
    page.keyboard.press("Escape")
    expect(page.locator("#lesson")).to_be_hidden()
    expect(tab.text).to_be_visible()
    assert "learn" not in page.url
    tab.reload()
    tab.button("Learn").click()
    at(tab, 3)
    page.keyboard.press("ArrowLeft")
    at(tab, 2)
    expect(page.locator(".lesson-verdict")).to_contain_text("You said 500")
    assert "learn=2" in page.url
    page.reload()
    at(tab, 2)


def test_an_address_opens_a_step_with_an_example(fake_app: App, visit: Visits) -> None:
    """chart.png is 896 x 672 px, 768 tokens: the lesson goes on with at most 400, of which 23 x 17 = 391 fit."""
    tab = visit(fake_app)
    tab.page.goto(f"{tab.url}/?learn=4&example=chart")
    at(tab, 4)
    expect(tab.page.locator(".lesson-subject select")).to_have_value("chart")
    expect(tab.page.locator(".lesson-cells i")).to_have_count(391)
    tab.page.goto(f"{tab.url}/?learn=99&example=nothing")
    at(tab, 4)  # where it was left


def photograph(path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    PIL.Image.fromarray(pixels).resize((1600, 1200)).save(path, quality=80)
    return path


def test_a_photograph_of_the_learners_own(fake_app: App, visit: Visits, tmp_path: Path) -> None:
    """1600 x 1200 px are 57 x 43 = 2,451 tokens; of at most 400, 23 x 17 = 391."""
    tab = visit(fake_app)
    page = tab.page
    tab.button("Learn").click()
    at(tab, 1)
    page.locator(".lesson-file").set_input_files(photograph(tmp_path / "photo.jpg"))
    expect(page.locator(".lesson-subject select")).to_have_value("own")
    expect(page.locator(".lesson-lead")).to_contain_text("1,600 pixels wide")
    guess(page, 1600 * 1200)
    expect(page.locator(".lesson-verdict")).to_have_text(
        "You said 1,920,000; it is 5,760,000 numbers. You counted the pixels; each of them is three numbers."
    )
    page.keyboard.press("Enter")
    at(tab, 2)
    guess(page, 1596)
    expect(page.locator(".lesson-verdict")).to_have_text("Right: 1,596 pixels.")
    expect(page.locator(".lesson-answer")).to_contain_text("2,451 squares are too small to see")
    tab.page.locator(".lesson-line button").nth(3).click()
    at(tab, 4)
    expect(page.locator(".lesson-cells i")).to_have_count(391)
    page.keyboard.press("Escape")
    tab.count("#composer .thumbnail-item", 1)  # it stands in the line, ready to be asked about


@pytest.mark.large
@pytest.mark.parametrize("view", [DESKTOP, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("kind", ["photograph", "strip", "clip"])
def test_the_whole_lesson_with_a_file_of_the_learners_own(
    fake_app: App, visit: Visits, tmp_path: Path, material: Path, view: dict[str, int], kind: str
) -> None:
    """A photograph of 1600x1200 px, a strip of 120x1600 (4 x 57 tokens) and a clip of 20 frames in 2 s, four of which
    make two pairs of 14 x 10 tokens: 112x84 px are enlarged to the 128 tokens that a pair has at least."""
    if kind == "strip":
        file = tmp_path / "strip.png"
        PIL.Image.linear_gradient("L").resize((120, 1600)).convert("RGB").save(file)
    else:
        file = photograph(tmp_path / "photo.jpg") if kind == "photograph" else material / "clip.mp4"
    tab = visit(fake_app, viewport=view)
    tab.page.emulate_media(reduced_motion="reduce")
    tab.button("Learn").click()
    at(tab, 1)
    tab.page.locator(".lesson-file").set_input_files(file)
    expect(tab.page.locator(".lesson-subject select")).to_have_value("own")
    tab.page.locator(".lesson-title").focus()
    verdicts = walk(tab, view is DESKTOP)
    tokens = {"photograph": "391 tokens", "strip": "228 tokens", "clip": "12 tokens"}[kind]
    assert tokens in verdicts[3] and ("280 tokens" if kind == "clip" else "429 tokens") in verdicts[6], verdicts


def places(tab: Tab) -> Any:
    """Where the first and the last cell of the picture are, in px from the top left of the stage."""
    return tab.page.evaluate(
        """() => { const all = [...document.querySelectorAll(".lesson-cells i")];
        const from = document.querySelector(".lesson-flight").getBoundingClientRect();
        return [all[0], all.at(-1)].map(e => { const b = e.getBoundingClientRect();
          return [b.left - from.left, b.top - from.top, b.width]; }); }"""
    )


def at_the_cells(tab: Tab, motion: Literal["reduce", "no-preference"]) -> Page:
    """Step 4 with a picture of 14 rows of 18 tokens."""
    tab.page.emulate_media(reduced_motion=motion)
    tab.page.goto(f"{tab.url}/?learn=4&example=animals")
    at(tab, 4)
    expect(tab.page.locator(".lesson-cells i")).to_have_count(252)
    return tab.page


def test_cells_fly_from_the_grid_into_the_row(fake_app: App, visit: Visits) -> None:
    tab = visit(fake_app)
    page = at_the_cells(tab, "no-preference")
    (_, first_top, wide), (_, last_top, _) = places(tab)
    assert first_top == 0 and last_top > 10 * wide  # 14 rows of them
    tab.button("Let them fly").click()
    page.wait_for_function("() => document.getAnimations().some(a => a.playState === 'running')")
    page.wait_for_function("() => document.querySelector('.lesson-slider input').value === '1'")
    grid = page.locator(".lesson-flight canvas").bounding_box()
    (left, top, side), (_, bottom, _) = places(tab)
    assert grid and left == 0 and top > grid["height"] and bottom > grid["height"] and side < wide
    page.locator(".lesson-slider input").press("Home")
    assert places(tab)[0][1] == 0


def test_with_reduced_motion_the_cells_are_there_at_once(fake_app: App, visit: Visits) -> None:
    tab = visit(fake_app)
    page = at_the_cells(tab, "reduce")
    tab.button("Let them fly").click()
    assert page.evaluate("() => document.getAnimations().some(a => a.playState === 'running')") is False
    assert page.locator(".lesson-slider input").input_value() == "1"


def test_the_answer_of_nano_breaks_without_addresses(nano_app: App, visit: Visits) -> None:
    """The lock is in the upper third of the picture, in the middle of its width."""
    tab = visit(nano_app)
    page = tab.page
    page.goto(f"{tab.url}/?learn=8&example=animals")
    at(tab, 8)
    guess(page, 0)
    expect(page.locator(".lesson-verdict")).to_have_text(
        "You said the same answer each time; it is another answer both times."
    )
    answers = page.locator(".lesson-trials p").all_inner_texts()
    assert answers[0] == "The lock is at the top." and answers[0] not in answers[1:]
    page.keyboard.press("Escape")
    assert tab.answers.count() == 0  # nothing of it stands in the chat


def test_a_model_that_cannot_be_asked_otherwise_shows_the_arithmetic(none_app: App, visit: Visits) -> None:
    tab = visit(none_app)
    page = tab.page
    page.goto(f"{tab.url}/?learn=8&example=animals")
    at(tab, 8)
    expect(page.locator(".lesson-lead")).to_contain_text("cannot be asked with other positions")
    expect(page.locator(".lesson-trials")).to_have_count(0)
    guess(page, 20)
    expect(page.locator(".lesson-verdict")).to_contain_text("it is 1 address. h and w were what told them apart")


def test_a_file_that_is_none_is_said_so(fake_app: App, visit: Visits, material: Path) -> None:
    tab = visit(fake_app)
    tab.button("Learn").click()
    at(tab, 1)
    tab.page.locator(".lesson-file").set_input_files(material / "broken.png")
    expect(tab.page.locator(".lesson-note")).to_contain_text("broken.png")
    expect(tab.page.locator(".lesson-note")).not_to_contain_text("Reading")
