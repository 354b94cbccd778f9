"""The settings stay in the browser (ui/static/settings.js)."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import App, Visits

pytestmark = pytest.mark.slow


def test_settings_survive_a_reload_and_can_be_put_back(fake_app: App, visit: Visits) -> None:
    """The system prompt of a chat came back, and the temperature was forgotten."""
    tab = visit(fake_app)
    tab.setting("Temperature", 0.7)
    tab.setting("Frames per second", 1.5)
    tab.button("Settings").click()
    tab.page.get_by_label("System prompt").fill("Be brief.")
    tab.page.get_by_label("System prompt").blur()
    tab.quiet()
    tab.reload()
    number = tab.page.get_by_label("number input for Temperature")
    expect(number).to_have_value("0.7")
    expect(tab.page.get_by_label("number input for Frames per second")).to_have_value("1.5")
    expect(tab.page.get_by_label("System prompt")).to_have_value("Be brief.")
    tab.ask("What is it?")
    _, options = fake_app.engine.heard[-1]
    assert (options.temperature, options.media.fps) == (0.7, 1.5)
    tab.button("Settings").click()
    tab.button("Back to the defaults").click()
    expect(number).to_have_value("0")
    expect(tab.page.get_by_label("System prompt")).to_have_value("")
    tab.quiet()
    assert tab.page.evaluate("localStorage.getItem('qwen2vl.settings')") is None
    tab.reload()
    expect(tab.page.get_by_label("number input for Temperature")).to_have_value("0")
    expect(tab.page.get_by_label("System prompt")).to_have_value("Be brief.")  # of the chat, which came back
