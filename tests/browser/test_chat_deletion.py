"""A deleted chat can be taken back for some seconds (ui/static/chat-deletion.js)."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import App, Visits
from tests.browser.driver import until
from tests.browser.test_chats import close, drawer, kept_chats, kept_files, row, shows_its_picture, stored
from tests.ui.conftest import picture

pytestmark = pytest.mark.slow

PAST = """() => Object.keys(localStorage).filter(key => key.startsWith("qwen2vl.deleted."))
  .forEach(key => localStorage.setItem(key, 1))"""


def test_a_deleted_chat_is_taken_back_with_its_files_or_is_gone_for_good(
    visit: Visits, fake_app: App, tmp_path: Path
) -> None:
    tab = visit(fake_app)
    picture(tmp_path / "own.png", colour="purple")  # that no other tab shows, which would keep it
    tab.ask("What is this?", tmp_path / "own.png")
    (name,) = kept_files(tab, 1)
    note = tab.page.locator(".chats-note")

    # By keyboard: Delete, then the way to Undo.
    row(tab, "What is this?").get_by_role("button", name="Delete").press("Enter")
    expect(note).to_contain_text("Deleted “What is this?”.")
    expect(drawer(tab).locator("li")).to_have_count(0)
    expect(tab.questions).to_have_count(0)
    for _ in range(12):
        tab.page.keyboard.press("Tab")
        if note.get_by_role("button").evaluate("button => button === document.activeElement"):
            break
    tab.page.keyboard.press("Enter")
    expect(note).to_have_count(0)
    expect(row(tab, "What is this?").locator(".opener")).to_be_focused()
    close(tab)
    shows_its_picture(tab)
    assert tab.ask("Two").startswith("In turn 2 I see 1 files")

    # The sentence outlives the list, and Ctrl+Z will do.
    row(tab, "What is this?").get_by_role("button", name="Delete").click()
    close(tab)
    expect(note).to_be_visible()
    tab.page.locator("#theme").focus()
    tab.page.keyboard.press("Control+z")
    expect(tab.questions).to_have_count(2)
    tab.quiet()

    # A page that is closed meanwhile leaves it to the next one: nothing of it stays.
    row(tab, "What is this?").get_by_role("button", name="Delete").click()
    expect(tab.questions).to_have_count(0)
    tab.quiet()
    assert stored(fake_app, name) and kept_chats(tab) == []
    tab.page.evaluate(PAST)
    tab.reload()
    assert kept_files(tab, 0) == []
    until(lambda: stored(fake_app, name) == [], tab.page)
    expect(drawer(tab).locator("li")).to_have_count(0)
