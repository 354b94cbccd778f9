"""Whose eyes the panel sees with, and the words of the chat itself: with a visitor's hands, in the real app."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import App, Visits
from tests.browser.driver import Tab
from tests.browser.lens_driver import equals, expected, layer, seen, snapshot, user

pytestmark = pytest.mark.slow

# Where the n-th word of an answer stands on the page: the middle of it.
PLACE = """([bubble, word]) => {
  const walk = document.createTreeWalker(bubble, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const at = node.data.indexOf(word);
    if (at < 0) continue;
    const range = document.createRange();
    range.setStart(node, at);
    range.setEnd(node, at + word.length);
    const { x, y, width, height } = range.getBoundingClientRect();
    return [x + width / 2, y + height / 2];
  }
}"""


@pytest.fixture(scope="module")
def square(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("square") / "square.png"
    PIL.Image.effect_mandelbrot((448, 448), (-2, -1.5, 1, 1.5), 60).save(path)
    return path


def look_as(tab: Tab, name: str) -> None:
    tab.page.locator("#eyes").get_by_label(name).check()
    tab.quiet()


def wait_for_tokens(tab: Tab, tokens: int) -> dict[str, Any]:
    tab.page.wait_for_function(
        f"() => {{ const m = window.qwen2vl.lens.snapshot()?.media[0]; return m?.merged_tokens === {tokens}; }}"
    )
    return snapshot(tab) or {}


def test_a_square_of_448_pixels_is_256_tokens_to_the_released_ones(visit: Visits, nano_app: App, square: Path) -> None:
    """448 / 14 = 32 patches a side, 1,024 in all, and four to a token. nano, whose budget is 64 tokens, has 8x8. The
    browser remembers the choice; the question is still asked with nano's own budget."""
    tab = visit(nano_app)
    tab.attach(square)
    line = tab.page.locator("#eyes-line")
    expect(line).to_have_text("nano sees 64 tokens of this picture; Qwen2-VL 2B, 7B and 72B would see 256.")
    equals(seen(tab, 1, draft=True), expected(nano_app, [user("Describe this picture.", square)]))
    look_as(tab, "released Qwen2-VL (2B, 7B, 72B)")
    shown = wait_for_tokens(tab, 256)
    assert shown["media"][0]["grid_thw"] == [1, 32, 32] and shown["media"][0]["resized_size"] == [448, 448]
    assert shown["eyes"] == "released" and shown["context_length"] == 32_768
    expect(line).to_contain_text("would see 256 tokens of this picture; nano sees 64. Attention, times")
    layer(tab, "patches")
    expect(tab.page.locator("#lens-picture .lens-whole > .lens-says")).to_contain_text("32 x 32 = 1,024 patches")
    tab.page.get_by_role("tab", name="Experiments", exact=True).click()
    expect(tab.page.locator("#experiment-guesses")).to_contain_text("1,024 tokens, instead of 256")  # twice as large
    tab.page.get_by_role("tab", name="Picture", exact=True).click()
    tab.reload()
    expect(tab.page.locator("#eyes").get_by_label("released")).to_be_checked()
    tab.ask("What is it?", square)
    wait_for_tokens(tab, 256)
    (session,) = [s for s in nano_app.sessions.values() if s.shown is not None and s.shown.eyes == "released"]
    answer = session.conversation.turns[-1].answer
    assert answer is not None and answer.numbers is not None and answer.numbers.media[0].merged_tokens == 64


def test_without_a_model_the_eyes_are_the_released_ones_already(none: Tab) -> None:
    expect(none.page.locator("#side #panel-tabs")).to_be_visible()
    expect(none.page.locator("#eyes")).to_have_count(0)


def click_word(tab: Tab, answer: Locator, word: str) -> None:
    answer.scroll_into_view_if_needed()
    x, y = tab.page.evaluate(PLACE, [answer.element_handle(), word])
    tab.page.mouse.click(x, y)


def test_a_word_is_clicked_in_the_chat_itself_and_an_older_one_brings_its_prompt(fake: Tab, material: Path) -> None:
    """The first answer saw one picture, the second two more; the panel goes back to what the first had, says so, and
    returns to the present."""
    fake.ask("First?", material / "cat.png")
    fake.ask("Second?", material / "dog.jpg", material / "cat.png")
    where = fake.page.locator("#where")
    click_word(fake, fake.answers.last, "turn")
    expect(where.locator("[data-part=sentence]")).to_contain_text("The word “turn” was produced while")
    assert (snapshot(fake) or {})["layer"] == "attention" and len((snapshot(fake) or {})["media"]) == 3
    click_word(fake, fake.answers.first, "see")
    expect(where.locator("[data-part=sentence]")).to_contain_text("The word “see” was produced while")
    expect(where.locator("[data-part=turn]")).to_have_value("0")
    shown = snapshot(fake) or {}
    assert len(shown["media"]) == 1 and shown["overlay"] and shown["layer"] == "attention"
    mark = fake.page.locator("#lens-picture .lens-remark")
    expect(mark).to_contain_text("As it was when answer 1 was written")
    mark.get_by_role("button", name="Back to the present").click()
    expect(mark).to_be_hidden()
    shown = snapshot(fake) or {}
    assert len(shown["media"]) == 3 and shown["overlay"] is None
    where.locator("[data-part=turn]").select_option("0")
    expect(where.locator("[data-part=words]")).to_have_text(fake.answers.first.inner_text().strip())


def test_a_word_picked_after_the_budget_was_changed_lies_over_what_was_answered(fake: Tab, material: Path) -> None:
    """320x240 px were answered as 9x11 tokens; with at most 20 they would be 3x5, and no attention lay on these."""
    fake.ask("What is here?", material / "cat.png")
    fake.setting("Maximum tokens per picture", 20)
    wait_for_tokens(fake, 15)
    click_word(fake, fake.answers.last, "turn")
    expect(fake.page.locator("#where [data-part=sentence]")).to_contain_text("The word “turn” was produced while")
    shown = snapshot(fake) or {}
    assert [len(values) for values in shown["overlay"]] == [99] and shown["media"][0]["merged_grid"] == [1, 9, 11]
    expect(fake.page.locator("#lens-picture .lens-remark")).to_contain_text("the settings, the question or whose")
    fake.setting("Maximum tokens per picture", 1280)
    wait_for_tokens(fake, 99)
    expect(fake.page.locator("#lens-picture .lens-remark")).to_be_hidden()


def test_the_readout_is_never_an_empty_square(nano: Tab, material: Path) -> None:
    """Until a token is pointed at, the one in the middle stands there as an example."""
    nano.attach(material / "cat.png")
    (medium,) = seen(nano, 1, draft=True)["media"]
    layer(nano, "merged")
    nano.page.mouse.move(5, 5)
    _, rows, columns = medium["merged_grid"]
    readout = nano.page.locator("#lens-picture .lens-readout")
    expect(readout).to_contain_text(f"row {rows // 2} of {rows}, column {columns // 2} of {columns}")
    expect(readout).to_contain_text("as an example")
    colours = nano.page.locator(".lens-loupe").evaluate(
        """e => new Set(new Uint32Array(e.getContext('2d').getImageData(0, 0, e.width, e.height).data.buffer)).size"""
    )
    assert colours > 5


def test_the_tokens_of_the_answer_stand_behind_the_prompt(nano: Tab, material: Path) -> None:
    nano.ask("What is it?", material / "cat.png")
    nano.page.get_by_role("tab", name="Prompt", exact=True).click()
    shown = snapshot(nano) or {}
    answer = nano.page.evaluate("window.qwen2vl.lens.state.answer.tokens")
    text = nano.answers.last.inner_text().strip()
    assert "".join(answer).replace("<|im_end|>", "").strip() == text
    chips = nano.page.evaluate("window.qwen2vl.lens.chipPlaces().map(c => c.i)")
    length = len(shown["input_ids"])
    assert chips[-len(answer) :] == list(range(length, length + len(answer)))
    said = nano.page.locator("#lens-prompt .lens-says").first
    expect(said).to_contain_text(f"The answer has {len(answer)} more")
    expect(nano.page.locator("#lens-prompt .lens-whole > .lens-says").last).to_contain_text(
        f"The answer goes on at position {length + shown['rope_delta']} and not at {length}"
    )


def test_an_unfolded_picture_wraps_at_its_own_width(nano: Tab, material: Path) -> None:
    nano.attach(material / "cat.png")
    (medium,) = seen(nano, 1, draft=True)["media"]
    nano.page.get_by_role("tab", name="Prompt", exact=True).click()
    places = "window.qwen2vl.lens.chipPlaces().filter(c => c.cell)"
    if not nano.page.evaluate(f"{places}.length"):
        nano.page.locator("#lens-prompt .lens-chips").focus()
        nano.page.evaluate("token => window.qwen2vl.lens.point(token)", medium["span"][0])
        nano.page.keyboard.press("Enter")
    cells = nano.page.evaluate(f"{places}.map(c => [c.x, c.y])")
    _, rows, columns = medium["merged_grid"]
    assert len(cells) == rows * columns
    for row in range(rows):
        line = cells[row * columns : (row + 1) * columns]
        assert len({y for _, y in line}) == 1 and [x for x, _ in line] == [x for x, _ in cells[:columns]]


def test_words_of_the_field_are_explained_by_pointer_and_by_keyboard(nano: Tab, material: Path) -> None:
    nano.attach(material / "cat.png")
    seen(nano, 1, draft=True)
    layer(nano, "merged")
    term = nano.page.locator("#lens-picture .lens-whole > .lens-says [data-term]").first
    box = nano.page.locator("#lens-glossary")
    term.focus()
    expect(box).to_be_visible()
    expect(term).to_have_attribute("aria-describedby", "lens-glossary")
    expect(box).to_contain_text(nano.page.evaluate("window.qwen2vl.lens.terms.patch"))
    nano.page.keyboard.press("Escape")
    expect(box).to_be_hidden()
    nano.page.locator("#lens-picture .lens-title").hover()
    term.hover()
    expect(box).to_be_visible()


def test_the_settings_of_tokens_have_logarithmic_sliders(fake: Tab) -> None:
    """From 1 to 16,384: half of the way is their geometric mean, 128. A number that is typed moves the slider."""
    fake.button("Settings").click()
    slider = fake.page.locator("#max-image-tokens .log-slider")
    slider.fill("200")
    number = fake.page.get_by_label("number input for Maximum tokens per picture")
    expect(number).to_have_value("128")
    expect(slider).to_have_attribute("aria-valuetext", "128 tokens")
    number.fill("1280")
    number.press("Enter")
    expect(slider).to_have_attribute("aria-valuetext", "1,280 tokens")
    assert abs(float(slider.input_value()) - 400 * 10.32 / 14) < 2  # log2 of 1,280 is 10.32, of 16,384 is 14
    fake.button("Settings").click()
