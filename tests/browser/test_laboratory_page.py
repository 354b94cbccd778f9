"""The laboratory with a visitor's hands: a region by pointer and by keyboard, blocks in turn, other words, layers."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from qwen2vl_demo.ui.panel.accuracy import ONLY_NANO
from qwen2vl_demo.ui.panel.experiments import NO_MODEL, START_ONE
from tests.browser.driver import Tab
from tests.browser.lens_driver import canvas_box, snapshot, stage
from tests.browser.test_where import bright, words

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).resolve().parents[2] / "assets" / "examples"


def part(tab: Tab, name: str) -> Locator:
    return tab.page.locator(f"#lab [data-part={name}]")


def fold(tab: Tab, name: str, *, opened: bool) -> None:
    """A visitor before may have left it open."""
    details = tab.page.locator(f"#lab [data-fold={name}]")
    if (details.get_attribute("open") is not None) != opened:
        details.locator("summary").first.click()


def unfold(tab: Tab, name: str) -> None:
    fold(tab, name, opened=True)


def state(tab: Tab, name: str) -> Any:
    return tab.page.evaluate(f"() => window.qwen2vl.lens.state.{name}")


def lost(tab: Tab) -> list[str]:
    return part(tab, "words").first.locator(".number").all_inner_texts()


def drag(tab: Tab, start: tuple[int, int], end: tuple[int, int], grid: tuple[int, int]) -> None:
    """From the middle of one cell (row, column) to that of another, of a grid (rows, columns)."""
    stage(tab).scroll_into_view_if_needed()
    box = canvas_box(tab)

    def at(cell: tuple[int, int]) -> tuple[float, float]:
        return (
            box["x"] + (cell[1] + 0.5) * box["width"] / grid[1],
            box["y"] + (cell[0] + 0.5) * box["height"] / grid[0],
        )

    tab.page.mouse.move(*at(start))
    tab.page.mouse.down()
    tab.page.mouse.move(*at(end), steps=3)
    tab.page.mouse.up()


def test_a_region_is_dragged_or_chosen_by_keys_and_every_word_says_what_it_lost(fake: Tab, material: Path) -> None:
    """cat.png is 9x11 tokens, and the fake engine's word n needs cell n: it loses 6 under grey pixels and 3 without
    attention."""
    fake.ask("What is here?", material / "cat.png")
    unfold(fake, "hide")
    expect(part(fake, "go")).to_be_disabled()
    part(fake, "choose").click()
    drag(fake, (1, 2), (0, 1), (9, 11))
    expect(part(fake, "region")).to_have_text("The region: rows 0 to 1, columns 1 to 2: 4 of 99 tokens.")
    assert snapshot(fake)["at"] is None  # type: ignore[index]  # nothing was pointed at meanwhile
    part(fake, "go").click()
    expect(part(fake, "sentence").last).to_contain_text("The whole answer is")
    count = words(fake).count()
    assert lost(fake) == ["−6.0" if n in (1, 2, 12, 13) else "0" for n in range(count)]
    part(fake, "words").last.locator("button").nth(1).click()
    expect(part(fake, "sentence").last).to_contain_text("had a probability of 61 %; without the region it is 0.2 %")
    expect(part(fake, "sentence").last).to_contain_text("403 times less likely. 4.0 % of the attention")
    # The other way, with another region, by keyboard: one to the right of where the drag ended, and stretched.
    fake.page.get_by_label("tokens left out of attention").check()
    part(fake, "choose").focus()
    fake.page.keyboard.press("Enter")
    expect(stage(fake)).to_be_focused()
    for key in ("ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight"):
        fake.page.keyboard.press(key)
    expect(part(fake, "region")).to_have_text("The region: row 0, columns 2 to 4: 3 of 99 tokens.")
    assert fake.page.locator(".lens-region").get_attribute("data-cover") == "left_out"
    fake.page.keyboard.press("Enter")
    assert state(fake, "choosing") is False
    part(fake, "go").click()
    expect(part(fake, "legend")).to_contain_text("left out of attention")
    assert lost(fake) == ["−3.0" if n in (2, 3, 4) else "0" for n in range(count)]
    fold(fake, "hide", opened=False)
    fake.page.wait_for_function("() => window.qwen2vl.lens.state.region === null")  # told a moment later


def test_blocks_are_hidden_in_turn_with_a_map_for_each_word_and_a_stop(fake: Tab, material: Path) -> None:
    """Blocks of 2x2: word 5 needs cell 5, which is in the third block; the map of the whole answer is bright where more
    words need a block."""
    fake.ask("What is here?", material / "cat.png")
    unfold(fake, "hide")
    part(fake, "all").click()
    expect(part(fake, "progress")).to_be_hidden()
    expect(part(fake, "legend")).to_contain_text("the most that its log-probability fell")
    part(fake, "words").last.locator("button").nth(5).click()
    shown = snapshot(fake)
    assert shown is not None and shown["layer"] == "attention"
    assert bright(shown["overlay"][0]) == [4, 5, 15, 16]
    expect(fake.page.locator("#lens-picture [data-value=attention]")).to_have_text("Need")
    expect(part(fake, "sentence").last).to_contain_text("needs rows 0 to 1, columns 4 to 5 most")
    fake.button("New chat").click()
    expect(fake.page.locator("#lab .lab")).to_be_hidden()
    fake.ask("What is slow", material / "cat.png")  # the fake engine waits at the second block
    part(fake, "all").click()
    expect(part(fake, "stop")).to_be_visible()
    part(fake, "stop").click()
    expect(part(fake, "status").first).to_have_text("Stopped after 1 of 30 blocks.")
    expect(part(fake, "all")).to_be_enabled()


def test_other_words_layers_and_what_a_neutral_question_leaves(fake: Tab, material: Path) -> None:
    fake.ask("What is here?", material / "cat.png")
    unfold(fake, "choices")
    expect(part(fake, "ask-word")).to_be_visible()
    words(fake).nth(2).click()
    expect(part(fake, "how")).to_contain_text("Greedy")
    rows = part(fake, "places").locator("li")
    expect(rows).to_have_count(3)
    assert [rows.nth(n).locator(".share").inner_text() for n in range(3)] == ["60 %", "30 %", "10 %"]
    expect(rows.nth(2).locator("code")).to_have_text("<b>")
    rows.nth(1).get_by_role("button").click()
    expect(part(fake, "instead")).to_contain_text("<i>Instead</i> token 7")
    words(fake).nth(3).click()
    expect(rows.first.locator("code")).to_have_text(words(fake).nth(3).inner_text())
    expect(part(fake, "instead")).to_be_hidden()
    expect(fake.page.locator("#where [data-part=numbers]")).to_be_visible()  # its map came as well
    expect(fake.page.locator("#where [data-part=status]")).to_be_empty()
    unfold(fake, "layers")
    part(fake, "read").click()
    expect(part(fake, "which")).to_contain_text("row 4, column 5")
    expect(part(fake, "rows").locator("tr")).to_have_count(3)
    expect(part(fake, "rows")).to_contain_text("as it enters")
    words(fake).nth(5).click()
    where = fake.page.locator("#where")
    where.get_by_label("Subtract").check()
    where.locator("[data-part=layer]").select_option("1")
    where.locator("[data-part=head]").select_option("2")
    shown = snapshot(fake)
    assert shown is not None and [i for i, v in enumerate(shown["overlay"][0]) if v] == [5]
    expect(fake.page.locator("#lens-picture")).to_contain_text("looked at beyond what “Describe.” does")
    where.get_by_label("Subtract").uncheck()
    where.get_by_role("button", name="Play the layers").click()
    expect(where.locator("[data-part=layer]")).to_have_value("1")
    expect(where.get_by_role("button", name="Play the layers")).to_be_visible()  # it has ended


def test_what_was_displaced_while_a_map_was_on_its_way_says_that_it_was_stopped(fake: Tab, material: Path) -> None:
    fake.ask("What is here?", material / "cat.png")
    for name in ("choices", "hide"):
        unfold(fake, name)
    fake.page.evaluate(
        """() => {
          document.querySelectorAll("#where .words button")[1].click();
          document.querySelector("#lab [data-part=all]").click();
        }"""
    )
    expect(part(fake, "choices-status")).to_have_text("Stopped.")
    expect(part(fake, "sentence").last).to_contain_text("The whole answer needs")
    words(fake).nth(2).click()
    expect(fake.page.locator("#lab .choice")).not_to_have_count(0)


def test_a_map_over_another_prompt_is_of_the_one_that_was_answered(fake: Tab, material: Path) -> None:
    """With another budget the picture has other tokens; to choose a region brings back the prompt that was answered.
    What stands in the composer takes its place in the panel, and its words go; the region of the old picture goes with
    them."""
    fake.ask("What is here?", material / "cat.png")
    key = snapshot(fake)["key"]  # type: ignore[index]
    unfold(fake, "hide")
    fake.setting("Maximum tokens per picture", 20)
    fake.quiet()
    assert snapshot(fake)["key"] != key  # type: ignore[index]
    part(fake, "choose").click()
    fake.page.wait_for_function("() => window.qwen2vl.lens.state.choosing")
    assert snapshot(fake)["key"] == key  # type: ignore[index]
    drag(fake, (0, 0), (1, 1), (9, 11))
    expect(part(fake, "region")).to_contain_text("4 of 99 tokens")
    fake.attach(material / "dog.jpg")
    expect(fake.page.locator("#lab .lab")).to_be_hidden()
    assert state(fake, "region") is None and state(fake, "choosing") is False
    fake.setting("Maximum tokens per picture", 1280)


def test_without_weights_here_the_reason_stands_in_its_place(none: Tab, material: Path) -> None:
    none.attach(material / "cat.png")
    expect(part(none, "unavailable")).to_contain_text("No model is loaded")
    expect(none.page.locator("#lab summary").first).to_be_hidden()
    none.page.get_by_role("tab", name="Experiments", exact=True).click()
    for experiment in ("budget", "compare"):
        none.page.locator(f"#experiment-{experiment}").click()
        alert = none.page.locator(f"#experiment-{experiment}-found").get_by_role("alert")
        expect(alert).to_have_text(f"{NO_MODEL}{START_ONE}")
    expect(none.page.locator("#tab-experiments")).to_contain_text(ONLY_NANO)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_on_a_phone_the_tools_fit(visit: Any, nano_app: Any, theme: str) -> None:
    tab = visit(nano_app, viewport={"width": 390, "height": 844}, color_scheme=theme)
    tab.ask("What colour is the star?", EXAMPLES / "second.png")
    for name in ("hide", "choices", "layers"):
        unfold(tab, name)
    part(tab, "all").click()
    expect(part(tab, "legend")).to_contain_text("the most that its log-probability fell")
    words(tab).nth(3).click()
    part(tab, "read").click()
    expect(part(tab, "rows").locator("tr")).not_to_have_count(0)
    assert tab.width() <= 390
