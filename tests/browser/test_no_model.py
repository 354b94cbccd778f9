"""`--model none`: everything of the panel but the attention, on a desk and on a phone, by pointer and by keys."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, App, Visits
from tests.browser.driver import Tab
from tests.browser.lens_driver import equals, expected, fact, layer, open_tab, point, seen, snapshot, user

pytestmark = pytest.mark.slow

LAYERS = ("resized", "patches", "merged", "t", "h", "w")
# Each plot, canvas and comparison that is seen in a tab, with the words that stand before it there.
FIGURES = """id => [...document.querySelectorAll(`#${id} :is(.js-plotly-plot, .lens-stage, .lens-panes, .lens-plot,
  .lens-chips, .lens-ruler, .cost-views, .bands-angles, .cost-bar)`)].filter(e => e.checkVisibility()).map(figure => {
    const says = [...document.querySelectorAll(`#${id} :is(.lens-says)`)].filter(e => e.checkVisibility());
    const near = says.filter(p => p.compareDocumentPosition(figure) & Node.DOCUMENT_POSITION_FOLLOWING);
    return [figure.className.baseVal ?? figure.className, near.length ? near.at(-1).innerText : ''];
  })"""
# Too low for a finger, in CSS pixels (WCAG 2.2, target size). What Plotly brings stands in "Figures as PNG" once more.
SMALL = """() => [...document.querySelectorAll('#side .tabitem :is(button:not(.modebar-btn), select, summary)')]
  .filter(e => e.checkVisibility({visibilityProperty: true}) && e.getBoundingClientRect().height < 24)
  .map(e => e.outerHTML.slice(0, 120))"""


def look_everywhere(tab: Tab, check: Any) -> None:
    """Opens every tab and layer, and has each looked at."""
    for name in LAYERS:
        layer(tab, name)
        check("tab-picture", name)
    for name in ("Prompt", "Rotation", "Cost"):
        open_tab(tab, name)
        tab.unfold(name)
        plots = {"Rotation": 3, "Cost": 1}.get(name, 0)
        inside = tab.page.locator(f"#tab-{name.lower()}")
        expect(inside.locator(".js-plotly-plot .main-svg:first-child")).to_have_count(plots)
        if name == "Cost":
            expect(inside.locator(".cost-view img")).to_have_count(4)
        check(f"tab-{name.lower()}", name)


def test_the_whole_panel_works_without_weights(none: Tab, none_app: App, material: Path) -> None:
    """Its numbers are those of a prompt that would run; each figure stands below a sentence that says what is seen."""
    files = (material / "cat.png", material / "clip.mp4")
    none.attach(*files)
    shown = seen(none, 2, draft=True)
    trace = expected(none_app, [user("Describe these files.", *files)])
    equals(shown, trace)

    def says(inside: str, name: str) -> None:
        figures = none.page.evaluate(FIGURES, inside)
        assert figures
        for figure, sentence in figures:
            assert re.search(r"\w+ \w+.*[.?:]$", sentence, re.S), (name, figure, sentence)

    look_everywhere(none, says)
    expect(none.page.locator("#rotation-waves")).to_contain_text("16 turn with t, 24 turn with h, 24 turn with w")
    expect(none.page.locator("#cost-now")).to_contain_text("No model is loaded, so there is neither time nor memory")
    turn = len(trace) - int(trace.input_ids.tolist().index(trace.input_ids[0], 1))  # from the second <|im_start|> on
    expect(none.page.locator("#cost-now")).to_contain_text(f"This turn will take {turn:,} tokens")
    for number, medium in enumerate(trace.media):
        (_, h, w), (rows, columns) = medium.grid_thw, medium.merged_grid[1:]
        none.panel.locator(".lens-chooser button").nth(number).click()
        expect(none.panel.locator(".lens-numbers")).to_contain_text(f"{w}x{h} of 14x14 px")
        expect(none.panel.locator(".lens-numbers")).to_contain_text(f"{columns}x{rows} = {medium.merged_tokens:,}")


def test_a_question_is_answered_by_a_sentence_and_the_panel_stays(none: Tab, material: Path) -> None:
    """The question goes back to the composer with its file; while it was on its way the panel may have been empty."""
    none.attach(material / "cat.png")
    before = seen(none, 1, draft=True)
    none.send("What is it?")
    expect(none.notice).to_contain_text("No model is loaded (--model none)")
    expect(none.attached).to_have_count(1)
    expect(none.text).to_have_value("What is it?")
    none.quiet()  # whatever the panel still had to look at
    none.page.wait_for_function("() => window.qwen2vl.lens.snapshot()?.media.length === 1")
    assert (snapshot(none) or {})["media"][0]["digest"] == before["media"][0]["digest"]
    expect(none.page.locator("#where .words button")).to_have_count(0)
    expect(none.page.locator("#lens-picture [data-value=attention]")).to_be_hidden()


def test_the_keys_are_enough_for_the_panel(none: Tab, material: Path) -> None:
    """Tabs, pictures, layers, cells, chips and the lines of the positions, without a pointer."""
    none.attach(material / "cat.png", material / "dog.jpg")
    shown = seen(none, 2, draft=True)
    layer(none, "merged")
    press = none.page.keyboard.press
    pictures = none.page.locator("#lens-picture .lens-chooser button")
    pictures.nth(1).focus()  # the newest is shown
    press("ArrowLeft")
    assert (snapshot(none) or {})["medium"] == 0
    expect(pictures.first).to_be_focused()
    assert pictures.evaluate_all("all => all.map(e => e.tabIndex)") == [0, -1]
    press("Tab")
    press("ArrowRight")
    assert (snapshot(none) or {})["layer"] == "t"
    press("Tab")
    expect(none.page.locator("#lens-glossary")).to_be_visible()  # of the first word of the field in the sentence
    while none.page.evaluate("document.activeElement.matches('[data-term]')"):
        press("Tab")
    expect(none.page.locator("#lens-picture .lens-stage")).to_be_focused()
    press("ArrowDown")
    press("ArrowRight")
    assert (snapshot(none) or {})["at"]["token"] == shown["media"][0]["span"][0] + 1
    assert fact(none, "Cell").startswith("row 0 of") and "column 1 of" in fact(none, "Cell")
    press("Escape")
    prompt = none.page.get_by_role("tab", name="Prompt", exact=True)
    assert prompt.evaluate("e => e.tabIndex") == 0
    prompt.focus()
    press("Enter")
    chips = none.page.locator("#lens-prompt .lens-chips")
    expect(chips).to_be_visible()
    chips.focus()
    first = shown["media"][0]["span"][0]
    for _ in range(first + 1):  # the first one enters at token 0
        press("ArrowRight")
    assert (snapshot(none) or {})["at"]["token"] == first
    press("Enter")  # unfolds the picture
    press("ArrowRight")
    press("ArrowRight")
    assert (snapshot(none) or {})["at"]["token"] in (first + 1, first + 2)
    press("Escape")
    plot = none.page.locator("#lens-prompt .lens-plot")
    plot.focus()
    before = plot.locator("canvas").evaluate("e => e.toDataURL()")
    press("+")
    assert plot.locator("canvas").evaluate("e => e.toDataURL()") != before
    press("0")
    assert plot.locator("canvas").evaluate("e => e.toDataURL()") == before


@pytest.mark.large
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_every_tab_fits_and_can_be_tapped(none_app: App, visit: Visits, material: Path, scheme: str) -> None:
    tab = visit(none_app, viewport=PHONE, is_mobile=True, has_touch=True, color_scheme=scheme)
    tab.attach(material / "cat.png", material / "clip.mp4")
    seen(tab, 2, draft=True)

    def fits(_: str, name: str) -> None:
        assert tab.width() <= PHONE["width"], name
        assert tab.page.evaluate(SMALL) == [], name

    look_everywhere(tab, fits)


def test_pointing_asks_nothing_and_every_view_follows(none: Tab, material: Path) -> None:
    """One cell under the pointer: its frame, its facts and its chip below are all of the same token."""
    none.attach(material / "cat.png")
    medium = seen(none, 1, draft=True)["media"][0]
    layer(none, "merged")
    none.quiet(300)  # whatever the upload still had to ask
    requests: list[str] = []
    none.page.on("request", lambda request: requests.append(request.url))
    _, rows, columns = medium["merged_grid"]
    for row, column in ((0, 0), (rows - 1, columns - 1), (2, 3)):
        point(none, row, column, (rows, columns))
        token = medium["span"][0] + row * columns + column
        assert (snapshot(none) or {})["at"]["token"] == token
        assert fact(none, "Token").startswith(f"no. {token} of the prompt")
    strip = none.page.locator("#lens-picture .lens-strip")
    strip.scroll_into_view_if_needed()
    box = strip.bounding_box()
    assert box
    none.page.mouse.move(box["x"] + box["width"] / 2 + 33, box["y"] + 20)  # the next chip to the right
    at = (snapshot(none) or {})["at"]["token"]
    assert fact(none, "Token").startswith(f"no. {at} of the prompt")
    expect(none.page.locator("#lens-picture .lens-mark").first).to_be_visible()
    assert requests == []
