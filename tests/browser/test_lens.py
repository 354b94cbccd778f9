"""The panel's pictures: what it shows equals what the engine prepares, and lies where it says."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import skimage.data
from playwright.sync_api import expect

from qwen2vl_demo.processing.messages import Message
from tests.browser.conftest import App, Visits
from tests.browser.driver import Tab
from tests.browser.lens_driver import equals, expected, fact, layer, open_tab, point, seen, snapshot, user

# Points at 60 places, one a frame; how long each frame took.
HOVER = """async () => {
  const canvas = document.querySelector('#lens-picture .lens-stage canvas'), box = canvas.getBoundingClientRect();
  const spans = [];
  let last = performance.now();
  for (let i = 0; i < 60; i++) {
    const clientX = box.left + box.width * (.5 + .48 * Math.sin(i / 7));
    const clientY = box.top + box.height * (.5 + .48 * Math.cos(i / 5));
    const place = {bubbles: true, pointerId: 1, pointerType: 'mouse', clientX, clientY};
    canvas.dispatchEvent(new PointerEvent('pointermove', place));
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    spans.push(now - last);
    last = now;
  }
  return spans;
}"""


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real photographs in many sizes, a GIF, and one of 1568x1568 px."""
    folder = tmp_path_factory.mktemp("photographs")
    sources = {"coffee": skimage.data.coffee(), "cat": skimage.data.chelsea(), "astronaut": skimage.data.astronaut()}
    sizes = {"coffee": [(600, 400), (90, 700), (31, 29)], "cat": [(451, 300), (1210, 640)], "astronaut": [(512, 512)]}
    for name, pixels in sources.items():
        for size in sizes[name]:
            PIL.Image.fromarray(pixels).resize(size).save(folder / f"{name}-{size[0]}x{size[1]}.png")
    large = PIL.Image.fromarray(sources["astronaut"]).resize((1568, 1568), PIL.Image.Resampling.BICUBIC)
    large.save(folder / "large.jpg", quality=92)
    waves = [PIL.Image.fromarray(sources["cat"]).resize((120, 80)).rotate(9 * i) for i in range(7)]
    waves[0].save(folder / "wave.gif", save_all=True, append_images=waves[1:], duration=300)
    return folder


def test_photographs_of_many_sizes_are_shown_as_they_would_be_sent(nano: Tab, nano_app: App, photographs: Path) -> None:
    """Attached, not sent: the numbers are those of the prompt that would go into the model."""
    files = sorted(photographs.glob("*.png"))
    nano.attach(*files)
    shown = seen(nano, len(files), draft=True)
    equals(shown, expected(nano_app, [user("Describe these pictures.", *files)]))
    assert nano.questions.count() == 0
    nano.detach()
    open_tab(nano, "Picture")
    expect(nano.page.locator("#lens-picture .lens-nothing").first).to_be_visible()


@pytest.mark.slow
def test_a_whole_chat_is_shown_as_it_was_sent(nano: Tab, nano_app: App, photographs: Path, material: Path) -> None:
    one, two, gif, film = (
        photographs / "coffee-600x400.png", photographs / "cat-451x300.png", photographs / "wave.gif",
        material / "clip.mp4",
    )  # fmt: skip
    answer = nano.ask("What is in these?", one, two)
    equals(seen(nano, 2, draft=False), expected(nano_app, [user("What is in these?", one, two)]))
    nano.ask("And here?", gif, film)
    chats = [session.conversation for session in nano_app.sessions.values()]
    (conversation,) = [chat for chat in chats if [turn.question for turn in chat.turns][-1:] == ["And here?"]]
    first = conversation.turns[0].answer
    assert first is not None and first.text.strip() == answer.strip()
    messages = [
        user("What is in these?", one, two), Message("assistant", first.text), user("And here?", gif, film),
    ]  # fmt: skip
    shown = seen(nano, 4, draft=False)
    equals(shown, expected(nano_app, messages))
    clip = shown["media"][3]
    assert len(clip["frame_indices"]) == 2 * clip["merged_grid"][0]


@pytest.mark.slow
def test_a_large_photograph_is_pointed_at_without_asking_the_server(
    nano: Tab, nano_app: App, photographs: Path, record_property: Any
) -> None:
    """1568x1568 px and room for 4,096 tokens: 56x56 = 3,136 merged tokens."""
    nano.setting("Maximum tokens per picture", 4096)
    nano.attach(photographs / "large.jpg")
    shown = seen(nano, 1, draft=True)
    messages = [user("Describe this picture.", photographs / "large.jpg")]
    equals(shown, expected(nano_app, messages, 4096))
    assert shown["media"][0]["merged_tokens"] == 3136
    assert nano.page.evaluate("JSON.stringify(window.qwen2vl.lens.state.data.payload).length") < 500_000
    nano.quiet(300)  # whatever the upload still had to ask, and the sharper image of what is looked at
    requests: list[str] = []
    nano.page.on("request", lambda request: requests.append(request.url))
    positions = shown["position_ids"]
    for name in ("merged", "patches", "h"):
        layer(nano, name)
        for row, column in ((0, 0), (55, 55), (17, 40), (30, 3)):
            point(nano, row, column, (56, 56))
            at = (snapshot(nano) or {})["at"]
            token = shown["media"][0]["span"][0] + row * 56 + column
            assert at["token"] == token and fact(nano, "Cell") == f"row {row} of 56, column {column} of 56"
            said = [int(axis[token]) for axis in positions]
            assert fact(nano, "Position").split()[2::3] == [str(value) for value in said]
    frames = nano.page.evaluate(HOVER)
    record_property("median_frame_ms", statistics.median(frames))
    assert requests == []
    nano.setting("Maximum tokens per picture", 64)


def test_every_layer_says_in_a_sentence_what_is_seen_with_its_numbers(nano: Tab, nano_app: App, material: Path) -> None:
    """320x240 px within nano's 64 tokens: 252x168... whatever it becomes, the sentences hold the trace's numbers."""
    nano.attach(material / "cat.png")
    seen(nano, 1, draft=True)
    (medium,) = expected(nano_app, [user("Describe this picture.", material / "cat.png")]).media
    (height, width), (_, rows, columns) = medium.resized_size, medium.merged_grid
    first = medium.span[0]
    sentences = {
        "resized": "came with 320 x 240 pixels. The model never sees it like this: before anything else it is resized "
        f"to {width} x {height} pixels",
        "patches": f"{2 * columns} x {2 * rows} = {4 * rows * columns} patches",
        "merged": f"{columns} x {rows} = {medium.merged_tokens} tokens",
        "t": f"t is {first}",
        "h": f"from {first} to {first + rows - 1}",
        "w": f"from {first} to {first + columns - 1}",
    }
    for name, words in sentences.items():
        layer(nano, name)
        expect(nano.page.locator("#lens-picture .lens-whole > .lens-says")).to_contain_text(words)


def test_a_budget_is_tried_at_once_and_used_when_asked(nano: Tab, nano_app: App, photographs: Path) -> None:
    path = photographs / "coffee-600x400.png"
    nano.attach(path)
    seen(nano, 1, draft=True)
    layer(nano, "resized")
    nano.quiet(300)
    requests: list[str] = []
    nano.page.on("request", lambda request: requests.append(request.url))
    slider = nano.page.get_by_label("Budget: maximum tokens per picture")
    slider.evaluate("e => { e.value = .4; e.dispatchEvent(new Event('input', {bubbles: true})); }")
    hint = nano.page.locator("#lens-picture .lens-apply .lens-hint")
    expect(hint).to_contain_text("A preview.")
    assert requests == []
    tokens = int(nano.page.locator("#lens-picture .lens-resize output").inner_text().split()[0].replace(",", ""))
    caption = nano.page.locator("#lens-picture .lens-panes figcaption").last.inner_text()
    nano.page.get_by_role("button", name="Use this budget").click()
    medium = expected(nano_app, [user("Describe this picture.", path)], tokens).media[0]
    assert f"= {medium.merged_tokens} tokens" in caption and tokens != 64
    nano.page.wait_for_function(
        f"() => window.qwen2vl.lens.snapshot().media[0].merged_tokens === {medium.merged_tokens}"
    )
    expect(hint).not_to_contain_text("A preview.")
    nano.setting("Maximum tokens per picture", 64)


def test_a_clip_is_walked_through_pair_by_pair(nano: Tab, material: Path) -> None:
    """20 frames at 10 a second: 4 are taken, the first and the last among them, two at a time."""
    nano.attach(material / "clip.mp4")
    shown = seen(nano, 1, draft=True)["media"][0]
    assert shown["frame_indices"] == [0, 6, 13, 19] and shown["merged_grid"][0] == 2
    layer(nano, "t")
    words = nano.page.locator("#lens-picture .lens-clip .lens-says")
    expect(words).to_have_text(
        "4 of 20 frames are taken, about one in 6.3; the other 16 are never seen. "
        "Two at a time become one step of t: 2 steps, one about every 1.30 s here."
    )
    pairs = nano.page.locator("#lens-picture .lens-pair")
    pairs.first.focus()
    for key, t in (("ArrowRight", 1), ("ArrowRight", 0), ("End", 1)):  # the last is followed by the first
        nano.page.keyboard.press(key)
        assert (snapshot(nano) or {})["t"] == t
        expect(pairs.nth(t)).to_be_focused()
    _, rows, columns = shown["merged_grid"]
    point(nano, 0, 1, (rows, columns))
    assert (snapshot(nano) or {})["at"]["token"] == shown["span"][0] + rows * columns + 1
    assert fact(nano, "Cell").startswith("step 1, row 0")


def test_a_kept_clip_brings_its_frames_and_its_time_line(nano: Tab, material: Path) -> None:
    """The picture holds the stage, all pairs and the time line below each other, and the sentences of what is shown."""
    nano.attach(material / "clip.mp4")
    seen(nano, 1, draft=True)
    layer(nano, "merged")
    drawn = nano.page.locator("#lens-picture .lens-stage canvas").evaluate("e => e.height")
    with nano.page.expect_download() as download:
        nano.page.locator("#lens-picture").get_by_role("button", name="Figure as PNG").click()
    assert download.value.suggested_filename == "clip-merged.png"
    assert PIL.Image.open(download.value.path()).height > drawn + 52 + 58 + 16  # frames, time line, a sentence


def test_the_panel_takes_the_whole_width_and_gives_it_back(nano: Tab, material: Path) -> None:
    nano.attach(material / "cat.png")
    seen(nano, 1, draft=True)
    before = nano.page.locator("#side").bounding_box()
    nano.button("Wide").click()
    wide = nano.page.locator("#side").bounding_box()
    assert before and wide and before["width"] < 760 and wide["width"] > 1400
    expect(nano.text).not_to_be_visible()
    nano.button("Show the chat").click()
    expect(nano.text).to_be_visible()


@pytest.mark.slow
def test_a_picture_that_travelled_small_is_fetched_sharp_when_it_is_looked_at(
    nano: Tab, material: Path, photographs: Path
) -> None:
    """Seven newer pictures leave the photograph a fourteenth of the room; on the wide stage that is too coarse."""
    nano.setting("Maximum tokens per picture", 1024)
    nano.attach(photographs / "large.jpg", *sorted(photographs.glob("*.png")), material / "cat.png")
    first = seen(nano, 8, draft=True)["media"][0]
    image = "window.qwen2vl.lens.source(window.qwen2vl.lens.state.data.media[0], 0).image"
    layer(nano, "merged")
    small = nano.page.evaluate(f"{image}.width")
    assert small < first["resized_size"][1]
    nano.button("Wide").click()
    nano.page.get_by_role("radio", name="picture 1: large.jpg").click()
    nano.page.wait_for_function(f"() => {image}.width > {small}")
    nano.button("Show the chat").click()
    nano.setting("Maximum tokens per picture", 64)


def test_what_is_seen_can_be_kept(nano: Tab, nano_app: App, visit: Visits, photographs: Path, tmp_path: Path) -> None:
    """The saved page opens without a network and holds the same numbers; so does the page that it saves itself."""
    files = (photographs / "coffee-90x700.png", photographs / "cat-451x300.png")
    nano.ask("Which is it?", *files)
    shown = seen(nano, 2, draft=False)
    trace = expected(nano_app, [user("Which is it?", *files)])
    layer(nano, "h")
    _, rows, columns = shown["media"][1]["merged_grid"]
    point(nano, 2, 3, (rows, columns))
    nano.page.mouse.down()
    nano.page.mouse.up()
    held = {"token": shown["media"][1]["span"][0] + 2 * columns + 3, "patch": -1}

    def saved(page: Any, name: str, to: str) -> Path:
        with page.expect_download() as download:
            page.get_by_role("button", name=name).first.click()
        download.value.save_as(tmp_path / to)
        return tmp_path / to

    lens = nano.page.locator("#lens-picture .lens-keep")
    with nano.page.expect_download() as download:
        lens.get_by_role("button", name="Trace as JSON").click()
    record = json.loads(Path(download.value.path()).read_text("utf-8"))
    assert {key: record[key] for key in trace.to_dict()} == json.loads(json.dumps(trace.to_dict()))
    with nano.page.expect_download() as download:
        lens.get_by_role("button", name="Figure as PNG").click()
    assert download.value.suggested_filename == "cat-451x300-h.png"
    assert min(PIL.Image.open(download.value.path()).size) > 200
    with nano.page.expect_download() as download:
        lens.get_by_role("button", name="View as HTML").click()
    download.value.save_as(tmp_path / "view.html")
    page = visit.browser.new_context(offline=True).new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    for name in ("view.html", "again.html"):
        page.goto((tmp_path / name).as_uri())
        page.wait_for_function("() => window.qwen2vl.lens.state.data")
        again = page.evaluate("() => window.qwen2vl.lens.snapshot()")
        equals(again, trace)
        assert (again["layer"], again["medium"], again["key"]) == ("h", shown["medium"], shown["key"])
        assert again["at"] == held  # what was looked at is looked at again
        expect(page.locator("[data-view=picture] .lens-mark").first).to_be_visible()
        saved(page, "View as HTML", "again.html")
    page.context.close()
    assert errors == []
