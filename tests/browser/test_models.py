"""The menu of models in the header (ui/static/models.js)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import App, Visits
from tests.browser.driver import Tab
from tests.fake_engine import FakeEngine
from tests.fake_models import FakeLoader

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def loader() -> FakeLoader:
    loader = FakeLoader({"tiny": 4_000_000, "large": 99_000_000, "broken": 1}, memory=10_000_000)
    loader.broken.add("broken")
    return loader


@pytest.fixture(scope="module")
def models_app(tmp_path_factory: pytest.TempPathFactory, loader: FakeLoader) -> Iterator[App]:
    app = App(FakeEngine(step=0.002, encode=0.0), tmp_path_factory.mktemp("models"), [], loader=loader)
    yield app
    app.stop()


def test_a_model_is_chosen_in_the_header_and_answers_this_tab_alone(
    models_app: App, loader: FakeLoader, visit: Visits
) -> None:
    tab, other = visit(models_app), visit(models_app)
    tab.ask("One")
    button, menu = tab.page.locator("#model-button"), tab.page.locator("#models")
    expect(button).to_contain_text("fake")
    button.focus()
    tab.page.keyboard.press("Enter")
    rows = menu.get_by_role("listitem")
    expect(rows).to_have_count(4)
    expect(rows.nth(0)).to_contain_text("answers in this tab")
    expect(rows.nth(1)).to_contain_text("takes 4 MB")
    expect(rows.nth(2)).to_contain_text("takes 99 MB, more than is free")
    expect(rows.nth(3)).to_contain_text("lacks config.json")
    expect(rows.nth(3).get_by_role("button")).to_be_disabled()
    expect(menu.locator(".memory")).to_have_text("10 MB of memory are free.")

    # One that does not fit is refused in the menu, and nothing changes.
    rows.nth(2).get_by_role("button").click()
    expect(menu.locator(".said")).to_contain_text("large takes 99 MB of memory, and 10 MB are free.")

    # One that fits is loaded while the page shows how far it is.
    loader.step.clear()
    rows.nth(1).get_by_role("button").click()
    expect(rows.nth(1)).to_contain_text("Loading, 25 %")
    expect(rows.nth(1).get_by_role("progressbar")).to_have_attribute("value", "0.25")
    expect(button).to_contain_text("tiny: Loading, 25 %")
    tab.page.keyboard.press("Escape")
    tab.send("Too early")
    expect(tab.notice).to_have_text("Your model is being loaded. Ask when it is there.")
    expect(tab.text).to_have_value("Too early")
    loader.step.set()
    expect(button.locator("b")).to_have_text("tiny")
    tab.quiet()
    tab.send()
    tab.idle()
    expect(tab.questions).to_have_count(2)
    expect(tab.under(tab.answers.first).locator(".note")).to_have_text("Answered by fake.")
    assert tab.under(tab.answers.last).locator(".note").count() == 0
    expect(other.page.locator("#model-button b")).to_have_text("fake")
    other.ask("Who are you?")
    names = {session.conversation.last.answer.model for session in models_app.sessions.values()}  # type: ignore[union-attr]
    assert names == {"fake", "tiny"}

    # The choice is the tab's, and survives a reload.
    tab.reload()
    expect(tab.page.locator("#model-button b")).to_have_text("tiny")
    tab.ask("Three")
    expect(tab.under(tab.answers.first).locator(".note")).to_have_text("Answered by fake.")
    assert tab.under(tab.answers.last).locator(".note").count() == 0

    # What a browser makes up is looked up in the list.
    tab.page.evaluate("() => window.qwen2vl.askModels('../../secret/place/tiny')")
    expect(tab.page.locator(".chats-note")).to_have_text("This model is not offered any more; choose another one.")
    tab.page.evaluate("() => window.qwen2vl.askModels({a: [1]})")
    tab.quiet()
    tab.ask("Four")


@pytest.mark.large
def test_an_app_that_was_started_again_does_not_answer_with_another_model_unasked(
    models_app: App, loader: FakeLoader, visit: Visits
) -> None:
    tab = visit(models_app)
    tab.page.locator("#model-button").click()
    tab.page.locator("#models li button").nth(1).click()
    expect(tab.page.locator("#model-button b")).to_have_text("tiny")
    tab.ask("One")
    models_app.stop()
    loader.taken.clear()
    models_app.start()
    tab.send("Two")
    expect(tab.notice).to_contain_text("tiny is no longer loaded here, and fake would answer now.")
    expect(tab.text).to_have_value("Two")
    expect(tab.page.locator("#model-button b")).to_have_text("fake")
    tab.quiet()
    tab.send()
    tab.idle()
    expect(tab.under(tab.answers.first).locator(".note")).to_have_text("Answered by tiny.")


def test_without_a_list_there_is_no_menu(fake: Tab) -> None:
    assert fake.page.locator("#model-button, #models-state").count() == 0
    expect(fake.page.locator("#title p.engine b")).to_have_text("fake")
