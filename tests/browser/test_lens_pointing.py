"""Pointing at the panel's pictures: by pointer, finger and keys; what is named lies where it is shown."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from playwright.sync_api import expect

from qwen2vl_demo.geometry import patch_coordinates, raster_order
from tests.browser.conftest import PHONE, App, Visits
from tests.browser.driver import Tab
from tests.browser.lens_driver import canvas_box, expected, fact, layer, point, seen, snapshot, stage, user

pytestmark = pytest.mark.slow

MARK = (255, 0, 255)


def marked(path: Path, cell: int, rows: int, columns: int, row: int, column: int) -> Path:
    """A grey picture of rows x columns cells, each `cell` px a side, one of them painted."""
    pixels = np.full((rows * cell, columns * cell, 3), 140, np.uint8)
    pixels[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] = MARK
    PIL.Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize(
    ("cell", "rows", "columns", "row", "column"),
    [(28, 5, 9, 3, 7), (28, 9, 4, 0, 3), (56, 8, 8, 7, 2)],
    ids=["as it came", "upright", "made smaller"],
)
def test_the_marked_cell_lies_under_the_cell_that_the_panel_names(
    nano: Tab, nano_app: App, tmp_path: Path, cell: int, rows: int, columns: int, row: int, column: int
) -> None:
    """Found on the screen by its colour, pointed at, and named by its row and column; the frame lies around it.

    8x8 cells of 56 px are 448x448 px: 256 tokens, four times nano's 64, so that both sides halve and a cell has 28 px.
    """
    path = marked(tmp_path / "marked.png", cell, rows, columns, row, column)
    nano.attach(path)
    shown = seen(nano, 1, draft=True)
    assert shown["media"][0]["merged_grid"] == [1, rows, columns]
    layer(nano, "merged")
    stage(nano).scroll_into_view_if_needed()
    picture = np.asarray(PIL.Image.open(io.BytesIO(stage(nano).screenshot())).convert("RGB")).astype(int)
    ys, xs = np.nonzero(np.abs(picture - MARK).sum(axis=2) < 120)
    box = canvas_box(nano)
    left, right, top, bottom = xs.min(), xs.max(), ys.min(), ys.max()
    nano.page.mouse.move(box["x"] + (left + right) / 2, box["y"] + (top + bottom) / 2)
    at = (snapshot(nano) or {})["at"]
    token = shown["media"][0]["span"][0] + row * columns + column
    assert at["token"] == token
    assert fact(nano, "Cell") == f"row {row} of {rows}, column {column} of {columns}"
    assert fact(nano, "Pixels") == f"x {28 * column}–{28 * column + 27}, y {28 * row}–{28 * row + 27}"
    frame = stage(nano).locator(".lens-mark").first.bounding_box()
    assert frame is not None
    found = (box["x"] + left, box["y"] + top, right - left, bottom - top)
    assert np.allclose((frame["x"], frame["y"], frame["width"], frame["height"]), found, atol=5)
    start = expected(nano_app, [user("Describe this picture.", path)]).position_ids[:, shown["media"][0]["span"][0]]
    values = [int(start[0]), int(start[0]) + row, int(start[0]) + column]
    assert fact(nano, "Position").split()[2::3] == [str(v) for v in values]


def test_a_patch_is_named_by_its_row_its_column_and_both_orders(nano: Tab, tmp_path: Path) -> None:
    """6x4 cells are 12x8 patches. The patch in the lower left quarter of cell (1, 2) stands in row 3, column 4."""
    nano.attach(marked(tmp_path / "grid.png", 28, 6, 4, 1, 2))
    seen(nano, 1, draft=True)
    layer(nano, "patches")
    point(nano, 3, 4, (12, 8))
    assert (snapshot(nano) or {})["at"]["patch"] == 2
    place = int(raster_order(12, 8)[3 * 8 + 4])
    assert patch_coordinates((1, 12, 8))[place].tolist() == [3, 4]
    assert fact(nano, "Patches") == f"row 3, column 4: place {place} in block order, {3 * 8 + 4} in raster order"


def test_the_order_of_the_patches_can_be_stepped_through(nano: Tab, tmp_path: Path) -> None:
    """In block order the fifth patch (place 4) is the first of the second block: row 0, column 2."""
    nano.attach(marked(tmp_path / "grid.png", 28, 4, 5, 0, 0))
    seen(nano, 1, draft=True)
    layer(nano, "patches")
    slider = nano.page.get_by_label("How many patches have entered the model")
    slider.fill("4")
    nano.page.get_by_label("One patch on").click()
    expect(nano.page.locator("#lens-picture .lens-main > .lens-player output")).to_have_text("5 of 80")
    at = (snapshot(nano) or {})["at"]
    assert (at["token"] - seen(nano, 1)["media"][0]["span"][0], at["patch"]) == (1, 0)
    nano.page.get_by_role("button", name="Show all").click()
    expect(nano.page.locator("#lens-picture .lens-main > .lens-player output")).to_have_text("80 patches")


def test_the_keyboard_moves_the_cell_and_it_is_said(nano: Tab, tmp_path: Path) -> None:
    nano.attach(marked(tmp_path / "keys.png", 28, 4, 5, 2, 1))
    start = seen(nano, 1, draft=True)["media"][0]["span"][0]
    layer(nano, "merged")
    stage(nano).focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowRight", "ArrowUp", "End"):  # the first one enters at 0, 0
        nano.page.keyboard.press(key)
    assert (snapshot(nano) or {})["at"]["token"] == start + 1 * 5 + 4
    expect(nano.page.locator("#lens-picture .lens-live")).to_contain_text(f"row 1, column 4: token {start + 9}")
    nano.page.keyboard.press("Escape")
    assert (snapshot(nano) or {})["at"] is None


def test_values_from_elsewhere_lie_over_their_cells(nano: Tab, tmp_path: Path) -> None:
    """One value of twenty is the most: its cell alone is bright. Values that do not fit are not taken."""
    nano.attach(marked(tmp_path / "overlay.png", 28, 4, 5, 0, 0))
    seen(nano, 1, draft=True)
    give = "values => window.qwen2vl.lens.setOverlay({caption: 'Here <b>it</b> looked.', media: [values], open: true})"
    assert nano.page.evaluate(f"() => ({give})(new Uint8Array(19))") is False
    values = "new Uint8Array(20).fill(255, 6, 7)"
    assert nano.page.evaluate(f"() => ({give})({values})") is True
    assert (snapshot(nano) or {})["layer"] == "attention"
    expect(nano.page.locator("#lens-picture .lens-whole > .lens-says")).to_have_text("Here <b>it</b> looked.")
    stage(nano).scroll_into_view_if_needed()
    nano.page.mouse.move(0, 0)
    picture = PIL.Image.open(io.BytesIO(stage(nano).screenshot())).convert("L").resize((5, 4), PIL.Image.Resampling.BOX)
    assert int(np.argmax(np.asarray(picture))) == 6
    assert nano.page.evaluate("() => window.qwen2vl.lens.setOverlay(null)") is False
    assert (snapshot(nano) or {})["layer"] == "merged"


@pytest.mark.large
def test_a_phone_taps_and_nothing_is_wider_than_its_screen(nano_app: App, visit: Visits, material: Path) -> None:
    tab = visit(nano_app, viewport=PHONE, is_mobile=True, has_touch=True, color_scheme="dark")
    tab.attach(material / "cat.png")
    shown = seen(tab, 1, draft=True)
    for name in ("merged", "h", "resized", "patches", "merged"):
        layer(tab, name)
        assert tab.width() <= PHONE["width"]
    stage(tab).scroll_into_view_if_needed()
    box, (_, rows, columns) = canvas_box(tab), shown["media"][0]["merged_grid"]
    assert box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"]
    stage(tab).tap(position={"x": box["width"] * 2.5 / columns, "y": box["height"] * 1.5 / rows})
    assert (snapshot(tab) or {})["at"]["token"] == shown["media"][0]["span"][0] + columns + 2
    assert fact(tab, "Cell").startswith("row 1")
