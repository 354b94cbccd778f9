"""A clock in clips: times in answers, the frames that the model saw, the part that it looks at, and time stamps."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import App
from tests.browser.driver import Tab
from tests.ui.chat.test_named_times import clips_of

pytestmark = pytest.mark.slow

ENDLESS = ("1:1", "0:12-", "1 min and ", "from 2 to ", "1 s to ", "between 2 and ", "about ", "99999.999 ")
TABLE = json.loads((Path(__file__).parents[1] / "ui/chat/named_times.json").read_text(encoding="utf-8"))
FIND = """texts => texts.map(text => window.qwen2vl.clock.times(text).map(
  ({start, end, from, to}) => [text.slice(start, end), from, to]))"""
MOMENTS = """([text, clips]) => window.qwen2vl.clock.moments(text, [[], clips]).map(
  ({start, end, clip, from, to}) => [text.slice(start, end), clips.indexOf(clip), from, to,
    clip.times[window.qwen2vl.clock.frameOf(clip, {from, to})]])"""
# x of each bracket's feet on a strip of 1000 units
FEET = r"path => [...path.getAttribute('d').matchAll(/M([\d.]+) 22V7H([\d.]+)V22/g)].flatMap(m => [+m[1], +m[2]])"


def strip(tab: Tab, at: int = -1) -> Locator:
    return tab.page.locator("#chat .seen").nth(at)


def frames(tab: Tab, seconds: float, which: str = ".seen-frames", at: int = -1) -> list[float]:
    """The times of the frames that a strip shows, of a clip that lasts so long."""
    feet = strip(tab, at).locator(f"path{which}").evaluate(FEET)
    return [round(x * seconds / 1000, 2) for x in feet]


def player_at(tab: Tab, at: int, seconds: float) -> None:
    """Until a player of the chat stands there."""
    tab.page.wait_for_function(
        "([at, seconds]) => Math.abs(document.querySelectorAll('#chat video')[at].currentTime - seconds) < 0.02",
        arg=[at, seconds],
    )


def test_what_is_a_time_and_of_which_clip_and_what_only_looks_like_one(fake: Tab) -> None:
    """The table of tests/ui/chat/test_named_times.py, where Python reads the same words for the boxes of an answer."""
    found = fake.page.evaluate(FIND, [case["text"] for case in TABLE["times"]])
    assert found == [case["times"] for case in TABLE["times"]]
    found = fake.page.evaluate(FIND, TABLE["no_times"])
    assert [text for text, times in zip(TABLE["no_times"], found, strict=True) if times] == []
    for case in TABLE["moments"]:
        assert fake.page.evaluate(MOMENTS, [case["text"], clips_of(case)]) == case["moments"], case["why"]
    # Quadratic, these would take hours.
    assert len(fake.page.evaluate(FIND, [piece * (200_000 // len(piece)) for piece in ENDLESS])) == len(ENDLESS)


def test_times_of_an_answer_lead_to_the_clip_above_it_and_light_what_the_model_saw(
    fake: Tab, fake_app: App, material: Path
) -> None:
    """clip.mp4 has 20 frames at 10 a second. Four of them are taken: 0, 6, 13 and 19."""
    said = "At 0:01 <b>it</b> moves, **from 0.5 to 1.4 s** too; at 0:30 nothing, it is 16:9 and lasts 2 seconds."
    fake.ask(f"!say {said}", material / "cat.png", material / "clip.mp4")
    times = fake.answers.last.locator("button.at-time")
    assert times.all_inner_texts() == ["0:01", "0.5 to 1.4 s"]
    assert fake.answers.last.inner_text().strip() == said.replace("**", "")
    assert fake.answers.last.locator("b").count() == 0
    (session,) = [s for s in fake_app.sessions.values() if s.shown and said in s.shown.conversation.turns[0].question]
    assert session.shown is not None
    seen_by_the_model = session.shown.trace.media[1].timestamps
    assert frames(fake, 2.0) == [round(time, 2) for time in seen_by_the_model] == [0, 0.6, 1.3, 1.9]
    expect(strip(fake)).to_contain_text("The model saw 4 frames, two at a time.")
    times.first.click()
    player_at(fake, 0, 1.0)
    assert frames(fake, 2.0, ".lit") == [1.3, 1.9]  # the pair with the nearest frame
    expect(strip(fake)).to_contain_text("Frames at 1.3 s and 1.9 s")
    assert fake.page.evaluate("(({medium, t}) => [medium, t])(window.qwen2vl.lens.state)") == [1, 1]
    times.last.focus()
    times.last.press("Enter")
    player_at(fake, 0, 0.5)
    assert frames(fake, 2.0, ".lit") == [0, 0.6, 1.3, 1.9]

    fake.under(fake.answers.last).get_by_role("button", name="Retry").click()
    fake.idle()
    expect(fake.answers.last).to_have_text(said.replace("**", ""))  # it stayed empty
    expect(times).to_have_count(2)
    expect(strip(fake)).to_be_visible()

    slider = strip(fake).get_by_role("slider", name="Frames of clip.mp4 that the model saw")
    slider.focus()
    slider.press("End")
    player_at(fake, 0, 1.9)
    slider.press("ArrowLeft")
    player_at(fake, 0, 1.3)
    expect(slider).to_have_attribute("aria-valuetext", "frame 3, at 1.3 s")

    fake.ask(f"!say {' '.join(f'Item {n}.' for n in range(400))} Again at 1 s.")  # no clip of its own
    expect(fake.page.locator("#chat video")).not_to_be_in_viewport()
    fake.answers.last.locator("button.at-time").click()
    player_at(fake, 0, 1.0)
    expect(fake.page.locator("#chat video")).to_be_in_viewport(ratio=1)
    fake.ask("!say Here at 0.2 s.", material / "clip.mp4")
    fake.answers.last.locator("button.at-time").click()
    player_at(fake, 1, 0.2)
    player_at(fake, 0, 1.0)
    assert (frames(fake, 2.0, ".lit", 0), frames(fake, 2.0, ".lit", 1)) == ([1.3, 1.9], [0, 0.6])
    fake.reload()
    expect(fake.page.locator("#chat .seen")).to_have_count(2)
    expect(fake.page.locator("#chat .at-time")).to_have_count(4)


def test_all_frames_go_to_the_part_that_was_chosen_in_the_composer(fake: Tab, material: Path) -> None:
    fake.attach(material / "clip.mp4")
    choose = fake.page.get_by_role("button", name="Choose the part of clip.mp4")
    choose.click()
    dialog = fake.page.get_by_role("dialog", name="Which part of clip.mp4?")
    end = dialog.get_by_role("slider", name="End of the part")
    expect(end).to_have_attribute("max", "2")
    dialog.get_by_role("spinbutton").first.fill("1")
    dialog.get_by_role("spinbutton").first.press("Tab")
    end.focus()
    for _ in range(4):
        end.press("ArrowLeft")
    expect(dialog.get_by_role("status")).to_have_text("All frames are taken from these 0.6 s of 2 s.")
    end.press("Home")  # the beginning gives way
    assert [dialog.get_by_role("spinbutton").nth(i).input_value() for i in (0, 1)] == ["0", "0.1"]
    dialog.get_by_role("spinbutton").last.fill("1.6")
    dialog.get_by_role("spinbutton").first.fill("1")
    dialog.get_by_role("button", name="Look at this part").click()
    expect(choose).to_be_focused()
    expect(fake.attached).to_contain_text("1 s to 1.6 s of 2.0 s")
    expect(fake.attached).not_to_contain_text("reading")
    fake.ask("!say At 0.2 s, and at 1.5 s, and at 1.9 s.")
    expect(strip(fake)).to_contain_text("all from 1.0 s to 1.6 s.")
    assert frames(fake, 2.0) == [1.0, 1.2, 1.3, 1.5]
    times = fake.answers.last.locator("button.at-time")
    assert [one.get_attribute("title") for one in times.all()] == ["Show 1.2 s of clip.mp4", "Show 1.5 s of clip.mp4"]
    fake.reload()
    expect(strip(fake)).to_contain_text("all from 1.0 s to 1.6 s.")
    fake.text.press("ArrowUp")  # the question comes back with its part
    expect(fake.attached).to_contain_text("1 s to 1.6 s of 2.0 s")
    fake.button("Cancel").click()
    expect(fake.attached).to_have_count(0)


def test_time_stamps_stand_in_the_prompt_when_the_setting_is_on(nano: Tab, material: Path) -> None:
    """A switch that changes the prompt was refused as a forged call, so the prompt stayed as it was."""
    nano.attach(material / "clip.mp4")
    nano.button("Settings").click()
    nano.page.get_by_label("Time stamps in the prompt").check()
    nano.button("Settings").click()
    tokens = "(window.qwen2vl.lens.state.data?.tokens || []).join('')"
    nano.page.wait_for_function(f"() => {tokens}.includes('<0.0 seconds><|vision_start|>')")
    assert re.findall(r"<[\d.]+ seconds><\|vision_start\|>", nano.page.evaluate(tokens)) == [
        "<0.0 seconds><|vision_start|>",
        "<1.3 seconds><|vision_start|>",
    ]
    # What looks at the attached clip has all of it.
    expect(nano.page.locator("#eyes-line")).to_contain_text("tokens of this clip;")
    clip = nano.page.evaluate(
        """() => { const { name, frames, timestamps } = window.qwen2vl.lesson.subjects.newest().clip;
  return [name, frames, timestamps]; }"""
    )
    assert (clip[0], clip[1]) == ("clip.mp4", 4) and clip[2] == pytest.approx([0, 0.6, 1.3, 1.9])
    nano.button("Settings").click()
    nano.page.get_by_label("Time stamps in the prompt").uncheck()
    nano.button("Settings").click()
    nano.page.wait_for_function(f"() => !{tokens}.includes('seconds>')")


# By how much the colours of the middle of the small picture differ from those of a frame in the panel
DRAWN = """([frame]) => {
  const { lens } = window.qwen2vl, medium = lens.state.data.media[0];
  const [left, top, width, height] = lens.frameRect(medium.shown, frame);
  const small = document.querySelector("#peek canvas");
  const canvas = Object.assign(document.createElement("canvas"), { width: small.width, height: small.height });
  canvas.getContext("2d").drawImage(medium.picture, left, top, width, height, 0, 0, small.width, small.height);
  const row = one => one.getContext("2d").getImageData(0, small.height >> 1, small.width, 1).data;
  const [a, b] = [row(canvas), row(small)];
  return Math.max(...a.map((value, at) => Math.abs(value - b[at])));
}"""


def test_a_moment_that_is_pointed_at_or_focused_shows_the_frame_that_the_model_saw(fake: Tab, material: Path) -> None:
    """The pixels are those of the panel, which has them without a request; Escape takes the picture away and stops
    nothing else."""
    page = fake.page
    fake.ask("!say At 0:01 it moves.", material / "clip.mp4")
    track, peek = strip(fake).locator(".track"), page.locator("#peek")
    box = track.bounding_box()
    assert box is not None
    asked = fake.asked
    for frame, seconds in enumerate((0, 0.6, 1.3, 1.9)):  # of 2 s
        page.mouse.move(box["x"] + min(0.99, (seconds + 0.03) / 2) * box["width"], box["y"] + 10)
        expect(peek).to_contain_text(f"Frame {frame + 1}, at {seconds:.1f} s")
        assert page.evaluate(DRAWN, [frame]) == 0 and page.evaluate(DRAWN, [3 - frame]) > 50
    assert fake.asked == asked
    page.keyboard.press("Escape")
    expect(peek).to_be_hidden()
    page.mouse.move(2, 2)
    slider = strip(fake).get_by_role("slider")
    slider.focus()
    slider.press("End")
    expect(peek).to_contain_text("Frame 4, at 1.9 s")
    fake.text.focus()
    expect(peek).to_be_hidden()
    fake.answers.last.locator("button.at-time").hover()
    expect(peek).to_contain_text("Frame 3, at 1.3 s")
    peek.hover()  # it stays while the pointer is on it
    expect(peek).to_be_visible()
    page.mouse.move(2, 2)
    expect(peek).to_be_hidden()
