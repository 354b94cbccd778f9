"""The tab Variants in a browser: positions and distances of the real prompt under every scheme."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from playwright.sync_api import Locator, expect

from qwen2vl_demo.positions.allotments import SHARED
from qwen2vl_demo.positions.variants import VARIANTS
from qwen2vl_demo.viz.bands import Rope
from qwen2vl_demo.viz.figure_theme import AXIS_COLOURS
from tests.browser.conftest import App
from tests.browser.driver import Tab

pytestmark = pytest.mark.slow

NANO = Rope((8, 12, 12), 50.0)


def open_variants(tab: Tab) -> Locator:
    tab.page.get_by_role("tab", name="Variants", exact=True).click()
    return tab.page.locator("#variants-view")


def shown_trace(app: App) -> Any:
    (trace,) = [session.shown.trace for session in app.sessions.values() if session.shown is not None]
    return trace


def number(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".").replace("-", "−")


def expected_rows(trace: Any, first: int, second: int) -> list[list[str]]:
    """Each variant's row of the table for two tokens that are in all sequences but Qwen3-VL's."""
    rows = []
    for variant in VARIANTS:
        laid = variant.lay_out(trace)
        apart = laid.positions()[:, second] - laid.positions()[:, first]
        axes = variant.allotment(NANO.sections)
        cosine = float(np.cos(apart[np.maximum(axes, 0)] * NANO.frequencies).mean())
        rows.append([variant.name, *map(number, apart), f"{cosine:.3f}".replace("-", "−"), number(laid.following)])
    return rows


def cells(view: Locator) -> list[list[str]]:
    rows = view.locator("tbody tr")
    return rows.evaluate_all("rows => rows.map(r => [...r.children].map(c => c.textContent))")


def test_an_empty_chat_is_told_what_to_do(nano: Tab) -> None:
    view = open_variants(nano)
    expect(view).to_contain_text("Attach a picture or a clip")
    expect(view.locator(".variants-card")).to_have_count(0)


def test_distances_of_two_tokens_are_those_of_every_layout_and_allotment(nano: Tab, nano_app: App, photo: Path) -> None:
    """Chosen by name, by number and by a click; the table is computed again here from the layouts."""
    page = nano.page
    nano.attach(photo)
    nano.quiet()
    view = open_variants(nano)
    expect(view.locator(".variants-card")).to_have_count(len(VARIANTS))
    trace = shown_trace(nano_app)
    first, second = view.get_by_label("Token A, by its number"), view.get_by_label("Token B, by its number")

    def compare() -> None:
        a, b = int(first.input_value()), int(second.input_value())
        rows = [row for row in cells(view) if not row[0].startswith("Qwen3")]
        assert rows == [row for row in expected_rows(trace, a, b) if not row[0].startswith("Qwen3")]

    nano.quiet()
    compare()
    view.get_by_label("Two tokens worth comparing").select_option(label="photo.png: neighbours in a column")
    nano.quiet()
    compare()
    assert cells(view)[1][1:4] == ["0", "1", "0"]
    columns = trace.media[0].merged_grid[2]
    assert cells(view)[0][1:4] == [str(columns)] * 3

    first.fill("2")
    nano.quiet()
    compare()
    expect(view.locator(".variants-chosen")).to_contain_text("A is token 2:")
    expect(view.get_by_label("Two tokens worth comparing")).to_have_value("")
    first.fill("99999")
    expect(view.get_by_role("status")).to_contain_text(f"tokens 0 to {len(trace) - 1:,}")
    first.fill("2")
    expect(view.get_by_role("status")).to_be_hidden()

    picture = view.locator("[data-key=mrope] .variants-mini canvas")
    picture.click(position={"x": 30, "y": 60})
    nano.quiet()
    assert trace.media[0].span[0] <= int(second.input_value()) < trace.media[0].span[1]
    compare()
    assert page.locator("#lens-data").count()  # the page is still whole


def test_a_token_that_is_pointed_at_is_marked_in_every_variant(nano: Tab, nano_app: App, photo: Path) -> None:
    nano.attach(photo)
    nano.quiet()
    view = open_variants(nano)
    trace = shown_trace(nano_app)
    nano.quiet()
    asked = nano.asked
    view.locator("[data-key=mrope] .variants-mini canvas").hover(position={"x": 40, "y": 50})
    nano.quiet()
    pointed = {
        card: tuple(map(float, re.findall(r"[\d.]+", said)))
        for card, said in view.locator(".variants-card").evaluate_all(
            "cards => cards.map(c => [c.dataset.key, c.querySelector('.variants-pointed').textContent])"
        )
    }
    (token,) = np.flatnonzero((trace.position_ids.T - pointed["mrope"] == 0).all(axis=1))
    start, end = trace.media[0].span
    assert start <= token < end
    for variant in VARIANTS:
        if variant.key != "qwen3":
            expected = variant.lay_out(trace).positions()[:, token]
            shared = variant.allotment(NANO.sections)[0] == SHARED
            assert pointed[variant.key] == tuple(expected[:1] if shared else expected)
    laid = next(v for v in VARIANTS if v.key == "qwen3").lay_out(trace)
    (own,) = [placed for placed in laid.runs if placed.run.medium == 0]
    (_, rows, columns), (_, own_rows, own_columns) = trace.media[0].merged_grid, own.run.grid
    row, column = divmod(token - start, columns)
    at = int((row + 0.5) * own_rows / rows) * own_columns + int((column + 0.5) * own_columns / columns)
    assert pointed["qwen3"] == tuple(own.positions()[:, at])
    assert nano.asked == asked  # the server is not asked


def test_pairs_and_colours_can_be_chosen_by_keyboard(nano: Tab, nano_app: App, photo: Path) -> None:
    nano.attach(photo)
    nano.quiet()
    view = open_variants(nano)
    nano.quiet()
    slider = view.get_by_label("Frequency pair", exact=True)
    slider.focus()
    slider.press("Home")
    slider.press("ArrowRight")
    turned = view.locator("[data-key=qwen3] .variants-turned")
    expect(turned).to_contain_text("pair 1 turns with h, by")
    expect(view.locator("[data-key=mrope] .variants-turned")).to_contain_text("pair 1 turns with t, by")
    slider.press("End")
    expect(turned).to_contain_text("pair 31 turns with h, by")
    expect(view.locator("[data-key=videorope] .variants-turned")).to_contain_text("pair 31 turns with t, by")
    medium = shown_trace(nano_app).media[0]
    start = int(shown_trace(nano_app).position_ids[0, medium.span[0]])
    legend = view.locator("[data-key=mrope] .variants-legend")
    expect(legend).to_have_text(f"h {start}{start + medium.merged_grid[1] - 1}")
    view.get_by_role("radio", name="row h").focus()
    nano.page.keyboard.press("ArrowLeft")
    expect(legend).to_have_text(f"t is {start} everywhere")


@pytest.mark.large
def test_pictures_and_a_clip_beside_each_other_on_a_phone(
    nano_app: App, visit: Any, photo: Path, material: Path
) -> None:
    tab = visit(nano_app, viewport={"width": 390, "height": 844})
    tab.attach(photo, material / "clip.mp4")
    tab.quiet()
    view = open_variants(tab)
    expect(view.locator(".variants-card")).to_have_count(len(VARIANTS))
    tab.quiet()
    assert tab.width() <= 390
    expect(view.locator("[data-key=qwen3] .variants-note")).to_contain_text("Each step of the clip")
    view.get_by_label("Two tokens worth comparing").select_option(index=3)
    tab.quiet()
    trace = max((s.shown.trace for s in nano_app.sessions.values() if s.shown), key=lambda t: len(t.media))
    a, b = (int(view.get_by_label(f"Token {x}, by its number").input_value()) for x in "AB")
    assert [r for r in cells(view) if "Qwen3" not in r[0]] == [
        r for r in expected_rows(trace, a, b) if "Qwen3" not in r[0]
    ]


def test_in_the_plane_a_token_is_found_where_its_h_and_w_are(nano: Tab, nano_app: App, photo: Path) -> None:
    """A square of 190 px at (15, 15), in which one position is `unit` px and the picture has a margin of a fifth."""
    nano.attach(photo)
    nano.quiet()
    view = open_variants(nano)
    view.get_by_role("radio", name="in the plane").click()
    nano.quiet()
    medium = shown_trace(nano_app).media[0]
    ids = shown_trace(nano_app).position_ids[:, slice(*medium.span)]
    low, high = int(ids.min()), int(ids[1:].max())
    around = max(2, -(-(high - low) // 5))
    unit = 190 / (high - low + 2 * around + 1)
    t, h, w = ids[:, medium.merged_grid[2] + 3].tolist()  # of row 1, column 3
    x, y = (15 + (value - (low - around - 0.5)) * unit for value in (w, h))
    view.locator("[data-key=mrope] .variants-mini canvas").hover(position={"x": x, "y": y})
    expect(view.locator("[data-key=mrope] .variants-pointed")).to_have_text(f"pointed at ({t}, {h}, {w})")
    columns = medium.merged_grid[2]
    expect(view.locator("[data-key='1d'] .variants-pointed")).to_have_text(f"pointed at {medium.span[0] + columns + 3}")
    view.get_by_role("radio", name="in order").click()  # for the next test in this tab


def test_on_words_all_schemes_agree(nano: Tab, nano_app: App) -> None:
    nano.ask("What is a star?")
    view = open_variants(nano)
    expect(view.locator(".variants-chosen")).to_contain_text("on words all schemes agree")
    nano.quiet()
    length = len(shown_trace(nano_app))
    assert {tuple(row[1:]) for row in cells(view)} == {(*[str(length - 1)] * 3, cells(view)[0][4], str(length))}


def test_it_leads_to_the_experiment_that_can_be_run(nano: Tab, photo: Path) -> None:
    nano.attach(photo)
    nano.quiet()
    view = open_variants(nano)
    view.get_by_role("button", name="Try them in Experiments").click()
    expect(nano.page.locator("#experiment-positions")).to_be_visible()


def test_the_tab_is_kept_as_one_file_and_its_figures_as_one_picture(
    nano: Tab, visit: Any, photo: Path, tmp_path: Path
) -> None:
    """The cards stand in the file as pictures; the colours of t, h and w are in the PNG."""
    nano.attach(photo)
    nano.quiet()
    open_variants(nano)
    nano.quiet()
    tab = nano.page.locator("#tab-variants")
    with nano.page.expect_download() as download:
        tab.get_by_role("button", name="View as HTML").click()
    kept = tmp_path / "kept.html"
    download.value.save_as(kept)
    with nano.page.expect_download() as download:
        tab.get_by_role("button", name="Figures as PNG").click()
    pixels = np.asarray(PIL.Image.open(download.value.path()).convert("RGB")).astype(int)
    for colour in AXIS_COLOURS.values():
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(pixels - rgb).sum(axis=2) < 12).sum() > 300, colour
    context = visit.browser.new_context(offline=True)
    page = context.new_page()
    page.goto(kept.as_uri())
    images = page.locator(".variants-card img")
    expect(images).to_have_count(2 * len(VARIANTS))
    assert images.evaluate_all("all => all.every(i => i.complete && i.naturalWidth > 100)")
    assert page.locator("tbody tr").count() == len(VARIANTS)
    context.close()
