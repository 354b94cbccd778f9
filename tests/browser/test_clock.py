"""A clock in clips: times in answers, the frames that the model saw, the part that it looks at, and time stamps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import App
from tests.browser.driver import Tab

pytestmark = pytest.mark.slow

TIMES = {  # text: what of it is a time, and from when to when in seconds
    "at 0:12": [("0:12", 12, 12)],
    "The ball falls at 3.5 s.": [("3.5 s", 3.5, 3.5)],
    "00:01:07": [("00:01:07", 67, 67)],
    "1:02:03.5": [("1:02:03.5", 3723.5, 3723.5)],
    "from 2 to 4 seconds": [("2 to 4 seconds", 2, 4)],
    "between 2 and 4 seconds": [("2 and 4 seconds", 2, 4)],
    "[0:05–0:09] and [0:10-0:12]": [("0:05–0:09", 5, 9), ("0:10-0:12", 10, 12)],
    "0:12, 0:15,0:18": [("0:12", 12, 12), ("0:15", 15, 15), ("0:18", 18, 18)],
    "at 2s and 4 sec": [("2s", 2, 2), ("4 sec", 4, 4)],
    "2 s to 4 s": [("2 s to 4 s", 2, 4)],
    "<2.0 seconds>, t=3.5s": [("2.0 seconds", 2, 2), ("3.5s", 3.5, 3.5)],
    "1 min 5 s, or 1 minute and 5 seconds": [("1 min 5 s", 65, 65), ("1 minute and 5 seconds", 65, 65)],
    "after 3 seconds": [("3 seconds", 3, 3)],
    "3 seconds into the clip": [("3 seconds", 3, 3)],
    "the 30s mark": [("30s", 30, 30)],
    "（0:07）第 3 s": [("0:07", 7, 7), ("3 s", 3, 3)],
}
NO_TIMES = (
    *("16:9", "1:1", "3.5 sheep", "ratio 2:1", "a ratio of 16:10", "a 16:10 display", "0:5", "10:75", "100:1"),
    *("$3.50", "$5 s", "3.50 €", "1,200 s", "-3 s", "v1:10", "a0:12", "0:12:ff", "12:34:56:78", "2024-01-05 s"),
    *("it lasts 5 seconds", "for 5 seconds", "a 10-second clip", "a 10 second clip", "10 seconds long", "every 2 s"),
    *("2 seconds later", "at 2 seconds before", "5 s of footage", "in 5 seconds", "the first 3 seconds", "10 s-long"),
    *("4:30 pm", "4:30 a.m.", "the 60s", "1960s", "the clock shows 10:10", "won 10:12", "verse 3:16", "5 sec's"),
)
ENDLESS = ("1:1", "0:12-", "1 min and ", "from 2 to ", "1 s to ", "between 2 and ", "about ", "99999.999 ")
FIND = """texts => texts.map(text => window.qwen2vl.clock.times(text).map(
  ({start, end, from, to}) => [text.slice(start, end), from, to]))"""
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


def test_what_is_a_time_and_what_only_looks_like_one(fake: Tab) -> None:
    found = fake.page.evaluate(FIND, list(TIMES))
    assert dict(zip(TIMES, found, strict=True)) == {text: [list(one) for one in all] for text, all in TIMES.items()}
    found = fake.page.evaluate(FIND, list(NO_TIMES))
    assert [text for text, times in zip(NO_TIMES, found, strict=True) if times] == []
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


@pytest.mark.large
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
    nano.button("Settings").click()
    nano.page.get_by_label("Time stamps in the prompt").uncheck()
    nano.button("Settings").click()
    nano.page.wait_for_function(f"() => !{tokens}.includes('seconds>')")
