"""Boxes, their names in the answer and the merged tokens below them light one another; both readings of coordinates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.browser import lens_driver as lens
from tests.browser.driver import Tab

pytestmark = pytest.mark.slow

LIT = r"(^|\s)lit(\s|$)"
SAY = "!say At 1.1 s there is <|object_ref_start|>{}<|object_ref_end|><|box_start|>(0,0),(500,500)<|box_end|>."


def names(tab: Tab) -> Locator:
    return tab.page.locator("#chat .box-name[role=button]")


def spots(tab: Tab) -> Locator:
    return tab.page.locator("#chat .box-layer [role=button]")


def lit(tab: Tab) -> tuple[list[str], list[str]]:
    """The names and the boxes that light."""
    tab.page.evaluate(lens.FRAMES % "true")
    words = tab.page.locator("#chat .box-name.lit").all_inner_texts()
    return words, [str(one.get_attribute("aria-label")) for one in tab.page.locator("#chat .box-layer .lit").all()]


def cells(tab: Tab) -> list[list[int]]:
    """The blocks of cells that light in the panel, as [row, rows, column, columns], read from where they are drawn."""
    tab.page.evaluate(lens.FRAMES % "true")
    found: list[list[int]] = tab.page.evaluate(
        """() => {
  const { merged_grid: [, h, w] } = window.qwen2vl.lens.state.data.media[window.qwen2vl.lens.state.medium];
  return [...document.querySelectorAll("#lens-picture .lens-stage .lens-lit:not([hidden]) i")].map(block => {
    const [a, b] = [block.getBoundingClientRect(), block.closest(".lens-stage").querySelector("canvas")
      .getBoundingClientRect()];
    return [(a.top - b.top) / b.height * h, a.height / b.height * h, (a.left - b.left) / b.width * w,
      a.width / b.width * w].map(Math.round);
  });
}"""
    )
    return found


def covered(shown: dict[str, Any], left: float, top: float, right: float, bottom: float) -> list[int]:
    """The same, derived: 28 px are a cell, and thousandths count the sides of the resized picture."""
    height, width = shown["media"][-1]["resized_size"]
    rows = {y // 28 for y in range(height) if top * height < 1000 * (y + 1) and 1000 * y < bottom * height}
    columns = {x // 28 for x in range(width) if left * width < 1000 * (x + 1) and 1000 * x < right * width}
    return [min(rows), len(rows), min(columns), len(columns)]


def middle(tab: Tab, spot: int) -> tuple[float, float]:
    box = spots(tab).nth(spot).locator("i").first.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_name_a_box_and_its_tokens_light_one_another(fake: Tab, material: Path) -> None:
    fake.ask("!boxes", material / "cat.png")
    lens.layer(fake, "merged")
    shown = lens.seen(fake, 1)
    expect(names(fake)).to_have_text(["the red square", "a dot"])
    expect(fake.answers.last).to_contain_text("There is the red square and a dot.")
    square = covered(shown, 100, 100, 400, 500)
    dot = covered(shown, 600, 600, 800, 800)
    assert lit(fake) == ([], []) and cells(fake) == []

    names(fake).first.hover()
    assert lit(fake) == (["the red square"], ["Box: the red square"]) and cells(fake) == [square]
    expect(fake.page.locator("#lens-picture .lens-stage .lens-lit-says")).to_contain_text(
        f"“the red square”: rows {square[0]} to {square[0] + square[1] - 1}"
    )
    fake.page.mouse.move(*middle(fake, 1))
    assert lit(fake) == (["a dot"], ["Box: a dot"]) and cells(fake) == [dot]
    fake.page.mouse.move(2, 2)
    assert lit(fake) == ([], []) and cells(fake) == []

    grid = tuple(shown["media"][0]["merged_grid"][1:])
    lens.point(fake, dot[0], dot[2], grid)
    assert lit(fake) == (["a dot"], ["Box: a dot"])
    lens.point(fake, square[0], square[2], grid)
    assert lit(fake) == (["the red square"], ["Box: the red square"])
    fake.page.mouse.move(2, 2)
    assert lit(fake) == ([], [])

    # By keyboard: Enter holds the light.
    fake.page.get_by_role("button", name="the red square: its box on the picture").focus()
    assert lit(fake)[0] == ["the red square"]
    fake.page.keyboard.press("Enter")
    fake.text.focus()
    assert lit(fake)[0] == ["the red square"] and cells(fake) == [square]
    expect(names(fake).first).to_have_attribute("aria-pressed", "true")
    lens.layer(fake, "resized")
    assert cells(fake) == [] and fake.page.locator("#lens-picture .lens-panes .lens-lit i").count() == 1
    lens.layer(fake, "patches")
    assert cells(fake) == [square]
    spots(fake).first.focus()
    fake.page.keyboard.press("ArrowRight")
    assert lit(fake) == (["a dot"], ["Box: a dot"])
    fake.page.keyboard.press("Escape")
    fake.text.focus()
    assert lit(fake) == ([], [])

    # A click still opens the picture.
    fake.page.mouse.click(*middle(fake, 0))
    expect(fake.page.locator("#lightbox")).to_be_visible()
    fake.page.keyboard.press("Escape")


def test_names_are_found_in_code_and_stay_words(fake: Tab, material: Path) -> None:
    """In JSON it is the label, or the numbers of a box without one. What looks like HTML stays text."""
    fake.ask(
        '!say ```json\n[{"bbox_2d": [1, 2, 3, 4], "label": "n"}, {"point_2d": [500, 600]}]\n```', material / "cat.png"
    )
    expect(names(fake)).to_have_count(2)
    expect(names(fake).first).to_have_text("n")
    assert "".join(fake.page.locator("#chat .box-name").all_inner_texts()).replace(", ", "") == "n500600"
    fake.ask(SAY.format("<img src=x onerror=window.hacked=1> & <b>bold</b>"))
    expect(names(fake)).to_have_count(3)
    expect(names(fake).last).to_have_text("img src=x onerror=window.hacked=1> & <b>bold</b")
    expect(fake.answers.last.locator("p img, b")).to_have_count(0)
    assert fake.page.evaluate("window.hacked") is None


def test_in_doubt_both_readings_are_drawn_and_the_visitor_decides(fake: Tab, material: Path) -> None:
    """A picture of 320x240 px is seen at 308x252 px: (100, 60)-(300, 200) are 32 % to 97 % of its width as pixels."""
    fake.ask('!say {"bbox_2d": [100, 60, 300, 200], "label": "cat"}', material / "cat.png")
    frames, units = spots(fake).locator("i"), fake.page.locator("#chat .box-units")
    expect(units).to_contain_text("The answer does not say how its numbers count.")
    expect(frames).to_have_count(2)
    expect(units.locator("[aria-pressed=true]")).to_have_text("Auto")
    width, height = 308, 252
    left = fake.page.evaluate("() => [...document.querySelectorAll('#chat .box-layer i')].map(i => i.style.left)")
    assert left == ["10%", f"{round(100 * 100 / width, 3)}%"]
    lens.layer(fake, "merged")
    shown = lens.seen(fake, 1)
    assert shown["media"][0]["resized_size"] == [height, width]
    across, down = 1000 / width, 1000 / height
    pixels = covered(shown, 100 * across, 60 * down, 300 * across, 200 * down)
    names(fake).first.hover()
    assert cells(fake) == [pixels, covered(shown, 100, 60, 300, 200)]

    units.get_by_role("button", name="Pixels").click()
    expect(units.locator("[aria-pressed=true]")).to_have_text("Pixels")
    expect(frames).to_have_count(1)
    fake.quiet()
    expect(units.get_by_role("button", name="Pixels")).to_be_focused()
    names(fake).first.hover()
    assert cells(fake) == [pixels]

    fake.reload()
    expect(units.locator("[aria-pressed=true]")).to_have_text("Pixels")
    expect(frames).to_have_count(1)


def test_boxes_of_a_clip_lie_on_the_frame_that_is_named(fake: Tab, material: Path) -> None:
    fake.ask(SAY.format("a bar").replace("there", "that"), material / "clip.mp4")
    lens.layer(fake, "merged")
    shown = lens.seen(fake, 1)
    times = shown["media"][0]["timestamps"]
    nearest = min(range(len(times)), key=lambda i: abs(times[i] - 1.1))
    expect(fake.page.locator("#chat .bot.message img")).to_have_count(1)
    expect(fake.page.locator("#chat .bot-row")).to_contain_text(f"The frame at {times[nearest]:.1f} s of clip.mp4")
    # The caption, which has a "that" too, is no part of the answer.
    picked = fake.page.evaluate(
        """() => new Promise(done => {
  const { pickInChat } = window.qwen2vl;
  window.qwen2vl.pickInChat = (...picked) => { window.qwen2vl.pickInChat = pickInChat; done(picked); };
  const words = [...document.querySelectorAll("#chat [data-testid=bot]")].at(-1);
  const texts = document.createTreeWalker(words, NodeFilter.SHOW_TEXT);
  let node = texts.nextNode();
  while (!node.data.includes(" that ")) node = texts.nextNode();
  const range = document.createRange();
  range.setStart(node, node.data.indexOf(" that ") + 1);
  range.setEnd(node, node.data.indexOf(" that ") + 5);
  const { left, top, width, height } = range.getBoundingClientRect();
  const at = { clientX: left + width / 2, clientY: top + height / 2, bubbles: true };
  node.parentElement.dispatchEvent(new MouseEvent("click", at));
})"""
    )
    assert picked == [0, "that", 0]
    names(fake).first.hover()
    assert cells(fake) == [covered(shown, 0, 0, 500, 500)]
    assert fake.page.evaluate("window.qwen2vl.lens.state.t") == nearest // 2
