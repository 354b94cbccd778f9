"""What a test reads from the panel and how it points at it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, TimeoutError

from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Text, Video
from qwen2vl_demo.trace import PromptTrace
from tests.browser.conftest import App
from tests.browser.driver import Tab

FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(%s))))"


def snapshot(tab: Tab) -> dict[str, Any] | None:
    """What the lens shows, once it has drawn what was asked of it."""
    shown: dict[str, Any] | None = tab.page.evaluate(FRAMES % "window.qwen2vl.lens.snapshot()")
    return shown


def seen(tab: Tab, media: int, *, draft: bool | None = None) -> dict[str, Any]:
    """The same, as soon as so many pictures and clips stand in the panel."""
    wanted = f"s && s.media.length === {media}" + ("" if draft is None else f" && s.draft === {str(draft).lower()}")
    try:
        tab.page.wait_for_function(f"() => {{ const s = window.qwen2vl.lens.snapshot(); return {wanted}; }}")
    except TimeoutError as error:
        shows = tab.page.evaluate("() => window.qwen2vl.lens.snapshot()?.media.map(m => m.name)")
        cost = tab.page.locator("#cost").inner_text()
        raise AssertionError(f"wanted {media} media, draft={draft}; the panel shows {shows}, and {cost!r}") from error
    tab.page.wait_for_function("() => window.qwen2vl.lens.state.data.media.every(m => m.picture.complete)")
    shown = snapshot(tab)
    assert shown is not None
    return shown


def equals(shown: dict[str, Any], trace: PromptTrace) -> None:
    """Every number that the panel holds is the trace's."""
    assert shown["input_ids"] == trace.input_ids.tolist()
    assert shown["position_ids"] == trace.position_ids.tolist()
    assert shown["rope_delta"] == trace.rope_delta and shown["tokens"] == list(trace.tokens)
    assert len(shown["media"]) == len(trace.media)
    for medium, known in zip(shown["media"], trace.media, strict=True):
        for name in ("grid_thw", "span", "original_size", "resized_size", "merged_grid", "timestamps", "frame_indices"):
            assert tuple(medium[name]) == tuple(getattr(known, name)), name
        for name in ("kind", "merged_tokens", "min_pixels", "max_pixels", "total_frames", "digest"):
            assert medium[name] == getattr(known, name), name


def open_tab(tab: Tab, name: str) -> None:
    """On a narrow page the last tabs stand in a menu."""
    tab.page.get_by_role("tab", name="Picture", exact=True).wait_for()
    shown = tab.page.get_by_role("tab", name=name, exact=True)
    if shown.count():
        return shown.click()
    tab.page.get_by_role("button", name="More tabs").click()
    tab.page.locator(".overflow-dropdown").get_by_role("button", name=name, exact=True).click()


def layer(tab: Tab, name: str) -> None:
    open_tab(tab, "Picture")
    tab.page.locator(f"#lens-picture [data-value={name}]").first.click()
    tab.page.wait_for_function(f"() => window.qwen2vl.lens.state.layer === '{name}'")
    tab.page.evaluate(FRAMES % "true")  # it is drawn


def stage(tab: Tab) -> Locator:
    return tab.page.locator("#lens-picture .lens-stage")


def canvas_box(tab: Tab) -> dict[str, float]:
    box = stage(tab).locator("canvas").bounding_box()
    assert box is not None
    return dict(box)


def point(tab: Tab, row: int, column: int, grid: tuple[int, int]) -> None:
    """Moves the mouse to the middle of a cell of `grid` (rows, columns)."""
    stage(tab).scroll_into_view_if_needed()
    box = canvas_box(tab)
    x = box["x"] + (column + 0.5) * box["width"] / grid[1]
    y = box["y"] + (row + 0.5) * box["height"] / grid[0]
    tab.page.mouse.move(x, y)


def fact(tab: Tab, name: str) -> str:
    """What the readout says under a heading."""
    heading = tab.page.locator(f"#lens-picture .lens-readout dt:text-is('{name}')")
    return heading.locator("xpath=following-sibling::dd[1]").inner_text()


def user(text: str, *files: Path) -> Message:
    return Message("user", [*(Video(f) if f.suffix in (".gif", ".mp4") else Image(f) for f in files), Text(text)])


def expected(app: App, messages: list[Message], tokens: int | None = None) -> Any:
    media = MediaOptions(max_pixels=tokens * 784) if tokens else MediaOptions()
    return app.engine.prepare(messages, GenerationOptions(media=media))
