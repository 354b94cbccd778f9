"""Clips in the chat: what a browser plays, and what stands there of one that it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.driver import Tab
from tests.media.drawn_clips import CONTAINERS, HEIGHT, WIDTH, encodes, write

pytestmark = pytest.mark.slow

PLAYED = """video => new Promise(done => {
  const look = () => video.error ? done(video.error.message)
    : video.readyState >= 2 ? done([video.videoWidth, video.videoHeight, Math.round(video.duration)])
    : setTimeout(look, 50);
  video.preload = "auto";
  look();
})"""
COPY = "a small copy without sound stands here"


def shown(tab: Tab, path: Path) -> Any:
    """What a player in the chat says of a clip that was sent: its size and seconds, or why it does not play."""
    tab.ask("What is it?", path)
    return tab.questions.last.locator("video").evaluate(PLAYED)


def test_a_clip_that_browsers_do_not_play_is_shown_as_a_copy(fake: Tab, tmp_path: Path) -> None:
    """HEVC showed a dead player."""
    path = write(tmp_path / "phone.mov", "libx265", count=50)
    assert shown(fake, path) == [WIDTH, HEIGHT, 2]
    expect(fake.questions.last).to_contain_text(f"phone.mov: Browsers do not play this file, so {COPY}")


@pytest.mark.large
@pytest.mark.parametrize("name", [name for name in CONTAINERS if not name.endswith(".gif")])
def test_every_clip_plays_in_the_chat(fake: Tab, tmp_path: Path, name: str) -> None:
    if not encodes(str(CONTAINERS[name]["codec"])):
        pytest.skip("this FFmpeg does not write it")
    path = write(tmp_path / name, **CONTAINERS[name])  # type: ignore[arg-type]
    assert shown(fake, path) == [WIDTH, HEIGHT, 2]
    as_it_is = name.endswith(("h264.mp4", "h264.mov", "fragments.mp4", ".webm"))
    expect(fake.questions.last.get_by_text(COPY)).to_have_count(0 if as_it_is else 1)


def test_a_clip_that_is_too_dear_shows_some_frames_and_says_so(
    fake: Tab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qwen2vl_demo.media.playable_copy.COPY_SECONDS", 0.0)
    path = write(tmp_path / "long.mkv", "ffv1", count=50)
    fake.ask("What is it?", path)
    expect(fake.questions.last.locator("video")).to_have_count(0)
    picture = fake.questions.last.locator("img")
    assert picture.evaluate("async e => (await e.decode(), [e.naturalWidth, e.naturalHeight])") == [WIDTH, HEIGHT]
    expect(fake.questions.last).to_contain_text(
        "long.mkv: Browsers do not play this file, and a copy would take too long"
    )
