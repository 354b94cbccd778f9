"""The tab Experiments in a browser: the real app, the real nano, on a desk and on a phone."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, PHONE, App, Visits

CAT = Path(__file__).resolve().parents[2] / "assets" / "examples" / "cat.png"


@pytest.mark.parametrize("view", [DESKTOP, pytest.param(PHONE, marks=pytest.mark.large)], ids=["desk", "phone"])
def test_a_question_is_asked_again_with_one_thing_changed(nano_app: App, visit: Visits, view: dict[str, int]) -> None:
    tab = visit(nano_app, viewport=view)
    page = tab.page
    page.get_by_role("tab", name="Experiments", exact=True).click()
    expect(page.locator("#experiment-guesses")).to_contain_text("Attach a picture")
    page.locator("#experiment-budget").click()
    expect(page.locator("#experiment-budget-found")).to_contain_text("Ask something about a picture")
    tab.ask("Where is the cat?", CAT)
    page.locator("#experiment-guesses summary").first.click()
    expect(page.locator("#experiment-guesses details p").first).to_be_visible()
    answer = tab.answers.last.inner_text().strip()
    for kind in ("budget", "positions"):
        page.locator(f"#experiment-{kind}").click()
        cards = page.locator(f"#experiment-{kind}-found .trial")
        expect(page.locator(f"#experiment-{kind}-found")).to_contain_text("The answer")
        expect(cards).to_have_count(3)
        expect(cards.first.locator(".trial-answer")).to_have_text(answer)
        widths = cards.evaluate_all("cards => cards.map(c => c.getBoundingClientRect().right)")
        assert max(widths) <= view["width"]
    assert tab.answers.count() == 1  # nothing of it stands in the chat
