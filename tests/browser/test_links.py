"""Addresses that open a place of the page, and the buttons that copy them."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, App, Visits

pytestmark = pytest.mark.slow


def test_an_address_opens_an_example_a_tab_and_a_layer_and_is_copied_again(fake_app: App, visit: Visits) -> None:
    """The cards of the fake app are "A picture", "Two pictures" and "A clip". A reload does not ask again."""
    tab = visit(fake_app, permissions=["clipboard-read", "clipboard-write"])
    page = tab.page
    tab.ask("Hello")
    page.goto(f"{tab.url}/?tab=picture&layer=tokens&example=picture")
    tab.count("#chat .user.message", 1)
    tab.idle()
    expect(tab.questions).to_contain_text("What is in this picture?")
    assert page.url == f"{tab.url}/?tab=picture&layer=tokens"
    expect(page.locator("#tab-picture .lens-segmented [data-value=merged]")).to_have_attribute("aria-checked", "true")
    tab.reload()
    tab.count("#chat .user.message", 1)
    page.locator("#tab-picture").get_by_role("button", name="Copy link").click()
    expect(page.locator("#tab-picture").get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"{tab.url}/?tab=picture&layer=tokens&example=picture"
    page.get_by_role("tab", name="Cost", exact=True).click()
    page.locator("#link-cost").click()
    expect(page.locator("#link-cost")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == f"{tab.url}/?tab=cost&example=picture"
    page.locator("#chats-button").click()  # what stood there before is kept
    expect(page.locator("dialog[open], #chat-list").first).to_contain_text("Hello")


def test_what_an_address_cannot_name_opens_the_page_as_it_is(fake_app: App, visit: Visits) -> None:
    tab = visit(fake_app)
    tab.page.goto(f"{tab.url}/?tab=<b>&layer=99&example=none&chat=__proto__")
    tab.ready()
    tab.count("#chat .user.message", 0)
    expect(tab.page.get_by_role("tab", name="Picture", exact=True)).to_have_attribute("aria-selected", "true")


def test_a_prepared_chat_and_a_tab_of_the_menu_on_a_phone(fake_app: App, visit: Visits) -> None:
    """Experiments stands in the menu of tabs that do not fit. The engine is not nano, whose answers these are."""
    tab = visit(fake_app, viewport=PHONE)
    page = tab.page
    page.goto(f"{tab.url}/?chat=where&tab=experiments")
    tab.count("#chat .user.message", 3)
    expect(tab.answers.last).to_contain_text("The lock is at the top.")
    expect(page.locator("#notice")).to_contain_text("recorded with nano")
    expect(page.locator("#experiment-guesses")).to_be_visible()
    expect(page.locator("#experiment-guesses")).to_contain_text("lesson.png")
    assert page.evaluate("window.qwen2vl.links.ofPanel()") == f"{tab.url}/?tab=experiments&chat=where"
    page.locator("#learn-button").click()
    cut = "[...document.querySelectorAll('#header *')].filter(e => e.scrollWidth > e.clientWidth + 1).length"
    assert page.evaluate(cut) == 0  # the header of the lesson
    assert tab.width() <= PHONE["width"]


def test_a_handout_has_the_answers_or_lines_for_them(fake_app: App, visit: Visits, tmp_path: Path) -> None:
    """500 x 400 px become 504 x 392: 18 x 14 = 252 tokens. The picture of step 6 says 20 where the text goes on."""
    tab = visit(fake_app)
    page = tab.page
    page.goto(f"{tab.url}/?learn=4&example=animals")
    page.get_by_role("button", name="For a class").click()
    dialog = page.locator("#class")
    expect(dialog.get_by_role("link", name="/?learn=8&example=animals")).to_be_visible()
    expect(dialog.get_by_role("link", name="A chart")).to_have_attribute("href", "/?chat=chart")
    dialog.locator("select").select_option("all")
    for answers in (False, True):
        dialog.get_by_label("with the answers").set_checked(answers)
        with page.expect_download() as saved:
            dialog.get_by_role("button", name="Save the handout").click()
        saved.value.save_as(tmp_path / "handout.html")
        paper = page.context.new_page()
        paper.goto((tmp_path / "handout.html").as_uri())
        expect(paper.locator("section")).to_have_count(8)
        assert paper.locator("img").evaluate_all("images => images.every(i => i.naturalWidth > 50)")
        assert paper.locator("script").count() == 0
        assert "blob:" not in paper.locator("main").inner_html()
        words = paper.locator("main").inner_text()
        for truth in ("600,000 numbers", "1,008 / 4 = 252", "3 x 13 x 11 = 429", "20,20,20"):
            assert (truth in words) is answers, truth
        assert (paper.locator(".handout-line").count() > 10) is not answers
        assert ("Name" in words) is not answers
        paper.close()
