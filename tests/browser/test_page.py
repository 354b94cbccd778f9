"""The page itself: sizes, colours, keyboard, names."""

from pathlib import Path

import pytest
from gradio_client import Client
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, PHONE, App, Visits
from tests.browser.driver import Tab

UNNAMED = """() => [...document.querySelectorAll('button, input:not([type=hidden]), textarea, a[href], img')]
.filter(e => {
  const box = e.getBoundingClientRect(), said = name => (e.getAttribute(name) || '').trim();
  if (!box.width || !box.height || !e.checkVisibility({visibilityProperty: true})) return false;
  const label = e.labels && e.labels.length ? e.labels[0].innerText : '';
  return !(said('aria-label') || said('alt') || said('title') || e.innerText.trim() || label.trim());
}).map(e => e.outerHTML.slice(0, 160))"""


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.large)])
def test_a_phone(fake_app: App, visit: Visits, material: Path, scheme: str) -> None:
    tab = visit(fake_app, viewport=PHONE, is_mobile=True, has_touch=True, color_scheme=scheme)
    assert tab.width() <= PHONE["width"]
    assert ("dark" in tab.page.evaluate("document.body.className")) == (scheme == "dark")
    tab.ask("What is in these?", material / "cat.png", material / "dog.jpg")
    assert tab.width() <= PHONE["width"]
    box = tab.text.bounding_box()
    assert box and box["y"] > 0 and box["y"] + box["height"] <= PHONE["height"]


def test_the_composer_stays_at_the_bottom_of_the_window(fake: Tab, material: Path) -> None:
    fake.ask("!say " + "A paragraph of an answer.\n\n" * 40, material / "cat.png")
    assert fake.answers.last.evaluate("e => e.getBoundingClientRect().height") > DESKTOP["height"]
    assert fake.page.evaluate("document.documentElement.scrollHeight") <= DESKTOP["height"]
    box = fake.page.locator("#composer").bounding_box()
    assert box and box["y"] + box["height"] <= DESKTOP["height"]
    assert fake.width() <= DESKTOP["width"]


def test_everything_that_can_be_used_has_a_name(fake: Tab, material: Path) -> None:
    fake.ask("What is it?", material / "cat.png")
    fake.attach(material / "dog.jpg")
    fake.quiet()
    assert fake.page.evaluate(UNNAMED) == []
    fake.button("Settings").click()
    fake.quiet()
    assert fake.page.evaluate(UNNAMED) == []
    fake.button("Settings").click()


def test_the_keyboard_is_enough(fake: Tab) -> None:
    fake.text.focus()
    fake.page.keyboard.type("Hello")
    fake.page.keyboard.press("Shift+Enter")
    fake.page.keyboard.type("there")
    fake.page.keyboard.press("Enter")
    fake.idle()
    expect(fake.questions.last).to_contain_text("there")
    fake.button("Undo").focus()
    fake.page.keyboard.press("Enter")
    expect(fake.text).to_have_value("Hello\nthere")


def test_dark_and_light_can_be_chosen_and_stay(fake_app: App, visit: Visits) -> None:
    tab = visit(fake_app, color_scheme="light")
    tab.button("Use dark colours").click()
    expect(tab.page.locator("body.dark")).to_have_count(1)
    tab.reload()
    expect(tab.page.locator("body.dark")).to_have_count(1)
    tab.button("Use light colours").click()
    expect(tab.page.locator("body.dark")).to_have_count(0)


def test_a_file_name_cannot_write_into_the_page(fake: Tab, material: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "${alert(1)} <img src=x onerror=window.hacked=1> {{7*7}}.png"
    hostile.write_bytes((material / "cat.png").read_bytes())
    fake.ask("What is it?", hostile)
    expect(fake.panel).to_contain_text("320x240")
    assert fake.page.evaluate("window.hacked") is None


def test_two_endpoints_are_public(fake_app: App) -> None:
    endpoints = Client(fake_app.url, verbose=False).view_api(return_format="dict")["named_endpoints"]
    assert list(endpoints) == ["/ask", "/inspect"]
