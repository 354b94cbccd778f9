"""The tabs Rotation and Cost in a browser: the real app, the real nano, before and after an answer."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from playwright.sync_api import expect

from qwen2vl_demo.viz.figure_theme import AXIS_COLOURS, MODEL_COLOURS, QWEN
from tests.browser.conftest import App, Visits
from tests.browser.driver import Tab

pytestmark = pytest.mark.slow


def open_tab(tab: Tab, name: str) -> None:
    """With all that is folded in it."""
    tab.page.get_by_role("tab", name=name, exact=True).click()
    tab.unfold(name)


def test_the_cost_is_there_before_sending_and_measured_afterwards(nano_app: App, visit: Visits, photo: Path) -> None:
    """In a tab of its own: a shared one remembers what earlier answers took."""
    nano = visit(nano_app)
    page = nano.page
    nano.attach(photo)
    expect(page.locator("#cost")).to_contain_text(re.compile(r"1 picture: \d+ tokens.*About .+ to the first word"))
    open_tab(nano, "Cost")
    now, views = page.locator("#cost-now"), page.locator("#cost-views .cost-view img")
    expect(now).to_contain_text("This turn will take")
    expect(now).to_contain_text("Time on this device")
    expect(views).to_have_count(4)
    views.evaluate_all("imgs => Promise.all(imgs.map(i => i.decode()))")
    sizes = views.evaluate_all("imgs => imgs.map(i => [i.naturalWidth, i.naturalHeight])")
    assert sizes[:3] == [[224, 168], [336, 252], [672, 504]] and sizes[3][0] % 28 == sizes[3][1] % 28 == 0
    expect(page.locator("#cost-growth .js-plotly-plot")).to_be_visible()
    expect(page.locator("#cost-past")).not_to_contain_text("Predicted and measured")

    said = now.locator("b").nth(1).inner_text()
    nano.ask("What is this?")
    expect(page.locator("#cost-past")).to_contain_text("Predicted and measured")
    expect(now).to_contain_text("The last turn took")
    first = re.match(r"([\d,]+) prompt tokens", nano.numbers.inner_text())
    assert first is not None
    expect(page.locator("#cost-past tbody tr").first).to_contain_text(first[1])
    assert re.fullmatch(r"[\d,]+", said)

    nano.attach(photo)  # the same picture once more: its tokens are known, and so is what stands before
    expect(now).to_contain_text(re.compile(r"Not charged: \d+ tokens that are still known and the encoding of all"))


def test_all_four_pictures_move_together_and_ask_nothing(nano: Tab, photo: Path) -> None:
    page = nano.page
    nano.attach(photo)
    open_tab(nano, "Cost")
    views = page.locator("#cost-views .cost-view")
    expect(views).to_have_count(4)
    views.first.scroll_into_view_if_needed()
    nano.quiet(300)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.method == "POST" else None)
    box = views.nth(1).bounding_box()
    assert box is not None
    places = []
    for share in (0.1, 0.9):
        page.mouse.move(box["x"] + share * box["width"], box["y"] + 0.5 * box["height"])
        nano.quiet()
        places.append(
            page.locator("#cost-views .cost-view img").evaluate_all(
                "imgs => imgs.map(i => i.getBoundingClientRect().left - i.parentElement.getBoundingClientRect().left)"
            )
        )
    for before, after in zip(*places, strict=True):
        assert after < before - 0.5 * box["width"]
    page.locator("#cost-views .cost-views").focus()
    page.keyboard.press("ArrowLeft")
    x = page.locator("#cost-views .cost-views").evaluate("e => parseFloat(getComputedStyle(e).getPropertyValue('--x'))")
    assert x == pytest.approx(0.86, abs=0.02)
    page.get_by_label("Magnify all four").fill("1")
    left = page.locator("#cost-views .cost-view img").first.evaluate("i => i.getBoundingClientRect().width")
    assert left == pytest.approx(box["width"], abs=2)
    assert asked == []


def test_two_tokens_are_compared_by_name_by_number_and_by_click(nano: Tab, photo: Path) -> None:
    page = nano.page
    nano.ask("What is this?", photo)
    open_tab(nano, "Rotation")
    angles = page.locator("#rotation-angles")
    expect(angles).to_contain_text("The tokens differ by 0 in t, 0 in h and 1 in w")
    expect(page.locator(".bands-angles circle")).to_have_count(32)
    expect(page.locator("#rotation-wave-plot .js-plotly-plot")).to_be_visible()
    expect(page.locator("#rotation-angle-plot .js-plotly-plot")).to_be_visible()
    page.locator("#rotation-pair input").click()
    page.get_by_role("option", name="photo.png: neighbours in a column").click()
    expect(angles).to_contain_text("The tokens differ by 0 in t, 1 in h and 0 in w")

    ids = page.evaluate("window.qwen2vl.lens.snapshot().position_ids")
    first, second = page.locator("#rotation-first input"), page.locator("#rotation-second input")
    first.fill("3")
    first.press("Enter")
    b = int(second.input_value())
    apart = [abs(axis[b] - axis[3]) for axis in ids]
    expect(angles).to_contain_text("{} in t, {} in h and {} in w".format(*apart))
    expect(angles).to_contain_text("token 3:")
    expect(angles).to_contain_text(f"they would differ by {b - 3}.")

    open_tab(nano, "Picture")
    place = page.evaluate("window.qwen2vl.lens.snapshot().media[0].span[0]")
    for token in (place + 2, place + 9):
        page.evaluate("token => { const l = window.qwen2vl.lens; l.point(token); l.set({held: true}); }", token)
        page.wait_for_function("token => window.qwen2vl.lens.picked?.at(-1) === token", arg=token)
    open_tab(nano, "Rotation")
    page.locator("#rotation-clicked").click()
    expect(first).to_have_value(str(place + 2))
    expect(angles).to_contain_text(f"token {place + 9}:")


def test_rotation_speaks_of_an_empty_chat_too(nano: Tab) -> None:
    open_tab(nano, "Rotation")
    expect(nano.page.locator("#rotation-waves")).to_contain_text("8 turn with t, 12 turn with h, 12 turn with w")
    expect(nano.page.locator("#rotation-title")).to_contain_text("Attach a picture or ask something")
    expect(nano.page.locator("#rotation-choice")).to_be_hidden()


@pytest.mark.parametrize(
    ("name", "says", "figures"),
    [
        ("Rotation", "The bands of a head", 3),
        pytest.param("Cost", "The same picture elsewhere", 1, marks=pytest.mark.large),
    ],
)
def test_a_tab_is_kept_as_one_file_that_opens_offline(
    nano: Tab, visit: Visits, photo: Path, tmp_path: Path, name: str, says: str, figures: int
) -> None:
    """Its words and its figures stand in the file as they stood on the page, without a script and without a network."""
    nano.attach(photo)
    open_tab(nano, name)
    tab = nano.page.locator(f"#tab-{name.lower()}")
    expect(tab.locator(".js-plotly-plot .main-svg:first-child")).to_have_count(figures)
    with nano.page.expect_download() as download:
        tab.get_by_role("button", name="View as HTML").click()
    assert download.value.suggested_filename == f"{name.lower()}.html"
    kept = tmp_path / "kept.html"
    download.value.save_as(kept)
    _has_the_figures(nano, tab, name)
    context = visit.browser.new_context(offline=True, viewport={"width": 1000, "height": 900})
    page, errors = context.new_page(), []
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.on("requestfailed", lambda request: errors.append(request.url))
    page.goto(kept.as_uri())
    expect(page.get_by_text(says, exact=True)).to_be_visible()
    expect(page.locator(".js-plotly-plot .main-svg:first-child")).to_have_count(figures)
    drawn = page.locator(".js-plotly-plot .scatterlayer path").first.bounding_box()
    assert drawn is not None and drawn["y"] > 0
    assert page.locator("script, button, input").count() == 0
    page.screenshot(path=str(tmp_path / "kept.png"), full_page=True)
    context.close()
    assert errors == []


def _has_the_figures(nano: Tab, tab: Any, name: str) -> None:
    """The PNG is as wide as the tab, twice as sharp, and each figure left its colours in it."""
    with nano.page.expect_download() as download:
        tab.get_by_role("button", name="Figures as PNG").click()
    assert download.value.suggested_filename == f"{name.lower()}.png"
    picture = PIL.Image.open(download.value.path()).convert("RGB")
    assert picture.width == 2 * (tab.evaluate("e => e.clientWidth") + 32)
    pixels = np.asarray(picture).astype(int)
    colours = list(AXIS_COLOURS.values()) if name == "Rotation" else [QWEN, MODEL_COLOURS[1]]
    for colour in colours:
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(pixels - rgb).sum(axis=2) < 12).sum() > 300, colour
    # Of what is drawn last, the lower quarter is not empty either.
    assert np.ptp(pixels[-pixels.shape[0] // 4 :]) > 100
