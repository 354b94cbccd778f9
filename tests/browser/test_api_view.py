"""The documentation of the API on the page itself (ui/static/api-view.js)."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import App, Visits
from tests.browser.driver import Tab

pytestmark = pytest.mark.slow


def test_the_settings_open_the_documentation_of_both_endpoints(none: Tab) -> None:
    none.button("Settings").click()
    none.button("Ask from a program").click()
    docs = none.page.locator(".api-docs")
    expect(docs).to_contain_text("2 API endpoints")
    expect(docs).to_contain_text("/ask")
    expect(docs).to_contain_text("/inspect")
    none.page.keyboard.press("Escape")
    expect(docs).to_have_count(0)
    none.page.keyboard.press("Escape")  # closes the settings
    expect(none.button("Ask from a program")).to_be_hidden()


def test_an_address_opens_it(none_app: App, visit: Visits) -> None:
    tab = visit(none_app)
    tab.page.goto(f"{tab.url}/?view=api")
    expect(tab.page.locator(".api-docs")).to_contain_text("/inspect")
