"""The files in the composer: what is said of each, what is taken, and what is shown of it in the chat."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import PIL.Image
from playwright.sync_api import Locator, expect

from tests.browser.driver import Tab
from tests.media.drawn_clips import write

PASTE = """
([name, type, content]) => {
  const bytes = Uint8Array.from(atob(content), c => c.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, {type}));
  const event = new ClipboardEvent("paste", {bubbles: true, cancelable: true, clipboardData: data});
  document.querySelector("#composer textarea").dispatchEvent(event);
}
"""
GREY = """async picture => {
  await picture.decode();
  const pixel = Object.assign(document.createElement("canvas"), {width: 1, height: 1}).getContext("2d");
  pixel.drawImage(picture, 0, 0, 1, 1);
  return pixel.getImageData(0, 0, 1, 1).data[0];
}"""
READY = "() => !document.querySelector('#composer .reading') && document.querySelectorAll('#composer .about').length"


def tile(tab: Tab, name: str) -> Locator:
    return tab.attached.filter(has=tab.page.get_by_text(name, exact=True))


def test_that_nothing_was_sent_is_no_longer_said_once_there_is_something(fake: Tab, material: Path) -> None:
    """The sentence stood there until the next answer."""
    sentence = fake.page.get_by_text("Type a question or attach a file first.")
    fake.send()
    expect(sentence).to_be_visible()
    fake.attach(material / "cat.png")
    expect(sentence).to_be_hidden()
    fake.detach()
    fake.send()
    expect(sentence).to_be_visible()
    fake.text.press_sequentially("W")
    expect(sentence).to_be_hidden()


def test_each_file_tells_its_name_its_length_and_that_it_was_read(fake: Tab, material: Path, tmp_path: Path) -> None:
    """A PDF and a clip were nameless signs, and a HEIC picture a broken one."""
    PIL.Image.new("RGB", (120, 80), "teal").save(tmp_path / "phone.heic")
    fake.attach(material / "pages.pdf", material / "clip.mp4", tmp_path / "phone.heic", material / "cat.png")
    fake.page.wait_for_function(READY, polling=50)
    for name, detail, poster in (
        ("pages.pdf", "2 pages", (114, 160)),  # of 200x280
        ("clip.mp4", "2.0 s", (112, 84)),
        ("phone.heic", "picture", (120, 80)),
        ("cat.png", "picture", None),
    ):
        expect(tile(fake, name)).to_contain_text(detail)
        own = tile(fake, name).locator(".poster")
        if poster is None:
            expect(own).to_have_count(0)  # the browser shows the file itself
        else:
            expect(own).to_be_visible()
            assert tuple(own.evaluate("e => [e.naturalWidth, e.naturalHeight]")) == poster
    tile(fake, "clip.mp4").get_by_role("button", name="Remove clip.mp4").click()
    expect(fake.attached).to_have_count(3)
    fake.quiet()
    assert [line.split("\n")[0] for line in fake.attached.all_inner_texts()] == ["pages.pdf", "phone.heic", "cat.png"]


def test_what_may_be_sent_is_decided_by_content(fake: Tab, tmp_path: Path) -> None:
    """By their names these were attached, and then refused as an "Invalid file type"."""
    write(tmp_path / "a.mp4", count=10)
    write(tmp_path / "a.ts", count=10)
    write(tmp_path / "a.mpg", "mpeg2video", count=10)
    for ending in ("jpg", "heic", "png"):
        PIL.Image.new("RGB", (60, 40), "teal").save(tmp_path / f"a.{ending}")
    names = {"b.3gp": "mp4", "b.mts": "ts", "b.m2ts": "ts", "b.vob": "mpg", "b.mpo": "jpg", "b.hif": "heic", "b": "png"}
    for name, ending in names.items():
        shutil.copy(tmp_path / f"a.{ending}", tmp_path / name)
    assert fake.ask("What is it?", *(tmp_path / name for name in names)).startswith("In turn 1 I see 7 files")
    expect(fake.notice).to_have_count(0)


def test_one_bad_file_is_named_and_nothing_else_is_lost(fake: Tab, material: Path, tmp_path: Path) -> None:
    """A file of an ending that no picture has, beside good ones without any."""
    (tmp_path / "notes").write_text("Only words.")
    shutil.copy(material / "cat.png", tmp_path / "cat")
    fake.attach(tmp_path / "cat", tmp_path / "notes")
    fake.page.wait_for_function(READY, polling=50)
    expect(tile(fake, "notes")).to_contain_text("cannot be opened")
    fake.send("What is it?")
    expect(fake.notice).to_contain_text("notes is a text file")
    expect(fake.attached).to_have_count(2)
    expect(fake.text).to_have_value("What is it?")
    tile(fake, "notes").get_by_role("button", name="Remove notes").click()
    expect(fake.attached).to_have_count(1)
    fake.send()
    fake.idle()
    expect(fake.answers.last).to_contain_text("I see 1 files")


def test_pages_are_chosen_by_sight(fake: Tab, tmp_path: Path) -> None:
    """20 pages, each with a grey of its own; their pictures come 12 at a time."""
    pages = [PIL.Image.new("RGB", (200, 280), (12 * n, 12 * n, 12 * n)) for n in range(1, 21)]
    pages[0].save(tmp_path / "long.pdf", save_all=True, append_images=pages[1:])
    fake.attach(tmp_path / "long.pdf")
    fake.page.wait_for_function(READY, polling=50)
    fake.button("Choose pages of long.pdf").click()
    dialog = fake.page.get_by_role("dialog", name="Pages of long.pdf")
    dialog.locator("li").nth(11).scroll_into_view_if_needed()
    expect(dialog.locator("li")).to_have_count(20)
    for number in (3, 19, 18):
        dialog.get_by_role("button", name=f"Page {number}", exact=True).click()
    expect(dialog).to_contain_text("Chosen: 3, 18-19 (3 of 20)")
    assert abs(dialog.locator("li").nth(17).locator("img").evaluate(GREY) - 12 * 18) <= 4
    dialog.get_by_role("button", name="Cancel").click()
    fake.button("Choose pages of long.pdf").click()  # begins anew
    for number in (3, 12):
        dialog.get_by_role("button", name=f"Page {number}", exact=True).click()
    dialog.get_by_role("button", name="Page 12", exact=True).click()
    dialog.locator("li").nth(11).scroll_into_view_if_needed()
    for number in (19, 18):
        dialog.get_by_role("button", name=f"Page {number}", exact=True).click()
    dialog.get_by_role("button", name="Read these pages").click()
    expect(fake.page.locator("#cost")).to_contain_text("3 pictures")
    fake.page.wait_for_function(READY, polling=50)
    assert fake.ask("What is in them?").startswith("In turn 1 I see 3 files")
    fake.choose_pages("")


def test_any_file_can_be_pasted(fake: Tab, material: Path) -> None:
    """Gradio takes pictures only."""
    content = base64.b64encode((material / "clip.mp4").read_bytes()).decode()
    fake.page.evaluate(PASTE, ["copied.mp4", "video/mp4", content])
    expect(tile(fake, "copied.mp4")).to_contain_text("2.0 s")
    expect(fake.attached).to_have_count(1)
