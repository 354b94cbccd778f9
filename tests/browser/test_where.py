"""Where it looked, with a visitor's hands: words of the answer, layers and heads, and what the lens then shows."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.processing.messages import Image, Message, Text
from qwen2vl_demo.ui.panel.attention import WRITING
from tests.browser.driver import Tab

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).resolve().parents[2] / "assets" / "examples"


def words(tab: Tab) -> Locator:
    return tab.page.locator("#where .words button")


def part(tab: Tab, name: str) -> Locator:
    return tab.page.locator(f"#where [data-part={name}]")


def snapshot(tab: Tab) -> dict[str, Any]:
    """What the lens shows, a frame after everything that was asked of it."""
    return tab.page.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => "
        "done(window.qwen2vl.lens.snapshot()))))"
    )


def pick(tab: Tab, number: int) -> None:
    words(tab).nth(number).click()
    expect(words(tab).nth(number)).to_have_attribute("aria-pressed", "true")
    expect(part(tab, "numbers")).to_be_visible()
    expect(part(tab, "status")).to_be_empty()
    tab.quiet()  # what was there before may still stand


def bright(values: list[int] | None) -> list[int]:
    assert values is not None
    return [i for i, value in enumerate(values) if value > 200]


def test_a_word_and_a_head_are_picked_and_every_picture_shows_its_cell(fake: Tab, material: Path) -> None:
    """The fake engine's layer 1, head 2 looks at cell number `word` of each picture, counted round."""
    fake.ask("What differs?", material / "cat.png", material / "dog.jpg")
    expect(words(fake).first).to_be_visible()
    assert part(fake, "words").inner_text() == fake.answers.last.inner_text().strip()
    assert snapshot(fake)["medium"] == 1
    pick(fake, 4)
    shown = snapshot(fake)
    assert (shown["layer"], shown["medium"]) == ("attention", 0)  # the first of those with most comes to the front
    sizes = [medium["merged_tokens"] for medium in shown["media"]]
    assert [len(values) for values in shown["overlay"]] == sizes
    requests: list[str] = []
    fake.page.on("request", lambda request: requests.append(request.url))
    part(fake, "layer").select_option("1")
    part(fake, "head").select_option("2")
    shown = snapshot(fake)
    assert [bright(values) for values in shown["overlay"]] == [[4 % size] for size in sizes]
    expect(part(fake, "sentence")).to_contain_text("of the attention lay on picture 1")
    expect(fake.page.locator("#lens-picture")).to_contain_text("in layer 1, head 2")
    expect(fake.page.locator("#lens-picture")).to_contain_text("The brightest cell of picture 1 is row 0, column 4")
    assert requests == []  # all heads came along
    pick(fake, 5)
    assert [bright(values) for values in snapshot(fake)["overlay"]] == [[5 % size] for size in sizes]
    assert requests
    requests.clear()
    pick(fake, 4)  # asked for before
    assert [bright(values) for values in snapshot(fake)["overlay"]] == [[4 % size] for size in sizes]
    assert requests == []
    part(fake, "lift").check()
    assert sum(snapshot(fake)["overlay"][0]) > 1000
    part(fake, "lift").uncheck()
    words(fake).nth(4).click()  # once more: away with it
    expect(part(fake, "found")).to_be_hidden()
    shown = snapshot(fake)
    assert (shown["overlay"], shown["layer"] == "attention") == (None, False)


def test_a_kept_view_shows_the_attention_again(fake: Tab, visit: Any, material: Path, tmp_path: Path) -> None:
    """In a file that opens without a network: the same layer, the same values, the same sentence."""
    fake.ask("What differs?", material / "cat.png", material / "dog.jpg")
    pick(fake, 4)
    shown = snapshot(fake)
    sentence = fake.page.locator("#lens-picture .lens-whole > .lens-says").inner_text()
    with fake.page.expect_download() as download:
        fake.page.locator("#lens-picture").get_by_role("button", name="View as HTML").click()
    download.value.save_as(tmp_path / "view.html")
    page = visit.browser.new_context(offline=True).new_page()
    page.goto((tmp_path / "view.html").as_uri())
    page.wait_for_function("() => window.qwen2vl.lens.state.data")
    again = page.evaluate("() => window.qwen2vl.lens.snapshot()")
    assert {name: again[name] for name in ("layer", "medium", "t", "overlay")} == {
        name: shown[name] for name in ("layer", "medium", "t", "overlay")
    }
    assert again["layer"] == "attention" and again["overlay"][0]
    expect(page.locator("[data-view=picture] .lens-whole > .lens-says")).to_have_text(sentence)
    page.context.close()


def test_a_clip_is_looked_at_pair_by_pair(fake: Tab, material: Path) -> None:
    fake.ask("What happens?", material / "clip.mp4")
    pick(fake, 3)
    part(fake, "layer").select_option("1")
    part(fake, "head").select_option("2")
    shown = snapshot(fake)
    t, h, w = shown["media"][0]["merged_grid"]
    assert t > 1 and len(shown["overlay"][0]) == t * h * w
    assert bright(shown["overlay"][0]) == [3]
    expect(part(fake, "sentence")).to_contain_text("of the attention lay on the clip")


def test_words_are_picked_by_keyboard(fake: Tab, material: Path) -> None:
    fake.ask("What is here?", material / "cat.png")
    words(fake).first.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        fake.page.keyboard.press(key)
    expect(words(fake).nth(1)).to_be_focused()
    fake.page.keyboard.press("Enter")
    expect(words(fake).nth(1)).to_have_attribute("aria-pressed", "true")
    expect(part(fake, "sentence")).to_contain_text("The word “turn” was produced while")
    fake.page.keyboard.press("End")
    expect(words(fake).last).to_be_focused()
    fake.page.keyboard.press("Tab")  # one stop for all words
    expect(part(fake, "layer")).to_be_focused()
    assert words(fake).evaluate_all("all => all.filter(e => e.tabIndex === 0).length") == 1


def test_what_stands_in_the_composer_takes_the_words_away_and_brings_them_back(fake: Tab, material: Path) -> None:
    fake.ask("What is here?", material / "cat.png")
    pick(fake, 0)
    fake.attach(material / "dog.jpg")
    expect(words(fake)).to_have_count(0)
    assert snapshot(fake)["overlay"] is None
    fake.page.locator("#composer .thumbnail-item button").first.click()
    expect(words(fake).first).to_be_visible()
    expect(words(fake).first).to_have_attribute("aria-pressed", "false")
    fake.button("New chat").click()
    expect(fake.page.locator("#where .where")).to_be_hidden()


def test_while_an_answer_is_written_its_words_are_promised(fake: Tab, material: Path) -> None:
    fake.attach(material / "cat.png")
    fake.send("A long answer?")
    expect(part(fake, "note")).to_have_text(WRITING)
    fake.button("Stop").click()
    expect(words(fake).first).to_be_visible()
    expect(part(fake, "note")).to_be_hidden()


def test_an_answer_of_markup_is_words_and_runs_nothing(fake: Tab, material: Path) -> None:
    fake.ask("!markup", material / "cat.png")
    expect(part(fake, "words")).to_contain_text("<script>window.hacked")
    pick(fake, 1)
    expect(part(fake, "sentence")).to_contain_text("src='https")
    assert fake.page.evaluate("window.hacked") is None
    assert fake.page.locator("#where img, #where script").count() == 0


def test_an_engine_that_cannot_see_says_so(fake: Tab, material: Path, fake_app: Any, monkeypatch: Any) -> None:
    def refuse(*_: object) -> None:
        raise UserError("This one runs on a server, which sends no attention.")

    monkeypatch.setattr(fake_app.engine, "answer_words", refuse)
    fake.ask("What is here?", material / "cat.png")
    expect(part(fake, "note")).to_have_text("This one runs on a server, which sends no attention.")
    expect(words(fake)).to_have_count(0)


def test_nanos_words_equal_what_its_engine_gives(nano: Tab, nano_app: Any) -> None:
    """The bytes of the overlay, byte by byte, against the attention of another call of the same engine."""
    file = EXAMPLES / "things.png"
    question = "How many things are there?"
    text = nano.ask(question, file)
    pick(nano, 2)
    shown = snapshot(nano)
    options = GenerationOptions()
    messages = [Message("user", [Image(file), Text(question)])]
    trace = nano_app.engine.word_attention(nano_app.engine.prompt(messages, options), text.strip(), 2)
    start, end = trace.prompt.media[0].span
    expected = trace.weights.mean((0, 1))[start:end]
    assert shown["media"][0]["merged_tokens"] == end - start
    got = [value / 255 * expected.max() for value in shown["overlay"][0]]
    assert got == pytest.approx(expected.tolist(), abs=float(expected.max()) / 255)
    share = f"{100 * expected.sum():.0f} % of the attention lay on the picture"
    expect(part(nano, "sentence")).to_contain_text(share)


@pytest.mark.large
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_on_a_phone_nothing_sticks_out(visit: Any, fake_app: Any, material: Path, theme: str) -> None:
    tab = visit(fake_app, viewport={"width": 390, "height": 844}, color_scheme=theme)
    tab.ask("What is here?", material / "cat.png")
    pick(tab, 2)
    assert tab.width() <= 390
    sizes = words(tab).evaluate_all("all => all.map(e => e.getBoundingClientRect().height)")
    assert min(sizes) >= 24  # px, for a finger
