"""The keys of the page (ui/static/keys.js)."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.driver import Tab

OPEN = re.compile(r"\bopen\b")


def test_slash_goes_to_the_composer_and_is_typed_there(fake: Tab) -> None:
    fake.button("Settings").focus()
    fake.page.keyboard.press("/")
    expect(fake.text).to_be_focused()
    expect(fake.text).to_have_value("")
    fake.page.keyboard.press("/")
    expect(fake.text).to_have_value("/")


def test_escape_closes_the_settings_and_then_stops_the_answer(fake: Tab) -> None:
    """It did neither."""
    fake.send("!endless word")
    expect(fake.button("Stop")).to_be_visible()
    fake.button("Settings").click()
    panel = fake.page.locator(".sidebar#settings")
    expect(panel).to_have_class(OPEN)
    fake.page.keyboard.press("Escape")
    expect(panel).not_to_have_class(OPEN)
    expect(fake.button("Stop")).to_be_visible()
    fake.page.keyboard.press("Escape")
    fake.idle()  # which that answer would never be by itself


def test_the_keys_are_listed_with_those_that_others_add(fake: Tab) -> None:
    fake.page.evaluate("window.qwen2vl.keys.push({keys: ['Alt', 'X'], does: 'A thing of another script'})")
    fake.page.locator("body").press("?")
    dialog = fake.page.get_by_role("dialog", name="Keys")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text("Go to the line for the question")
    expect(dialog).to_contain_text("A thing of another script")
    fake.page.keyboard.press("/")
    expect(fake.text).not_to_be_focused()
    fake.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    fake.page.evaluate("window.qwen2vl.keys.pop()")
