"""The list of the chats that a browser keeps (ui/static/chat*.js)."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from qwen2vl_demo.ui.chat.conversation import Answer, Conversation, Turn
from qwen2vl_demo.ui.chat.saved_chat import dumps
from tests.browser.conftest import App, Visits
from tests.browser.driver import Tab, until
from tests.ui.conftest import picture

pytestmark = pytest.mark.slow

FILES = "async () => (await qwen2vl.chatStorage()).keys('files')"
WITHOUT_LOCKS = "Object.defineProperty(navigator, 'locks', { value: undefined })"
BLOCKED = "IDBFactory.prototype.open = () => { throw new DOMException('blocked', 'SecurityError'); }"
LATER = "() => { const now = Date.now; Date.now = () => now() + 60000; }"
DELETED = "() => qwen2vl.chatDeletion.finish()"  # the seconds in which it can be taken back have passed
# The words that stand there in this moment, noted in the step before the page goes away.
LEAVE = """() => {
  sessionStorage.setItem("seen", document.querySelector("#chat .bot.message").innerText);
  location.reload();
}"""


@pytest.fixture
def tab(visit: Visits, fake_app: App) -> Tab:
    """A tab of a browser that has kept nothing."""
    return visit(fake_app)


def drawer(tab: Tab) -> Locator:
    found = tab.page.locator("#chats")
    if not found.is_visible():
        tab.button("Chats").click()
        expect(found.locator(".summary")).not_to_be_empty()
    return found


def row(tab: Tab, words: str) -> Locator:
    return drawer(tab).locator("li").filter(has_text=words)


def close(tab: Tab) -> None:
    drawer(tab).get_by_role("button", name="Close").click()


def open_chat(tab: Tab, words: str, question: str = "") -> None:
    row(tab, words).locator(".title").click()
    expect(tab.page.locator("#chats")).to_be_hidden()
    expect(tab.chat).to_contain_text(question or words)
    tab.quiet()


def new_chat(tab: Tab) -> None:
    tab.button("New chat").click()
    expect(tab.questions).to_have_count(0)
    tab.quiet()


def kept_files(tab: Tab, count: int) -> list[str]:
    until(lambda: len(tab.page.evaluate(FILES)) == count, tab.page)
    return list(tab.page.evaluate(FILES))


def kept_chats(tab: Tab) -> list[dict[str, Any]]:
    return list(tab.page.evaluate("() => qwen2vl.chats.list()"))


def stored(app: App, name: str) -> list[Path]:
    return list(app.demo.parts.store.folder.glob(f"{name.partition('.')[0]}*"))


def shows_its_picture(tab: Tab) -> None:
    tab.page.wait_for_function("() => document.querySelector('#chat .user.message img')?.naturalWidth === 320")


def test_a_chat_that_was_left_is_in_the_list_and_opens_again(tab: Tab, material: Path) -> None:
    tab.ask("What is this?", material / "cat.png")
    kept_files(tab, 1)
    new_chat(tab)
    tab.ask("Another question")
    until(lambda: any(chat["thumb"] for chat in kept_chats(tab)), tab.page)
    assert [chat["title"] for chat in kept_chats(tab)] == ["Another question", "What is this?"]  # newest first
    expect(row(tab, "Another question").locator(".opener")).to_have_attribute("aria-current", "true")
    thumbnail = row(tab, "What is this?").locator("img")
    assert thumbnail.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    open_chat(tab, "What is this?")
    shows_its_picture(tab)
    expect(tab.panel).to_contain_text("cat.png")
    assert tab.ask("Two").startswith("In turn 2 I see 1 files")
    assert [chat["title"] for chat in kept_chats(tab)] == ["What is this?", "Another question"]
    tab.reload()
    expect(tab.questions).to_have_count(2)


def test_another_chat_opens_while_an_answer_is_written_and_keeps_its_words(tab: Tab) -> None:
    """What was still on its way for the chat that was left must not end up in the other one."""
    tab.ask("First")
    new_chat(tab)
    tab.send("Tell me a long story")
    expect(tab.answers.last).to_contain_text("and so on")
    open_chat(tab, "First")
    expect(tab.questions).to_have_count(1)
    assert tab.ask("Go on").startswith("In turn 2")
    open_chat(tab, "Tell me a long story")
    expect(tab.answers.last).to_contain_text("and so on")
    expect(tab.questions).to_have_count(1)
    assert len(kept_chats(tab)) == 2


def test_files_that_the_server_no_longer_has_come_back_from_the_browser(
    tab: Tab, fake_app: App, material: Path
) -> None:
    """The server keeps files only as long as a tab shows them, and none when it ends."""
    tab.ask("What are these?", material / "cat.png", material / "clip.mp4")
    for name in kept_files(tab, 2):
        for path in stored(fake_app, name):
            path.unlink()
    tab.reload()
    expect(tab.chat).to_contain_text("What are these?")
    expect(tab.chat).not_to_contain_text("no longer kept")
    shows_its_picture(tab)
    assert tab.ask("Two").startswith("In turn 2 I see 2 files")

    # under a page that stayed open, as when a laptop sleeps
    for name in kept_files(tab, 2):
        for path in stored(fake_app, name):
            path.unlink()
    tab.page.evaluate(LATER)
    tab.button("Chats").focus()
    tab.text.click()
    until(lambda: all(stored(fake_app, name) for name in kept_files(tab, 2)), tab.page)
    tab.quiet()
    assert tab.ask("Three").startswith("In turn 3 I see 2 files")


def test_a_chat_can_be_named_pinned_found_and_deleted(tab: Tab, fake_app: App, tmp_path: Path) -> None:
    tab.ask("What is this?", picture(tmp_path / "cat.png", colour="teal"))  # which no other tab of the app shows
    (name,) = kept_files(tab, 1)
    new_chat(tab)
    tab.ask("Another question")
    cat = row(tab, "What is this?")
    cat.hover()
    cat.get_by_role("button", name="Rename").click()
    tab.page.locator("#chats form input").fill("Katze")
    tab.page.keyboard.press("Enter")
    expect(row(tab, "Katze").get_by_role("button", name="Rename")).to_be_focused()
    row(tab, "Katze").get_by_role("button", name="Pin").click()
    expect(drawer(tab).locator("li").first).to_contain_text("Katze")
    search = drawer(tab).get_by_label("Search chats")
    for words, found in (("katz", 1), ("WHAT this", 1), ("in turn 1", 2), ("cat.png", 1), ("zebra", 0)):
        search.fill(words)
        expect(drawer(tab).locator("li")).to_have_count(found)
    expect(drawer(tab)).to_contain_text("No chat has these words.")
    search.fill("")
    open_chat(tab, "Katze", "What is this?")
    row(tab, "Katze").hover()
    row(tab, "Katze").get_by_role("button", name="Delete").click()
    expect(drawer(tab).locator("li")).to_have_count(1)
    close(tab)
    expect(tab.questions).to_have_count(0)
    tab.quiet()
    assert stored(fake_app, name)  # it can still be taken back (test_chat_deletion.py)
    tab.page.evaluate(DELETED)
    tab.quiet()
    assert stored(fake_app, name) == [] and kept_files(tab, 0) == []
    tab.reload()
    expect(tab.questions).to_have_count(0)
    assert [chat["title"] for chat in kept_chats(tab)] == ["Another question"]


def test_a_question_that_is_taken_back_leaves_no_chat(tab: Tab) -> None:
    tab.ask("One")
    tab.button("Undo").click()
    expect(tab.questions).to_have_count(0)
    until(lambda: kept_chats(tab) == [], tab.page)
    assert tab.ask("Better").startswith("In turn 1")
    assert [chat["title"] for chat in kept_chats(tab)] == ["Better"]


@pytest.mark.parametrize("locks", [True, pytest.param(False, marks=pytest.mark.large)])
def test_a_chat_is_open_in_one_tab_only(tab: Tab, fake_app: App, visit: Visits, locks: bool) -> None:
    second = visit(fake_app, beside=tab)
    if not locks:  # plain http from another machine
        for each in (tab, second):
            each.page.add_init_script(WITHOUT_LOCKS)
            each.reload()
    tab.ask("Mine")
    second.page.evaluate("() => sessionStorage.clear()")
    second.reload()
    expect(second.questions).to_have_count(0)
    expect(row(second, "Mine")).to_contain_text("open in another tab")
    row(second, "Mine").locator(".title").click()
    expect(second.page.locator(".chats-note")).to_have_text("This chat is open in another tab.")
    row(second, "Mine").hover()
    row(second, "Mine").get_by_role("button", name="Delete").click()
    expect(second.page.locator(".chats-note")).to_have_text("This chat is open in another tab.")
    expect(drawer(second).locator("li")).to_have_count(1)
    new_chat(tab)  # which leaves it
    expect(row(second, "Mine")).not_to_contain_text("open in another tab")
    open_chat(second, "Mine")


def test_chats_of_an_earlier_version_are_taken_over(tab: Tab) -> None:
    """They lay in localStorage by the id of their tab: the newest was shown, the others could not be reached."""
    old = Conversation((Turn("An old question", answer=Answer("An old answer", "end")),))
    other = Conversation((Turn("Another old one", answer=Answer("Yes", "end")),))
    for number, (chat, text) in enumerate([("ab" * 12, dumps(old)), ("cd" * 12, dumps(other))]):
        value = json.dumps({"at": 1_700_000_000_000 + number, "chat": text})
        tab.page.evaluate("([key, value]) => localStorage.setItem(key, value)", [f"qwen2vl.chat.{chat}", value])
    tab.page.evaluate("() => { localStorage.setItem('qwen2vl.chat.x', 'nonsense'); sessionStorage.clear(); }")
    tab.reload()
    expect(tab.chat).to_contain_text("Another old one")
    open_chat(tab, "An old question")
    expect(tab.answers.last).to_contain_text("An old answer")
    assert tab.ask("And now?").startswith("In turn 2")
    assert [chat["title"] for chat in kept_chats(tab)] == ["An old question", "Another old one"]
    assert "An old" not in tab.page.evaluate("() => JSON.stringify(localStorage)")


def test_no_word_that_was_shown_is_lost_when_the_page_goes_away(tab: Tab) -> None:
    """Up to a second of an answer was."""
    tab.send("Tell me a long story")
    expect(tab.answers.last).to_contain_text("and so on and so on")
    tab.page.evaluate(LEAVE)
    tab.ready()
    seen = tab.page.evaluate("() => sessionStorage.getItem('seen')").strip()
    assert "and so on" in seen
    expect(tab.answers.last).to_contain_text(seen)


def test_the_oldest_files_go_first_and_a_full_browser_is_a_sentence(tab: Tab, material: Path) -> None:
    sizes = {name: (material / name).stat().st_size for name in ("cat.png", "dog.jpg")}
    tab.page.evaluate(  # room for the larger one of the two pictures
        "most => { navigator.storage.estimate = async () => ({ quota: (most + 10) / 0.8, usage: 0 }); }",
        max(sizes.values()),
    )
    tab.ask("A cat", material / "cat.png")
    digests = {name: hashlib.sha256((material / name).read_bytes()).hexdigest() for name in sizes}
    assert digests["cat.png"] in kept_files(tab, 1)[0]
    new_chat(tab)
    tab.ask("A dog", material / "dog.jpg")
    until(lambda: digests["dog.jpg"] in str(tab.page.evaluate(FILES)), tab.page)
    assert len(kept_files(tab, 1)) == 1
    expect(row(tab, "A cat")).to_contain_text("without some files")
    row(tab, "A dog").hover()
    row(tab, "A dog").get_by_role("button", name="Pin").click()
    close(tab)
    new_chat(tab)
    tab.ask("A cat again", material / "cat.png")
    expect(tab.page.locator(".chats-note")).to_contain_text("no room for all files of this chat")
    assert digests["dog.jpg"] in kept_files(tab, 1)[0]
    expect(row(tab, "A cat again")).to_contain_text("without some files")


def test_where_the_browser_stores_nothing_chats_last_as_long_as_the_page_and_this_is_said(tab: Tab) -> None:
    tab.page.add_init_script(BLOCKED)
    tab.reload()
    tab.ask("One")
    new_chat(tab)
    tab.ask("Two")
    expect(drawer(tab).locator(".summary")).to_contain_text("This browser stores nothing for this page")
    open_chat(tab, "One")
    expect(tab.questions).to_have_count(1)
    tab.reload()
    expect(tab.questions).to_have_count(0)


def test_the_list_is_used_by_keyboard(tab: Tab) -> None:
    tab.ask("One")
    tab.page.keyboard.press("Control+Shift+O")
    expect(tab.questions).to_have_count(0)
    expect(tab.text).to_be_focused()
    tab.ask("Two")
    tab.button("Chats").focus()
    tab.page.keyboard.press("Enter")
    search = drawer(tab).get_by_label("Search chats")
    expect(search).to_be_focused()
    expect(drawer(tab).locator("li")).to_have_count(2)
    for key, words in (("ArrowDown", "Two"), ("ArrowDown", "One")):
        tab.page.keyboard.press(key)
        expect(row(tab, words).locator(".opener")).to_be_focused()
    tab.page.keyboard.press("Escape")
    expect(tab.page.locator("#chats")).to_be_hidden()
    expect(tab.button("Chats")).to_be_focused()
    tab.page.keyboard.press("Enter")
    expect(drawer(tab).locator("li")).to_have_count(2)
    tab.page.keyboard.press("ArrowDown")
    tab.page.keyboard.press("ArrowDown")
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator("#chats")).to_be_hidden()
    expect(tab.chat).to_contain_text("One")


def test_all_chats_can_be_exported_and_imported(tab: Tab, material: Path, tmp_path: Path) -> None:
    tab.ask("What is this?", material / "cat.png")
    (name,) = kept_files(tab, 1)
    new_chat(tab)
    tab.ask("Ümlaut / and more")
    with tab.page.expect_download() as saving:
        drawer(tab).get_by_role("button", name="Export all").click()
    path = tmp_path / "chats.zip"
    saving.value.save_as(path)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        chats = [entry for entry in archive.namelist() if entry.startswith("chats/")]
        assert chats == ["chats/001 Ümlaut and more.json", "chats/002 What is this.json"]
        assert archive.read(f"media/{name}") == (material / "cat.png").read_bytes()
        chat = json.loads(archive.read(chats[1]))
        assert chat["turns"][0]["question"] == "What is this?" and "cache_salt" not in chat
        entries = [(entry, archive.read(entry)) for entry in archive.namelist()]
    packed = tmp_path / "packed anew.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in entries:
            archive.writestr(entry, content)

    chooser = drawer(tab).locator("input[type=file]")
    status = drawer(tab).locator(".status")
    chooser.set_input_files(str(path))
    expect(status).to_have_text("Added 0 chats; 2 were here already.")
    for words in ("Ümlaut", "What is this?"):
        row(tab, words).hover()
        row(tab, words).get_by_role("button", name="Delete").click()
        expect(row(tab, words)).to_have_count(0)
    tab.page.evaluate(DELETED)
    tab.quiet()
    chooser.set_input_files(str(packed))
    expect(status).to_have_text("Added 2 chats.")
    open_chat(tab, "What is this?")
    shows_its_picture(tab)
    assert tab.ask("Two").startswith("In turn 2 I see 1 files")
    wrong = tmp_path / "wrong.zip"
    wrong.write_text("no archive")
    drawer(tab)
    chooser.set_input_files(str(wrong))
    expect(status).to_have_text("This is not a file of chats from “Export all”.")
